// See block_range.h.
#include "kernels/cuda/block_range.h"

#include <atomic>
#include <cmath>
#include <cstring>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "kernels/codec/narrow_float.h"
#include "kernels/formats.h"

namespace hone::cuda {
namespace {

constexpr float kLargestF16 = 65504;

float magnitude(uint16_t f16) { return std::abs(widen_f16(f16)); }

// The largest magnitude a block can have, whatever its quants.
float bound(const BlockQ4_1& b) { return magnitude(b.d) * 15 + magnitude(b.m); }
float bound(const BlockQ5_1& b) { return magnitude(b.d) * 31 + magnitude(b.m); }
float bound(const BlockQ4_K& b) { return (magnitude(b.d) * 15 + magnitude(b.dmin)) * 63; }
float bound(const BlockQ5_K& b) { return (magnitude(b.d) * 31 + magnitude(b.dmin)) * 63; }

// From the scales of a row's blocks, and their values where those leave a doubt.
template <typename Block>
bool row_fits(DType type, const std::byte* row, int64_t blocks) {
  for (int64_t i = 0; i < blocks; ++i, row += sizeof(Block)) {
    Block block;
    std::memcpy(&block, row, sizeof block);
    if (bound(block) <= kLargestF16) continue;
    float values[256] = {};
    decode_row(type, row, info(type).block_elements, values);
    for (const float v : values) {
      if (std::abs(v) > kLargestF16) return false;
    }
  }
  return true;
}

bool row_fits(const WeightView& host, int64_t r) {
  const std::byte* const row = host.payload + r * host.row_stride;
  const int64_t blocks = payload_row_bytes(host) / info(host.type).block_bytes;
  switch (host.type) {
    case DType::kQ4_1:
      return row_fits<BlockQ4_1>(host.type, row, blocks);
    case DType::kQ5_1:
      return row_fits<BlockQ5_1>(host.type, row, blocks);
    case DType::kQ4_K:
      return row_fits<BlockQ4_K>(host.type, row, blocks);
    default:
      CHECK(host.type == DType::kQ5_K);
      return row_fits<BlockQ5_K>(host.type, row, blocks);
  }
}

}  // namespace

bool BlockRange::fits_f16(const WeightView& host) {
  constexpr int64_t kRowsAtOnce = 64;
  const auto [known, fresh] = known_.try_emplace({host.payload, host.rows, host.columns}, true);
  if (!fresh) return known->second;
  std::atomic<bool> fits = true;
  pool_.parallel_for(host.rows, kRowsAtOnce, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end && fits; ++r) {
      if (!row_fits(host, r)) fits = false;
    }
  });
  return known->second = fits;
}

}  // namespace hone::cuda
