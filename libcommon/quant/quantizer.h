// hone-quantize: a model in, the same model in fewer bits out. Or in more: casts of a quantized
// model give its plain weights back.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libcommon/base/error.h"
#include "libcommon/compress/pipeline.h"
#include "libcommon/model/weights.h"
#include "libcommon/quant/cast.h"
#include "libcommon/quant/options.h"
#include "libcommon/quant/round_to_nearest.h"

namespace hone {

// One tensor that changes; exactly one of the transforms is there.
struct QuantizedTensor {
  std::string name;            // plain: "P.weight"
  Scheme scheme;               // after fallbacks
  std::vector<int64_t> shape;  // dense, [out, in] where quantized
  int64_t elements = 0;        // dense
  int64_t bytes_before = 0;    // all parts
  int64_t bytes_after = 0;
  std::shared_ptr<RoundingTransform> rounding;
  std::shared_ptr<CastTransform> cast;

  const ErrorStatistics& statistics() const {
    return rounding ? rounding->statistics() : cast->statistics();
  }
};

struct QuantizePlan {
  StagePlan plan;
  std::vector<QuantizedTensor> tensors;
  std::vector<std::string> notes;  // fallbacks, for people
};

// From the header alone. Errors: kUsage where a scheme does not go with `options.output`; kBadInput
// where the input is quantized already (without --requantize).
QuantizePlan plan_quantization(const CheckpointHeader& header, const std::string& subject,
                               const QuantizeOptions& options);

// The whole program but the parsing of its command line.
ExitCode run_quantize(const QuantizeOptions& options);

}  // namespace hone
