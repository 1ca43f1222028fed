#include "libcommon/io/tensor_info.h"

#include <algorithm>

#include "kernels/check.h"
#include "libcommon/base/checked.h"
#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"

namespace hone {
namespace {

// nullopt beyond 2^63 - 1. The last dimension is known to be a whole number of blocks.
std::optional<int64_t> checked_bytes(const TensorInfo& tensor, int64_t elements) {
  const DTypeInfo& type = info(tensor.type);
  int64_t bytes;
  if (__builtin_mul_overflow(elements / type.block_elements, type.block_bytes, &bytes)) {
    return std::nullopt;
  }
  return bytes;
}

}  // namespace

int64_t TensorInfo::elements() const {
  const std::optional<int64_t> count = checked_product(shape);
  CHECK(count.has_value());
  return *count;
}

int64_t TensorInfo::bytes() const {
  const std::optional<int64_t> count = checked_bytes(*this, elements());
  CHECK(count.has_value());
  return *count;
}

void validate_tensor(const TensorInfo& tensor, const std::string& subject) {
  const std::string start = subject + ": tensor " + quote_name(tensor.name) + ": ";
  for (const int64_t dimension : tensor.shape) {
    if (dimension < 0) throw Error(start + "negative dimension in " + shape_text(tensor.shape));
  }
  const std::optional<int64_t> elements = checked_product(tensor.shape);
  if (!elements) throw Error(start + "shape " + shape_text(tensor.shape) + " overflows 64 bits");
  const int64_t block = info(tensor.type).block_elements;
  if (tensor.columns() % block != 0) {
    throw Error(start + "rows of " + std::to_string(tensor.columns()) +
                " elements are not whole blocks of " + std::string(name(tensor.type)) + " (" +
                std::to_string(block) + ")");
  }
  if (!checked_bytes(tensor, *elements)) {
    throw Error(start + "size of " + shape_text(tensor.shape) + " overflows 64 bits");
  }
}

std::string shape_text(const std::vector<int64_t>& shape) {
  constexpr size_t kMost = 8;  // a file may list thousands
  std::string text = "[";
  for (size_t i = 0; i < std::min(shape.size(), kMost); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  }
  return text + (shape.size() > kMost ? ", ...]" : "]");
}

}  // namespace hone
