// A tensor in another element type: plain floats, or GGUF blocks. Reading through MatrixInput, it
// is also what turns any quantized matrix back into plain numbers.
#pragma once

#include <string>
#include <vector>

#include "libcommon/compress/matrix_input.h"
#include "libcommon/compress/transform.h"
#include "libcommon/quant/error_statistics.h"

namespace hone {

struct CastJob {
  std::string name;
  std::string subject;
  DType type = DType::kBF16;  // can_encode(type)
  bool allow_nan = false;
};

class CastTransform final : public Transform {
 public:
  CastTransform(MatrixInput input, CastJob job);

  bool whole() const override { return input_.transposed(); }
  void start(const SideTensors& sides) override { input_.start(sides); }
  void apply(const Chunk& chunk, Bytes& out, ThreadPool& pool) override;
  void finish(Bytes&) override { input_.release(); }

  const ErrorStatistics& statistics() const { return statistics_; }

 private:
  ErrorStatistics cast_row(int64_t row, std::byte* out, std::vector<float>& scratch) const;
  ErrorStatistics cast_any_row(int64_t row, std::byte* out) const;  // NaN and infinities, too

  MatrixInput input_;
  CastJob job_;
  ErrorStatistics statistics_;
};

}  // namespace hone
