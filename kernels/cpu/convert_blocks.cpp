// Q8_0, Q4_0 and Q4_1, a block of 32 numbers at a time: encode_block of codec/blocks.cpp, operation
// by operation, for numbers that are finite. Rows that hold others are left to the codec.
#include "kernels/cpu/convert_blocks.h"

#include <cmath>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "kernels/cpu/targets.h"
#include "kernels/formats.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/convert_blocks.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "kernels/cpu/convert-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::HWY_NAMESPACE {
namespace {

constexpr int64_t kElements = 32;
constexpr int64_t kVectors = kElements / kLanes;
using ByteTag = hn::Rebind<uint8_t, FloatTag>;
constexpr ByteTag kBytes;

struct Extremes {
  float low;
  float high;
};

HWY_INLINE Extremes extremes(const float* values) {
  Floats low = hn::LoadU(kFloats, values);
  Floats high = low;
  for (int64_t i = 1; i < kVectors; ++i) {
    const Floats v = hn::LoadU(kFloats, values + i * kLanes);
    low = hn::Min(low, v);
    high = hn::Max(high, v);
  }
  return {hn::GetLane(hn::MinOfLanes(kFloats, low)), hn::GetLane(hn::MaxOfLanes(kFloats, high))};
}

HWY_INLINE float largest_magnitude(const float* values) {
  Floats largest = hn::Abs(hn::LoadU(kFloats, values));
  for (int64_t i = 1; i < kVectors; ++i) {
    largest = hn::Max(largest, hn::Abs(hn::LoadU(kFloats, values + i * kLanes)));
  }
  return hn::GetLane(hn::MaxOfLanes(kFloats, largest));
}

// The first number of that magnitude: of +x and -x, of +0 and -0, the codec takes the first.
HWY_INLINE float first_of_magnitude(const float* values, float wanted) {
  const Floats all = hn::Set(kFloats, wanted);
  for (int64_t i = 0; i < kElements; i += kLanes) {
    const auto same = hn::Eq(hn::Abs(hn::LoadU(kFloats, values + i)), all);
    const auto at = hn::FindFirstTrue(kFloats, same);
    if (at >= 0) return values[i + static_cast<int64_t>(at)];
  }
  return wanted;  // there is a NaN; the row is encoded again
}

// As in codec/blocks.cpp: what has no 8-bit value becomes 0.
HWY_INLINE Ints truncate(Floats value) {
  const auto fits = hn::Lt(hn::Abs(value), hn::Set(kFloats, 256.0f));
  return hn::ConvertTo(kInts, hn::IfThenElseZero(fits, value));
}

HWY_INLINE Ints at_most_15(Ints value) { return hn::Min(value, hn::Set(kInts, 15)); }

float inverse(float d) { return d != 0 ? 1.0f / d : 0.0f; }

// The nibbles of two runs of 16, and the sums of what became of the 32 numbers: code * d + m.
struct NibbleBlock {
  const float* values;
  uint8_t* nibbles;
  float d;
  float m;
};

template <class Encode>
HWY_INLINE void store_nibbles(const NibbleBlock& block, ErrorSums& sums, const Encode& encode) {
  const Floats d = hn::Set(kFloats, block.d);
  const Floats m = hn::Set(kFloats, block.m);
  for (int64_t part = 0; part < kParts; ++part) {
    const Floats first = hn::LoadU(kFloats, block.values + part * kLanes);
    const Floats second = hn::LoadU(kFloats, block.values + kBlock + part * kLanes);
    const Ints low = encode(first);
    const Ints high = encode(second);
    const Ints both = hn::Or(low, hn::ShiftLeft<4>(high));
    hn::StoreU(hn::DemoteTo(kBytes, both), kBytes, block.nibbles + part * kLanes);
    sums.add(part, first, hn::Add(hn::Mul(hn::ConvertTo(kFloats, low), d), m));
    sums.add(part, second, hn::Add(hn::Mul(hn::ConvertTo(kFloats, high), d), m));
  }
}

HWY_INLINE void encode(const float* values, BlockQ4_0& out, ErrorSums& sums) {
  const float largest = largest_magnitude(values);
  const float d = (largest == 0 ? 0.0f : first_of_magnitude(values, largest)) / -8;
  const Floats scale = hn::Set(kFloats, inverse(d));
  out.d = narrow_f16(d);
  const float stored = widen_f16(out.d);
  // (nibble - 8) * d is exact both ways: 4 bits times 11.
  store_nibbles({values, out.nibbles, stored, -8 * stored}, sums, [scale](Floats v) HWY_ATTR {
    return at_most_15(truncate(hn::Add(hn::Mul(v, scale), hn::Set(kFloats, 8.5f))));
  });
}

HWY_INLINE void encode(const float* values, BlockQ4_1& out, ErrorSums& sums) {
  Extremes e = extremes(values);
  if (e.low == 0) e.low = first_of_magnitude(values, 0);
  if (e.high == 0) e.high = first_of_magnitude(values, 0);
  const float d = (e.high - e.low) / 15;
  const Floats scale = hn::Set(kFloats, inverse(d));
  const Floats low = hn::Set(kFloats, e.low);
  out.d = narrow_f16(d);
  out.m = narrow_f16(e.low);
  store_nibbles({values, out.nibbles, widen_f16(out.d), widen_f16(out.m)}, sums,
                [scale, low](Floats v) HWY_ATTR {
                  const Floats steps = hn::Mul(hn::Sub(v, low), scale);
                  return at_most_15(truncate(hn::Add(steps, hn::Set(kFloats, 0.5f))));
                });
}

HWY_INLINE void encode(const float* values, BlockQ8_0& out, ErrorSums& sums) {
  const float d = largest_magnitude(values) / 127;
  const Floats scale = hn::Set(kFloats, inverse(d));
  const Floats half = hn::Set(kFloats, 0x1.fffffep-2f);  // the float below one half
  out.d = narrow_f16(d);
  const Floats stored = hn::Set(kFloats, widen_f16(out.d));
  const hn::Rebind<int8_t, FloatTag> bytes;
  for (int64_t i = 0; i < kVectors; ++i) {
    const Floats v = hn::LoadU(kFloats, values + i * kLanes);
    const Floats scaled = hn::Mul(v, scale);
    const Ints code = truncate(hn::Add(scaled, hn::CopySignToAbs(half, scaled)));
    hn::StoreU(hn::DemoteTo(bytes, code), bytes, out.q + i * kLanes);
    sums.add(i % kParts, v, hn::Mul(hn::ConvertTo(kFloats, code), stored));
  }
}

template <class Block>
RowError encode_row_of(const float* values, int64_t count, std::byte* out) {
  ErrorSums sums;
  for (int64_t i = 0; i < count / kElements; ++i) {
    encode(values + i * kElements, *reinterpret_cast<Block*>(out + i * int64_t{sizeof(Block)}),
           sums);
  }
  return sums.total();
}

}  // namespace

RowError NarrowBlocks(DType type, const float* values, int64_t count, std::byte* out) {
  switch (type) {
    case DType::kQ8_0:
      return encode_row_of<BlockQ8_0>(values, count, out);
    case DType::kQ4_0:
      return encode_row_of<BlockQ4_0>(values, count, out);
    default:
      CHECK(type == DType::kQ4_1);
      return encode_row_of<BlockQ4_1>(values, count, out);
  }
}

}  // namespace hone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone {
namespace {

HWY_EXPORT(NarrowBlocks);

}  // namespace

RowError narrow_blocks_and_compare(DType type, const float* values, int64_t count, std::byte* out) {
  CHECK(count % info(type).block_elements == 0);
  const RowError error = HWY_DYNAMIC_DISPATCH(NarrowBlocks)(type, values, count, out);
  // The comparisons that search a block are only right for finite numbers.
  if (!std::isfinite(error.square_sum)) encode_row(type, values, count, out);
  return error;
}

}  // namespace hone
#endif  // HWY_ONCE
