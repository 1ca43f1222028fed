// A tensor's header: all that a two-phase transform needs to plan before the first data byte.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/dtype.h"

namespace hone {

struct TensorInfo {
  std::string name;            // Hugging Face name
  DType type = DType::kF32;    // may be a GGUF block type: rows of blocks along the last dimension
  std::vector<int64_t> shape;  // row-major, in elements; [] is a scalar

  int64_t elements() const;  // readers have checked that this and bytes() do not overflow
  int64_t bytes() const;
  // A matrix view: the last dimension is the row, all before are rows. Scalars: 1 x 1.
  int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  int64_t rows() const { return columns() == 0 ? 0 : elements() / columns(); }

  bool operator==(const TensorInfo&) const = default;
};

// Checked elements and bytes; throws Error("SUBJECT: tensor 'name': ...") on overflow, negative
// dimensions, or a row that is not a whole number of blocks. Every reader calls it first.
void validate_tensor(const TensorInfo& tensor, const std::string& subject);

// "[4096, 1024]"
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace hone
