// Bitmasks, drawn in tensor_view.h: packing a row of a dense matrix, and spreading one. This is the
// storage that compressed-tensors calls sparse-bitmask, with rows of the mask padded to words.
#include <bit>
#include <cstring>

#include "kernels/check.h"
#include "kernels/codec/codec.h"

namespace hone {
namespace {

// Which elements of a row count as zero: (element ^ zero) & significant == 0.
template <typename T>
struct Elements {
  const std::byte* row;
  T zero;
  T significant;

  T at(int64_t c) const {
    T element;
    std::memcpy(&element, row + c * static_cast<int64_t>(sizeof element), sizeof element);
    return element;
  }
  bool kept(T element) const { return static_cast<T>((element ^ zero) & significant) != 0; }
};

// Calls body(elements) with the row as what it is made of.
template <class Body>
int64_t with_elements(const WeightView& dense, int64_t row, const Body& body) {
  CHECK(row >= 0 && row < dense.rows);
  CHECK(dense.index == nullptr && dense.mask == nullptr && dense.zeros == nullptr);
  const std::byte* const from = dense.payload + row * dense.row_stride;
  if (dense.packed_bits == 8) return body(Elements<uint8_t>{from, 0x80, 0xff});
  CHECK(dense.packed_bits == 0);
  if (dense.type == DType::kI8) return body(Elements<uint8_t>{from, 0, 0xff});
  CHECK(dense.type == DType::kBF16 || dense.type == DType::kF16);
  return body(Elements<uint16_t>{from, 0, 0x7fff});
}

}  // namespace

int64_t count_nonzeros(const WeightView& dense, int64_t row) {
  return with_elements(dense, row, [&dense](const auto& elements) {
    int64_t count = 0;
    for (int64_t c = 0; c < dense.columns; ++c) count += elements.kept(elements.at(c));
    return count;
  });
}

// Every element is written; the next one goes over it unless it is kept. No branch to mispredict.
int64_t compress_bitmask(const WeightView& dense, int64_t row, std::byte* kept, std::byte* mask) {
  return with_elements(dense, row, [&](const auto& elements) {
    int64_t count = 0;
    for (int64_t begin = 0; begin < dense.columns; begin += 64) {
      uint64_t word = 0;
      for (int64_t c = begin; c < std::min(begin + 64, dense.columns); ++c) {
        const auto element = elements.at(c);
        const uint64_t bit = elements.kept(element);
        std::memcpy(kept + count * static_cast<int64_t>(sizeof element), &element, sizeof element);
        count += static_cast<int64_t>(bit);
        word |= bit << (c - begin);
      }
      std::memcpy(mask + begin / 8, &word, sizeof word);
    }
    return count;
  });
}

// A kept element is read before a column that lies behind it is written.
void expand_bitmask(const float* kept, const std::byte* mask, int64_t columns, float* dense) {
  for (int64_t c = 0; c < columns; ++c) {
    const bool is_kept = (std::to_integer<unsigned>(mask[c / 8]) >> c % 8 & 1) != 0;
    dense[c] = is_kept ? *kept++ : 0.0f;
  }
}

}  // namespace hone
