// See block_codes.h.
#include "kernels/cuda/block_codes.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "kernels/codec/narrow_float.h"
#include "kernels/formats.h"

namespace hone::cuda {
namespace {

constexpr float kLargestF16 = 65504;

// The largest magnitude a block can have, whatever its quants.
float bound(const BlockQ4_1& b) {
  return std::abs(f16_to_f32(b.d)) * 15 + std::abs(f16_to_f32(b.m));
}
float bound(const BlockQ5_1& b) {
  return std::abs(f16_to_f32(b.d)) * 31 + std::abs(f16_to_f32(b.m));
}
template <typename KBlock>
float bound_of_k(const KBlock& b, float largest_quant) {
  return (std::abs(f16_to_f32(b.d)) * largest_quant + std::abs(f16_to_f32(b.dmin))) * 63;
}
float bound(const BlockQ4_K& b) { return bound_of_k(b, 15); }
float bound(const BlockQ5_K& b) { return bound_of_k(b, 31); }

// Values of a block of one of GGUF's types.
template <typename Block>
void decode(DType type, const Block& block, float (&out)[256]) {
  decode_row(type, reinterpret_cast<const std::byte*>(&block), info(type).block_elements, out);
}

// Whether F16 can hold a matrix: from the scales of its blocks, and their values where those leave
// a doubt.
template <typename Block>
bool fit_f16(const WeightView& host) {
  const int64_t blocks = payload_row_bytes(host) / static_cast<int64_t>(sizeof(Block));
  for (int64_t r = 0; r < host.rows; ++r) {
    const std::byte* at = host.payload + r * host.row_stride;
    for (int64_t i = 0; i < blocks; ++i, at += sizeof(Block)) {
      Block block;
      std::memcpy(&block, at, sizeof block);
      if (bound(block) <= kLargestF16) continue;
      float values[256] = {};
      decode(host.type, block, values);
      for (const float v : values) {
        if (std::abs(v) > kLargestF16) return false;
      }
    }
  }
  return true;
}

// The integers of one block, as codes that a scale makes values of.
void codes_of(const BlockQ8_0& block, int8_t* out) { std::copy_n(block.q, 32, out); }
void codes_of(const BlockQ4_0& block, int8_t* out) {
  for (int j = 0; j < 16; ++j) {
    out[j] = static_cast<int8_t>((block.nibbles[j] & 15) - 8);
    out[j + 16] = static_cast<int8_t>((block.nibbles[j] >> 4) - 8);
  }
}
void codes_of(BlockQ5_0 block, int8_t* out) {
  block.d = f32_to_f16(1);
  float values[256];
  decode(DType::kQ5_0, block, values);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<int8_t>(values[i]);
}
void codes_of(BlockQ6_K block, int8_t* out) {
  block.d = f32_to_f16(1);
  std::fill_n(block.scales, 16, int8_t{1});
  float values[256];
  decode(DType::kQ6_K, block, values);
  for (int i = 0; i < 256; ++i) out[i] = static_cast<int8_t>(values[i]);
}

void look_up(const int8_t (&table)[16], const uint8_t* nibbles, int8_t* out) {
  for (int j = 0; j < 16; ++j) {
    out[j] = table[nibbles[j] & 15];
    out[j + 16] = table[nibbles[j] >> 4];
  }
}
void codes_of(const BlockIQ4_NL& block, int8_t* out) { look_up(kNonLinear, block.nibbles, out); }
void codes_of(const BlockMXFP4& block, int8_t* out) { look_up(kDoubledFp4, block.nibbles, out); }
void codes_of(const BlockIQ4_XS& block, int8_t* out) {
  for (int b = 0; b < 8; ++b) look_up(kNonLinear, block.nibbles + 16 * b, out + 32 * b);
}

template <typename Block>
void all_codes(const std::byte* row, int64_t count, int64_t elements, int8_t* out) {
  for (int64_t i = 0; i < count; i += elements, row += sizeof(Block)) {
    Block block;
    std::memcpy(&block, row, sizeof block);
    codes_of(block, out + i);
  }
}

template <typename Block>
void copy_scales(const std::byte* row, int64_t groups, std::byte* out) {
  for (int64_t g = 0; g < groups; ++g) {
    const Block* const block = reinterpret_cast<const Block*>(row) + g;  // packed: any alignment
    std::memcpy(out + 2 * g, &block->d, 2);
  }
}

// Of group g of a block, as a float.
float scale_of(const BlockQ6_K& b, int g) {
  return f16_to_f32(b.d) * static_cast<float>(b.scales[g]);
}
float scale_of(const BlockIQ4_XS& b, int g) {
  return f16_to_f32(b.d) * static_cast<float>(b.factor(g));
}
float scale_of(const BlockMXFP4& b, int) { return half_of_e8m0(b.e); }

template <typename Block>
void float_scales(const std::byte* row, int64_t groups, int64_t in_block, std::byte* out) {
  for (int64_t g = 0; g < groups; ++g) {
    Block block;
    std::memcpy(&block, row + g / in_block * static_cast<int64_t>(sizeof block), sizeof block);
    const float scale = scale_of(block, static_cast<int>(g % in_block));
    std::memcpy(out + 4 * g, &scale, sizeof scale);
  }
}

}  // namespace

void codes_of_blocks(DType type, const std::byte* row, int64_t count, int8_t* out) {
  switch (type) {
    case DType::kQ8_0:
      return all_codes<BlockQ8_0>(row, count, 32, out);
    case DType::kQ4_0:
      return all_codes<BlockQ4_0>(row, count, 32, out);
    case DType::kQ5_0:
      return all_codes<BlockQ5_0>(row, count, 32, out);
    case DType::kIQ4_NL:
      return all_codes<BlockIQ4_NL>(row, count, 32, out);
    case DType::kIQ4_XS:
      return all_codes<BlockIQ4_XS>(row, count, 256, out);
    case DType::kMXFP4:
      return all_codes<BlockMXFP4>(row, count, 32, out);
    default:
      CHECK(type == DType::kQ6_K);
      return all_codes<BlockQ6_K>(row, count, 256, out);
  }
}

void scales_of_blocks(DType type, const std::byte* row, int64_t groups, std::byte* out) {
  switch (type) {
    case DType::kQ8_0:
      return copy_scales<BlockQ8_0>(row, groups, out);
    case DType::kQ4_0:
      return copy_scales<BlockQ4_0>(row, groups, out);
    case DType::kQ5_0:
      return copy_scales<BlockQ5_0>(row, groups, out);
    case DType::kIQ4_NL:
      return copy_scales<BlockIQ4_NL>(row, groups, out);
    case DType::kIQ4_XS:
      return float_scales<BlockIQ4_XS>(row, groups, 8, out);
    case DType::kMXFP4:
      return float_scales<BlockMXFP4>(row, groups, 1, out);
    default:
      CHECK(type == DType::kQ6_K);
      return float_scales<BlockQ6_K>(row, groups, 16, out);
  }
}

bool blocks_fit_f16(const WeightView& host) {
  switch (host.type) {
    case DType::kQ4_1:
      return fit_f16<BlockQ4_1>(host);
    case DType::kQ5_1:
      return fit_f16<BlockQ5_1>(host);
    case DType::kQ4_K:
      return fit_f16<BlockQ4_K>(host);
    default:
      CHECK(host.type == DType::kQ5_K);
      return fit_f16<BlockQ5_K>(host);
  }
}

}  // namespace hone::cuda
