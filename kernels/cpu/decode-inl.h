// Stored weights to vectors of f32, one struct per storage. A reader stands on one row:
//
//   segment_end(c)  a segment of columns [c, segment_end(c)), multiples of kParts * kLanes, shares
//                   what begin reads; it ends at the group's end, too
//   begin(c, g)     go to the segment that starts at column c, in group g: reads its scale
//   load(c)         kLanes values from column c on, inside the segment
//   prefetch(c, n)  ask for what a product of n rows at a time reads a little after column c
//
// kPlain: all columns are alike. kFromMemory: decoding costs so little that memory sets the pace of
// a product.
//
// A reader whose storage interleaves columns gives kParts vectors from c on by load<0>(c),
// load<1>(c) ... instead, so that what they share is computed once.
//
// What load returns are the same floats that codec gives: a product reads them from registers and a
// tile from memory, with equal results. Compiled once per target (no ordinary include guard).
#if defined(HONE_CPU_DECODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_DECODE_INL_H_
#undef HONE_CPU_DECODE_INL_H_
#else
#define HONE_CPU_DECODE_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/codec/codec.h"
#include "kernels/cpu/span.h"
#include "kernels/tensor_view.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, 16>;
using Floats = hn::Vec<FloatTag>;
template <typename T>
using Tag = hn::Rebind<T, FloatTag>;  // as many lanes as FloatTag
using Ints = hn::Vec<Tag<int32_t>>;
using Words = hn::Vec<Tag<uint32_t>>;

constexpr FloatTag kFloatTag;
constexpr int64_t kLanes = hn::MaxLanes(FloatTag());
constexpr int64_t kEndless = int64_t{1} << 61;  // twice it, for 2:4, still fits

// F16C or its like: F16 is widened by one instruction.
constexpr bool kNativeHalf =
    HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON;

// Vector load from any address; the lanes of a one-lane vector too.
template <class D>
HWY_INLINE hn::Vec<D> load_bytes(D d, const void* from) {
  if constexpr (hn::MaxLanes(D()) == 1) {
    hn::TFromD<D> value;
    std::memcpy(&value, from, sizeof value);
    return hn::Set(d, value);
  } else {
    return hn::BitCast(d,
                       hn::LoadU(hn::Repartition<uint8_t, D>(), static_cast<const uint8_t*>(from)));
  }
}

HWY_INLINE Floats to_floats(Ints v) { return hn::ConvertTo(kFloatTag, v); }

HWY_INLINE Ints widen_bytes(const void* from) {
  return hn::PromoteTo(Tag<int32_t>(), load_bytes(Tag<uint8_t>(), from));
}

HWY_INLINE Floats widen_bf16(const void* from) {
  const Words bits = hn::PromoteTo(Tag<uint32_t>(), load_bytes(Tag<uint16_t>(), from));
  return hn::BitCast(kFloatTag, hn::ShiftLeft<16>(bits));
}

// The magnitude of a narrow float, moved so that its mantissa ends where a float's does: add the
// difference of the exponent biases, or, for subnormals, renormalise with one subtraction.
template <int kRebias>
HWY_INLINE Floats widen_magnitude(Words shifted) {
  const Tag<uint32_t> d;
  const Words least = hn::Set(d, static_cast<uint32_t>(kRebias + 1) << 23);
  const Floats normal =
      hn::BitCast(kFloatTag, hn::Add(shifted, hn::Set(d, static_cast<uint32_t>(kRebias) << 23)));
  const Floats subnormal =
      hn::Sub(hn::BitCast(kFloatTag, hn::Add(shifted, least)), hn::BitCast(kFloatTag, least));
  const auto is_normal =
      hn::Gt(hn::BitCast(Tag<int32_t>(), shifted), hn::Set(Tag<int32_t>(), (1 << 23) - 1));
  return hn::IfThenElse(hn::RebindMask(kFloatTag, is_normal), normal, subnormal);
}

HWY_INLINE Floats widen_f16(const void* from) {
  if constexpr (kNativeHalf) {
    const auto bits = load_bytes(Tag<uint16_t>(), from);
    return hn::PromoteTo(kFloatTag, hn::BitCast(Tag<hwy::float16_t>(), bits));
  } else {
    const Tag<uint32_t> d;
    const Words bits = hn::PromoteTo(d, load_bytes(Tag<uint16_t>(), from));
    const Words magnitude = hn::And(bits, hn::Set(d, 0x7fff));
    const Words sign = hn::ShiftLeft<16>(hn::Sub(bits, magnitude));
    const Words shifted = hn::ShiftLeft<13>(magnitude);
    const Floats special = hn::BitCast(kFloatTag, hn::Or(shifted, hn::Set(d, 0x7f800000)));
    const auto is_special = hn::RebindMask(
        kFloatTag, hn::Gt(hn::BitCast(Tag<int32_t>(), magnitude), hn::Set(Tag<int32_t>(), 0x7bff)));
    const Floats wide = hn::IfThenElse(is_special, special, widen_magnitude<112>(shifted));
    return hn::Or(wide, hn::BitCast(kFloatTag, sign));
  }
}

// 2^-8 times a number that is no NaN: an F16 with the same exponent and mantissa fields. (A float
// with them would often be a subnormal, which some processors multiply a hundred times as slowly.)
HWY_INLINE Floats widen_f8e4m3_as_half(const void* from) {
  const Tag<int16_t> d;
  const auto wide = hn::PromoteTo(d, load_bytes(Tag<int8_t>(), from));
  const auto half = hn::And(hn::ShiftLeft<7>(wide), hn::Set(d, static_cast<int16_t>(0xbf80)));
  return hn::PromoteTo(kFloatTag, hn::BitCast(Tag<hwy::float16_t>(), half));
}

HWY_INLINE Floats widen_f8e4m3(const void* from) {
  const Tag<uint32_t> d;
  const Words bits = hn::PromoteTo(d, load_bytes(Tag<uint8_t>(), from));
  const Words magnitude = hn::And(bits, hn::Set(d, 0x7f));
  const Words sign = hn::ShiftLeft<24>(hn::Sub(bits, magnitude));
  const Floats nan = hn::BitCast(kFloatTag, hn::Set(d, 0x7fc00000));
  const auto is_nan = hn::RebindMask(kFloatTag, hn::Eq(magnitude, hn::Set(d, 0x7f)));
  const Floats wide =
      hn::IfThenElse(is_nan, nan, widen_magnitude<120>(hn::ShiftLeft<20>(magnitude)));
  return hn::Or(wide, hn::BitCast(kFloatTag, sign));
}

HWY_INLINE float half_to_float(uint16_t bits) {
  if constexpr (kNativeHalf) {
    const hn::CappedTag<float, 1> d;
    const auto half = hn::BitCast(hn::Rebind<hwy::float16_t, decltype(d)>(),
                                  hn::Set(hn::Rebind<uint16_t, decltype(d)>(), bits));
    return hn::GetLane(hn::PromoteTo(d, half));
  } else {
    return f16_to_f32(bits);
  }
}

HWY_INLINE float load_scale(DType type, const std::byte* scales, int64_t i) {
  if (type == DType::kF32) {
    float scale;
    std::memcpy(&scale, scales + 4 * i, sizeof scale);
    return scale;
  }
  uint16_t bits;
  std::memcpy(&bits, scales + 2 * i, sizeof bits);
  return type == DType::kBF16 ? bf16_to_f32(bits) : half_to_float(bits);
}

// ---- Floats without scales. They cost so little to decode that memory sets the pace, and the
// hardware's prefetcher comes late for one stream per row. What is asked for is what will be read
// kAhead bytes later: behind the end of a row comes not the next one, which is being read already,
// but the one `rows` after it. An address behind the matrix does no harm. (Decoding int8 and int4
// sets its own pace: asking for lines cost them a tenth.)
constexpr int64_t kAhead = 2048;
constexpr int64_t kLine = 64;

template <Floats (*kWiden)(const void*), int kBytes>
struct PlainReader {
  static constexpr int kParts = 1;
  static constexpr bool kPlain = true;
  static constexpr bool kFromMemory = true;
  static constexpr int64_t kLineColumns = kLine / kBytes;
  const std::byte* row;
  int64_t bytes;
  int64_t stride;

  PlainReader(const WeightView& w, int64_t r)
      : row(w.payload + r * w.row_stride), bytes(w.columns * kBytes), stride(w.row_stride) {}
  HWY_INLINE int64_t segment_end(int64_t c) const { return c + kLine / kBytes; }
  HWY_INLINE void begin(int64_t, int64_t) {}
  HWY_INLINE void prefetch(int64_t c, int rows) const {
    const int64_t at = c * kBytes + kAhead;
    __builtin_prefetch(row + at + (at < bytes ? 0 : (rows - 1) * stride), 0, 2);  // into L2
  }
  HWY_INLINE Floats load(int64_t c) const { return kWiden(row + c * kBytes); }
  // Of the row that lies `down` rows below.
  HWY_INLINE Floats load(int64_t c, int64_t down) const {
    return kWiden(row + down * stride + c * kBytes);
  }
};

HWY_INLINE Floats load_f32(const void* from) { return load_bytes(kFloatTag, from); }

using F32Reader = PlainReader<load_f32, 4>;
using F16Reader = PlainReader<widen_f16, 2>;
using Bf16Reader = PlainReader<widen_bf16, 2>;

// ---- Elements with scales. A Codes struct gives elements plus kOffset, as floats.

struct I8Codes {
  static constexpr int kOffset = 0;
  const std::byte* row;
  I8Codes(const WeightView& w, int64_t r) : row(w.payload + r * w.row_stride) {}
  HWY_INLINE int64_t segment_end(int64_t) const { return kEndless; }
  HWY_INLINE void begin(int64_t) {}
  HWY_INLINE Floats load(int64_t c) const {
    return to_floats(hn::PromoteTo(Tag<int32_t>(), load_bytes(Tag<int8_t>(), row + c)));
  }
};

// Packed integers of 2, 4 or 8 bits: bytes are spread so that each holds one, or, with AVX2, each
// lane shifts a word of its own.
template <int kBits>
struct PackedCodes {
  static constexpr int kOffset = 1 << (kBits - 1);
  const std::byte* row;
  PackedCodes(const WeightView& w, int64_t r) : row(w.payload + r * w.row_stride) {}
  HWY_INLINE int64_t segment_end(int64_t) const { return kEndless; }
  HWY_INLINE void begin(int64_t) {}
  HWY_INLINE Floats load(int64_t c) const {
    const std::byte* const from = row + c * kBits / 8;
    if constexpr (kBits == 8) {
      return to_floats(widen_bytes(from));
    } else if constexpr (kLanes == 1) {
      const int bits = std::to_integer<int>(*from) >> (c * kBits % 8) & (2 * kOffset - 1);
      return hn::Set(kFloatTag, static_cast<float>(bits));
    } else if constexpr (kLanes == 8) {
      return to_floats(shift_apart(from));
    } else {
      return to_floats(hn::PromoteTo(Tag<int32_t>(), spread(from)));
    }
  }

 private:
  // Eight integers.
  static HWY_INLINE Ints shift_apart(const std::byte* from) {
    const Tag<uint32_t> d;
    std::conditional_t<kBits == 4, uint32_t, uint16_t> bits;
    std::memcpy(&bits, from, sizeof bits);
    const Words codes = hn::Shr(hn::Set(d, bits), hn::Mul(hn::Iota(d, 0), hn::Set(d, kBits)));
    return hn::BitCast(Tag<int32_t>(), hn::And(codes, hn::Set(d, 2 * kOffset - 1)));
  }
  // 4 bits: byte hi|lo -> 16-bit lane 0 hi 0 lo.  2 bits: byte d|c|b|a -> 32-bit lane d c b a.
  static HWY_INLINE auto spread(const std::byte* from) {
    using Wide = std::conditional_t<kBits == 4, uint16_t, uint32_t>;
    const hn::Repartition<Wide, Tag<uint8_t>> d;
    const auto packed = hn::PromoteTo(d, load_bytes(hn::Rebind<uint8_t, decltype(d)>(), from));
    if constexpr (kBits == 4) {
      const auto pairs = hn::Or(packed, hn::ShiftLeft<4>(packed));
      return hn::BitCast(Tag<uint8_t>(), hn::And(pairs, hn::Set(d, Wide{0x0f0f})));
    } else {
      const auto twos = hn::Or(packed, hn::ShiftLeft<12>(packed));  // b|a at 0, d|c at 16
      const auto ones = hn::Or(twos, hn::ShiftLeft<6>(twos));
      return hn::BitCast(Tag<uint8_t>(), hn::And(ones, hn::Set(d, Wide{0x03030303})));
    }
  }
};

// Eight integers of kBits bits, spread to the bytes of a word: halves, quarters, eighths.
template <int kBits>
HWY_INLINE uint64_t spread_eight(uint64_t packed) {
  constexpr uint64_t kFour = (uint64_t{1} << 4 * kBits) - 1;
  constexpr uint64_t kTwo = ((uint64_t{1} << 2 * kBits) - 1) * 0x0000000100000001;
  constexpr uint64_t kOne = ((uint64_t{1} << kBits) - 1) * 0x0001000100010001;
  packed = (packed & kFour) | (packed >> 4 * kBits & kFour) << 32;
  packed = (packed & kTwo) | (packed >> 2 * kBits & kTwo) << 16;
  return (packed & kOne) | (packed >> kBits & kOne) << 8;
}

// Packed integers of 3, 5, 6 or 7 bits, through some unpacked ones.
template <int kBits>
struct UnpackedCodes {
  static constexpr int kOffset = 1 << (kBits - 1);
  static constexpr int64_t kPiece = 128;
  const std::byte* row;
  int64_t bytes;  // of the row
  int64_t first = 0;
  uint64_t piece[kPiece / 8];

  UnpackedCodes(const WeightView& w, int64_t r)
      : row(w.payload + r * w.row_stride), bytes(payload_row_bytes(w)) {}
  HWY_INLINE int64_t segment_end(int64_t c) const { return c + kPiece; }
  HWY_INLINE void begin(int64_t c) {
    first = c;
    const int64_t rest = bytes - c / 8 * kBits;
    for (int64_t i = 0; i < kPiece / 8 && i * kBits < rest; ++i) {
      uint64_t eight = 0;
      const std::byte* const from = row + (c / 8 + i) * kBits;
      if (i * kBits + 8 <= rest) {
        std::memcpy(&eight, from, 8);  // and some of the next: one load, whatever kBits is
      } else {
        std::memcpy(&eight, from, std::min<int64_t>(kBits, rest - i * kBits));
      }
      piece[i] = spread_eight<kBits>(eight);
    }
  }
  HWY_INLINE Floats load(int64_t c) const {
    return to_floats(widen_bytes(reinterpret_cast<const std::byte*>(piece) + (c - first)));
  }
};

// (code - zero) * scale, in groups. Subtracting is exact; the product rounds once, as codec's does.
struct Groups {
  const std::byte* scales = nullptr;  // of this row
  const int8_t* zeros = nullptr;
  DType scale_type;

  Groups(const WeightView& w, int64_t r) : scale_type(w.scale_type) {
    if (!w.scales) return;
    const int64_t groups = w.columns / w.group;
    scales = w.scales + (w.scale_rows == 1 ? 0 : r) * row_bytes(scale_type, groups);
    if (w.zeros) zeros = w.zeros + r * groups;
  }
  // Where there are any:
  HWY_INLINE Floats scale(int64_t g) const {
    return hn::Set(kFloatTag, load_scale(scale_type, scales, g));
  }
  HWY_INLINE Floats zero(int64_t g, int offset) const {
    return hn::Set(kFloatTag, static_cast<float>(zeros[g] + offset));
  }
};

template <class Codes>
struct GroupedReader {
  static constexpr int kParts = 1;
  static constexpr bool kPlain = false;
  static constexpr bool kFromMemory = false;
  Codes codes;
  Groups groups;
  Floats scale;
  Floats zero;

  GroupedReader(const WeightView& w, int64_t r)
      : codes(w, r), groups(w, r), scale(hn::Set(kFloatTag, 1.0f)) {
    zero = hn::Set(kFloatTag, static_cast<float>(Codes::kOffset));
  }
  HWY_INLINE void prefetch(int64_t, int) const {}
  HWY_INLINE int64_t segment_end(int64_t c) const { return codes.segment_end(c); }
  HWY_INLINE void begin(int64_t c, int64_t g) {
    codes.begin(c);
    if (groups.scales) scale = groups.scale(g);
    if (groups.zeros) zero = groups.zero(g, Codes::kOffset);
  }
  HWY_INLINE Floats load(int64_t c) const { return hn::Mul(hn::Sub(codes.load(c), zero), scale); }
};

// F8E4M3 times the scale of its group. Where halves are native, a segment without a NaN takes the
// factor of widen_f8e4m3_as_half into the scale: a power of two, so that the product still rounds
// once, to the same float.
struct F8Reader {
  static constexpr int kParts = 1;
  static constexpr bool kPlain = false;
  static constexpr bool kFromMemory = kNativeHalf;
  static constexpr int64_t kSegment = 128;
  const std::byte* row;
  int64_t bytes;  // of the row
  int64_t stride;
  Groups groups;
  Floats scale;
  Floats scale_of_half;  // 2^8 times it
  int64_t group = -1;
  bool scale_is_small = true;
  bool fast = false;

  F8Reader(const WeightView& w, int64_t r)
      : row(w.payload + r * w.row_stride),
        bytes(payload_row_bytes(w)),
        stride(w.row_stride),
        groups(w, r) {
    set_scale(1);
  }
  HWY_INLINE void prefetch(int64_t c, int rows) const {
    const int64_t at = c + kAhead;
    const std::byte* const from = row + at + (at < bytes ? 0 : (rows - 1) * stride);
    for (int64_t i = 0; i < kSegment; i += kLine) __builtin_prefetch(from + i, 0, 2);
  }
  HWY_INLINE int64_t segment_end(int64_t c) const { return c + kSegment; }
  HWY_INLINE void begin(int64_t c, int64_t g) {
    if (groups.scales && g != group) set_scale(load_scale(groups.scale_type, groups.scales, g));
    group = g;
    fast = kNativeHalf && scale_is_small && c + kSegment <= bytes && !has_nan(row + c);
  }
  HWY_INLINE Floats load(int64_t c) const {
    if constexpr (kNativeHalf) {
      if (fast) return hn::Mul(widen_f8e4m3_as_half(row + c), scale_of_half);
    }
    return hn::Mul(widen_f8e4m3(row + c), scale);
  }

 private:
  HWY_INLINE void set_scale(float s) {
    scale = hn::Set(kFloatTag, s);
    scale_of_half = hn::Set(kFloatTag, 256 * s);
    scale_is_small = std::abs(s) < 0x1p100f;
  }
  // Among the bytes of a segment.
  static HWY_INLINE bool has_nan(const std::byte* from) {
    const hn::CappedTag<uint8_t, 64> d;
    const auto nan = hn::Set(d, 0x7f);
    for (int64_t i = 0; i < kSegment; i += static_cast<int64_t>(hn::Lanes(d))) {
      const auto magnitude = hn::And(load_bytes(d, from + i), nan);
      if (!hn::AllFalse(d, hn::Eq(magnitude, nan))) return true;
    }
    return false;
  }
};

#if HWY_TARGET == HWY_AVX3
// Packed integers of 2, 3 or 4 bits, where one instruction looks up sixteen floats by the low four
// bits of sixteen words: all values that a group can have are computed when it begins, by the same
// operations as above, and each word is shifted so that its code comes lowest. What lies above a
// code of 2 or 3 bits does not matter: the table repeats itself.
template <int kBits>
struct TableReader {
  static constexpr int kParts = 1;
  static constexpr bool kPlain = false;
  static constexpr bool kFromMemory = false;
  static constexpr int kOffset = 1 << (kBits - 1);
  static constexpr int kSecond = 2 * kBits - 4;  // byte of the word that ends with the last code
  const std::byte* row;
  Groups groups;
  Floats steps;  // code - zero
  Floats table;

  TableReader(const WeightView& w, int64_t r) : row(w.payload + r * w.row_stride), groups(w, r) {
    table = steps = hn::Sub(codes(), hn::Set(kFloatTag, static_cast<float>(kOffset)));
  }
  HWY_INLINE void prefetch(int64_t, int) const {}
  HWY_INLINE int64_t segment_end(int64_t) const { return kEndless; }
  HWY_INLINE void begin(int64_t, int64_t g) {
    if (groups.zeros) steps = hn::Sub(codes(), groups.zero(g, kOffset));
    if (groups.scales) table = hn::Mul(steps, groups.scale(g));
  }
  // Codes 0-7 lie in the first word, 8-15 in the second (for 2 bits they are the same one).
  HWY_INLINE Floats load(int64_t c) const {
    const std::byte* const from = row + c * kBits / 8;
    int32_t first;
    int32_t second;
    std::memcpy(&first, from, sizeof first);
    std::memcpy(&second, from + kSecond, sizeof second);
    const __m512i words = _mm512_mask_set1_epi32(_mm512_set1_epi32(first), 0xff00, second);
    const __m512i lanes = _mm512_srlv_epi32(words, shifts());
    return Floats{_mm512_permutexvar_ps(lanes, table.raw)};
  }

 private:
  static HWY_INLINE Floats codes() {
    const Tag<int32_t> d;
    return to_floats(hn::And(hn::Iota(d, 0), hn::Set(d, 2 * kOffset - 1)));
  }
  static HWY_INLINE __m512i shifts() {
    constexpr int b = kBits;
    constexpr int e = 32 - 8 * kBits;  // of code 8
    return _mm512_setr_epi32(0, b, 2 * b, 3 * b, 4 * b, 5 * b, 6 * b, 7 * b, e, e + b, e + 2 * b,
                             e + 3 * b, e + 4 * b, e + 5 * b, e + 6 * b, e + 7 * b);
  }
};
#endif

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
