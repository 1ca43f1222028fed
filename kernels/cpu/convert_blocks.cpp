// Q8_0, Q4_0 and Q4_1, sixteen blocks of 32 numbers at a time: encode_block of codec/blocks.cpp,
// operation by operation, for numbers that are finite. Rows that hold others are left to the codec.
#include "kernels/cpu/convert_blocks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <type_traits>

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
// Blocks whose scales are made together, a vector at once: from its largest number to its scale a
// block takes a long chain of operations, and one alone would wait for each of them.
constexpr int64_t kBatch = 16;
using ByteTag = hn::Rebind<uint8_t, FloatTag>;
constexpr ByteTag kBytes;

// Of kBatch blocks: what codes are made with, and what they stand for, code * d + low.
struct Scales {
  HWY_ALIGN float d[kBatch];
  HWY_ALIGN float low[kBatch];       // of code 0; 0 but for Q4_1
  HWY_ALIGN float inverse[kBatch];   // 1 / d, or 0
  HWY_ALIGN float addend[kBatch];    // before the fraction is cut off
  HWY_ALIGN float stored_d[kBatch];  // as F16 has it
  HWY_ALIGN float stored_low[kBatch];
  HWY_ALIGN uint16_t d_bits[kBatch];
  HWY_ALIGN uint16_t low_bits[kBatch];
};

// Lane by lane.
struct Extremes {
  Floats low;
  Floats high;
};

HWY_INLINE Extremes extremes(const float* values) {
  Extremes e = {hn::LoadU(kFloats, values), hn::LoadU(kFloats, values)};
  for (int64_t i = 1; i < kVectors; ++i) {
    const Floats v = hn::LoadU(kFloats, values + i * kLanes);
    e = {hn::Min(e.low, v), hn::Max(e.high, v)};
  }
  return e;
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

// ---- d and low of one block, before they are rounded.

template <class Block>
void find_scale(const float* values, Scales& scales, int64_t i);

template <>
HWY_INLINE void find_scale<BlockQ8_0>(const float* values, Scales& scales, int64_t i) {
  scales.d[i] = largest_magnitude(values) / 127;
}

// Without a branch that depends on where the largest number is: no processor foresees that.
template <>
HWY_INLINE void find_scale<BlockQ4_0>(const float* values, Scales& scales, int64_t i) {
  const Extremes e = extremes(values);
  const Floats largest = hn::MaxOfLanes(kFloats, hn::Max(e.high, hn::Neg(e.low)));
  const bool is_above = !hn::AllFalse(kFloats, hn::Eq(e.high, largest));
  const bool is_below = !hn::AllFalse(kFloats, hn::Eq(e.low, hn::Neg(largest)));
  const uint32_t sign = static_cast<uint32_t>(is_below) << 31;
  float extreme = std::bit_cast<float>(std::bit_cast<uint32_t>(hn::GetLane(largest)) | sign);
  if (HWY_UNLIKELY(is_above & is_below)) {
    extreme = extreme == 0 ? 0.0f : first_of_magnitude(values, -extreme);
  }
  scales.d[i] = extreme / -8;
}

template <>
HWY_INLINE void find_scale<BlockQ4_1>(const float* values, Scales& scales, int64_t i) {
  const Extremes e = extremes(values);
  float low = hn::GetLane(hn::MinOfLanes(kFloats, e.low));
  float high = hn::GetLane(hn::MaxOfLanes(kFloats, e.high));
  if (low == 0) low = first_of_magnitude(values, 0);
  if (high == 0) high = first_of_magnitude(values, 0);
  scales.d[i] = (high - low) / 15;
  scales.low[i] = low;
}

// ---- Of all blocks at once.

HWY_INLINE void round_to_f16(const float* values, uint16_t* bits, float* rounded) {
  const Words narrow = AsF16::narrow(hn::Load(kFloats, values));
  store_bits<AsF16>(narrow, reinterpret_cast<std::byte*>(bits));
  hn::Store(AsF16::widen(narrow), kFloats, rounded);
}

// Where 1 / d overflows, the codec makes infinities and NaN of all numbers, and 0 of those; so do
// these factors.
HWY_INLINE void finish(Scales& scales, float addend) {
  for (int64_t i = 0; i < kBatch; i += kLanes) {
    const Floats d = hn::Load(kFloats, scales.d + i);
    const Floats inverse = hn::Div(hn::Set(kFloats, 1.0f), d);
    const auto fits = hn::IsFinite(inverse);
    const auto is_zero = hn::Eq(d, hn::Zero(kFloats));
    hn::Store(hn::IfThenElseZero(fits, inverse), kFloats, scales.inverse + i);
    hn::Store(hn::IfThenElseZero(hn::Or(fits, is_zero), hn::Set(kFloats, addend)), kFloats,
              scales.addend + i);
    round_to_f16(scales.d + i, scales.d_bits + i, scales.stored_d + i);
    round_to_f16(scales.low + i, scales.low_bits + i, scales.stored_low + i);
  }
}

// ---- One block with its scale.

// Codes are whole numbers: added to 1.5 * 2^23 they lie in the low byte.
HWY_INLINE void store_codes(Floats codes, uint8_t* out) {
  const Words bits = hn::BitCast(kWords, hn::Add(codes, hn::Set(kFloats, 12582912.0f)));
  hn::StoreU(hn::TruncateTo(kBytes, bits), kBytes, out);
}

// The nibbles of two runs of 16: v becomes (v - low) * inverse + addend, without its fraction.
template <bool kHasLow>
HWY_INLINE void store_nibbles(const float* values, const Scales& scales, int64_t i,
                              uint8_t* nibbles, ErrorSums& sums) {
  const Floats inverse = hn::Set(kFloats, scales.inverse[i]);
  const Floats addend = hn::Set(kFloats, scales.addend[i]);
  const Floats d = hn::Set(kFloats, scales.stored_d[i]);
  const Floats most = hn::Set(kFloats, 15.0f);
  // (code - 8) * d is exact as code * d - 8 * d, too: 4 bits times 11.
  const Floats base = hn::Set(kFloats, kHasLow ? scales.stored_low[i] : -8 * scales.stored_d[i]);
  const auto encode = [&](int64_t part, const float* from) HWY_ATTR {
    const Floats v = hn::LoadU(kFloats, from + part * kLanes);
    const Floats above = kHasLow ? hn::Sub(v, hn::Set(kFloats, scales.low[i])) : v;
    const Floats code = hn::Min(hn::Trunc(hn::Add(hn::Mul(above, inverse), addend)), most);
    sums.add(part, v, hn::Add(hn::Mul(code, d), base));
    return code;
  };
  for (int64_t part = 0; part < kParts; ++part) {
    const Floats low = encode(part, values);
    const Floats high = encode(part, values + kBlock);
    store_codes(hn::Add(low, hn::Mul(high, hn::Set(kFloats, 16.0f))), nibbles + part * kLanes);
  }
}

HWY_INLINE void encode(const float* values, const Scales& scales, int64_t i, BlockQ4_0& out,
                       ErrorSums& sums) {
  out.d = scales.d_bits[i];
  store_nibbles<false>(values, scales, i, out.nibbles, sums);
}

HWY_INLINE void encode(const float* values, const Scales& scales, int64_t i, BlockQ4_1& out,
                       ErrorSums& sums) {
  out.d = scales.d_bits[i];
  out.m = scales.low_bits[i];
  store_nibbles<true>(values, scales, i, out.nibbles, sums);
}

HWY_INLINE void encode(const float* values, const Scales& scales, int64_t i, BlockQ8_0& out,
                       ErrorSums& sums) {
  const Floats inverse = hn::Set(kFloats, scales.inverse[i]);
  const Floats d = hn::Set(kFloats, scales.stored_d[i]);
  const Floats half = hn::Set(kFloats, 0x1.fffffep-2f);  // the float below one half
  out.d = scales.d_bits[i];
  for (int64_t part = 0; part < kVectors; ++part) {
    const Floats v = hn::LoadU(kFloats, values + part * kLanes);
    const Floats scaled = hn::Mul(v, inverse);
    const Floats code = hn::Trunc(hn::Add(scaled, hn::CopySignToAbs(half, scaled)));
    store_codes(code, reinterpret_cast<uint8_t*>(out.q) + part * kLanes);
    sums.add(part % kParts, v, hn::Mul(code, d));
  }
}

template <class Block>
RowError encode_row_of(const float* values, int64_t count, std::byte* out) {
  constexpr float kAddend = std::is_same_v<Block, BlockQ4_0> ? 8.5f : 0.5f;
  ErrorSums sums;
  Scales scales = {};
  const int64_t blocks = count / kElements;
  for (int64_t first = 0; first < blocks; first += kBatch) {
    const float* const from = values + first * kElements;
    Block* const to = reinterpret_cast<Block*>(out) + first;
    const int64_t batch = std::min(kBatch, blocks - first);
    for (int64_t i = 0; i < batch; ++i) find_scale<Block>(from + i * kElements, scales, i);
    finish(scales, kAddend);
    for (int64_t i = 0; i < batch; ++i) encode(from + i * kElements, scales, i, to[i], sums);
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
  // Vectors are only right for finite numbers: those of the row, and their differences.
  if (!std::isfinite(error.square_sum + error.square_error)) encode_row(type, values, count, out);
  return error;
}

}  // namespace hone
#endif  // HWY_ONCE
