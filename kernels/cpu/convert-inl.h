// Vector vocabulary of the conversions: narrow floats both ways, and sums of errors whose bits do
// not depend on the vector width. Compiled per target.
#if defined(HONE_CPU_CONVERT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_CONVERT_INL_H_
#undef HONE_CPU_CONVERT_INL_H_
#else
#define HONE_CPU_CONVERT_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/codec/narrow_float.h"
#include "kernels/convert.h"

HWY_BEFORE_NAMESPACE();
namespace hone::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, 16>;
using IntTag = hn::Rebind<int32_t, FloatTag>;
using WordTag = hn::Rebind<uint32_t, FloatTag>;
using Floats = hn::Vec<FloatTag>;
using Ints = hn::Vec<IntTag>;
using Words = hn::Vec<WordTag>;
constexpr FloatTag kFloats;
constexpr IntTag kInts;
constexpr WordTag kWords;
constexpr int64_t kLanes = hn::MaxLanes(FloatTag());
constexpr int64_t kBlock = 16;               // numbers of one step: one for each partial sum
constexpr int64_t kParts = kBlock / kLanes;  // vectors of one step

// ---- The functions of narrow_float.h, lane by lane, operation by operation.

// Magnitudes are below 2^31: they compare as signed numbers.
HWY_INLINE hn::Mask<WordTag> above(Words magnitude, uint32_t bound) {
  const auto result =
      hn::Gt(hn::BitCast(kInts, magnitude), hn::Set(kInts, static_cast<int32_t>(bound)));
  return hn::RebindMask(kWords, result);
}

template <class Narrow>
HWY_INLINE Words widen_magnitude(Words magnitude, int mantissa_bits) {
  const Words shifted = hn::ShiftLeft<Narrow::kShift>(magnitude);
  const Words least = hn::Set(kWords, Narrow::kLeastNormal);
  const Floats subnormal =
      hn::Sub(hn::BitCast(kFloats, hn::Add(shifted, least)), hn::BitCast(kFloats, least));
  const Words normal = hn::Add(shifted, hn::Set(kWords, Narrow::kRebias));
  const auto is_normal = above(magnitude, (1u << mantissa_bits) - 1);
  return hn::IfThenElse(is_normal, normal, hn::BitCast(kWords, subnormal));
}

template <class Narrow>
HWY_INLINE Words narrow_magnitude(Words magnitude) {
  constexpr int kShift = Narrow::kShift;
  const Words odd = hn::And(hn::ShiftRight<kShift>(magnitude), hn::Set(kWords, 1u));
  const Words half = hn::Set(kWords, (1u << (kShift - 1)) - 1 - Narrow::kRebias);
  const Words normal = hn::ShiftRight<kShift>(hn::Add(hn::Add(magnitude, half), odd));
  const Words magic = hn::Set(kWords, (128 - Narrow::kBias + Narrow::kShift) << 23);
  const Floats sum = hn::Add(hn::BitCast(kFloats, magnitude), hn::BitCast(kFloats, magic));
  const Words subnormal = hn::Sub(hn::BitCast(kWords, sum), magic);
  return hn::IfThenElse(above(magnitude, Narrow::kLeastNormal - 1), normal, subnormal);
}

struct AsBF16 {
  static constexpr DType kType = DType::kBF16;
  using Stored = uint16_t;
  static HWY_INLINE Floats widen(Words bits) {
    return hn::BitCast(kFloats, hn::ShiftLeft<16>(bits));
  }
  static HWY_INLINE Words narrow(Floats value) {
    const Words bits = hn::BitCast(kWords, value);
    const Words upper = hn::ShiftRight<16>(bits);
    const Words odd = hn::And(upper, hn::Set(kWords, 1u));
    const Words rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(kWords, 0x7fffu)), odd));
    const auto is_nan = above(hn::And(bits, hn::Set(kWords, 0x7fffffffu)), kFloatInfinity);
    return hn::IfThenElse(is_nan, hn::Or(upper, hn::Set(kWords, 0x40u)), rounded);
  }
};

// With F16C, of every processor with AVX2, the conversions are instructions.
constexpr bool kConvertsF16 = HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2;

struct AsF16 {
  static constexpr DType kType = DType::kF16;
  using Stored = uint16_t;
  static HWY_INLINE Floats widen(Words bits) {
    if constexpr (kConvertsF16) {
      const auto narrow = hn::DemoteTo(kStored, hn::BitCast(kInts, bits));
      const Floats wide = hn::PromoteTo(kFloats, hn::BitCast(kHalves, narrow));
      // The instruction makes every NaN quiet; the codec keeps its bits.
      if (HWY_LIKELY(hn::AllFalse(kFloats, hn::IsNaN(wide)))) return wide;
    }
    const Words sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(kWords, 0x8000u)));
    const Words magnitude = hn::And(bits, hn::Set(kWords, 0x7fffu));
    const Words special = hn::Or(hn::Set(kWords, kFloatInfinity), hn::ShiftLeft<13>(magnitude));
    const Words wide =
        hn::IfThenElse(above(magnitude, 0x7bff), special, widen_magnitude<Half>(magnitude, 10));
    return hn::BitCast(kFloats, hn::Or(sign, wide));
  }
  static HWY_INLINE Words narrow(Floats value) {
    if constexpr (kConvertsF16) {
      return hn::PromoteTo(kWords, hn::BitCast(kStored, hn::DemoteTo(kHalves, value)));
    }
    const Words bits = hn::BitCast(kWords, value);
    const Words magnitude = hn::And(bits, hn::Set(kWords, 0x7fffffffu));
    const Words rounded = narrow_magnitude<Half>(magnitude);
    const Words infinity = hn::Set(kWords, 0x7c00u);
    const Words number = hn::IfThenElse(above(rounded, 0x7bff), infinity, rounded);
    const Words payload = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(kWords, 0x3ffu));
    const Words nan = hn::Or(hn::Set(kWords, 0x7e00u), payload);
    const Words rest = hn::IfThenElse(above(magnitude, kFloatInfinity), nan, number);
    return hn::Or(hn::And(hn::ShiftRight<16>(bits), hn::Set(kWords, 0x8000u)), rest);
  }

 private:
  static constexpr hn::Rebind<uint16_t, FloatTag> kStored{};
  static constexpr hn::Rebind<hwy::float16_t, FloatTag> kHalves{};
};

struct AsF8E4M3 {
  static constexpr DType kType = DType::kF8E4M3;
  using Stored = uint8_t;
  static HWY_INLINE Floats widen(Words bits) {
    const Words sign = hn::ShiftLeft<24>(hn::And(bits, hn::Set(kWords, 0x80u)));
    const Words magnitude = hn::And(bits, hn::Set(kWords, 0x7fu));
    const Words wide = hn::IfThenElse(above(magnitude, 0x7e), hn::Set(kWords, 0x7fc00000u),
                                      widen_magnitude<Float8>(magnitude, 3));
    return hn::BitCast(kFloats, hn::Or(sign, wide));
  }
  static HWY_INLINE Words narrow(Floats value) {
    const Words bits = hn::BitCast(kWords, value);
    const Words magnitude = hn::And(bits, hn::Set(kWords, 0x7fffffffu));
    const Words largest = hn::Set(kWords, 0x43e00000u);  // 448
    const Words bounded = hn::IfThenElse(above(magnitude, 0x43dfffff), largest, magnitude);
    const Words rest = hn::IfThenElse(above(magnitude, kFloatInfinity), hn::Set(kWords, 0x7fu),
                                      narrow_magnitude<Float8>(bounded));
    return hn::Or(hn::And(hn::ShiftRight<24>(bits), hn::Set(kWords, 0x80u)), rest);
  }
};

// kLanes stored numbers, whatever their alignment.
template <class As>
HWY_INLINE Words load_bits(const std::byte* from) {
  const hn::Rebind<typename As::Stored, FloatTag> d;
  return hn::PromoteTo(kWords, hn::LoadU(d, reinterpret_cast<const typename As::Stored*>(from)));
}

template <class As>
HWY_INLINE void store_bits(Words bits, std::byte* to) {
  const hn::Rebind<typename As::Stored, FloatTag> d;
  hn::StoreU(hn::DemoteTo(d, hn::BitCast(kInts, bits)), d,
             reinterpret_cast<typename As::Stored*>(to));
}

// ---- Sixteen partial sums of squares, and the largest error.

#if HWY_TARGET == HWY_SCALAR
using DoubleTag = hn::CappedTag<double, 1>;
constexpr int64_t kHalves = 1;  // a vector of floats is so many of doubles
#else
using DoubleTag = hn::Rebind<double, hn::Half<FloatTag>>;
constexpr int64_t kHalves = 2;
#endif
constexpr DoubleTag kDoubles;
using Doubles = hn::Vec<DoubleTag>;

class ErrorSums {
 public:
  ErrorSums() {
    for (Doubles& sum : square_sum_) sum = hn::Zero(kDoubles);
    for (Doubles& sum : square_error_) sum = hn::Zero(kDoubles);
    for (Floats& worst : worst_) worst = hn::Zero(kFloats);
  }

  // Part `part` of a step: the numbers kLanes * part and following.
  HWY_INLINE void add(int64_t part, Floats before, Floats after) {
    const Floats difference = hn::Sub(after, before);
    add_squares(square_sum_ + part * kHalves, before);
    add_squares(square_error_ + part * kHalves, difference);
    worst_[part] = hn::Max(worst_[part], hn::Abs(difference));
  }

  RowError total() const {
    RowError result;
    for (const Floats& worst : worst_) {
      result.worst = std::max(result.worst, hn::GetLane(hn::MaxOfLanes(kFloats, worst)));
    }
    result.square_sum = in_order(square_sum_);
    result.square_error = in_order(square_error_);
    return result;
  }

 private:
  // The square of a float has 48 bits: exact, so a fused multiply-add rounds as the two steps do.
  static HWY_INLINE void add_squares(Doubles* sums, Floats values) {
#if HWY_TARGET == HWY_SCALAR
    const Doubles wide = hn::PromoteTo(kDoubles, values);
    sums[0] = hn::MulAdd(wide, wide, sums[0]);
#else
    const hn::Half<FloatTag> half;
    const Doubles low = hn::PromoteTo(kDoubles, hn::LowerHalf(half, values));
    const Doubles high = hn::PromoteTo(kDoubles, hn::UpperHalf(half, values));
    sums[0] = hn::MulAdd(low, low, sums[0]);
    sums[1] = hn::MulAdd(high, high, sums[1]);
#endif
  }

  static double in_order(const Doubles* sums) {
    HWY_ALIGN double lanes[kBlock];
    for (int64_t i = 0; i < kParts * kHalves; ++i) {
      hn::Store(sums[i], kDoubles, lanes + i * static_cast<int64_t>(hn::Lanes(kDoubles)));
    }
    double sum = 0;
    for (double lane : lanes) sum += lane;
    return sum;
  }

  Doubles square_sum_[kParts * kHalves];
  Doubles square_error_[kParts * kHalves];
  Floats worst_[kParts];
};

}  // namespace
}  // namespace hone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
