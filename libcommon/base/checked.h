// Sums and products of numbers that come from files: nullopt instead of wrapping round.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace hone {

inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t result;
  if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t result;
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}

// Product of a shape's dimensions, 1 for a scalar; nullopt beyond 2^63 - 1.
inline std::optional<int64_t> checked_product(std::span<const int64_t> shape) {
  int64_t product = 1;
  for (int64_t dimension : shape) {
    if (dimension < 0 || __builtin_mul_overflow(product, dimension, &product)) return std::nullopt;
  }
  return product;
}

}  // namespace hone
