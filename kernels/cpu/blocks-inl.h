// GGUF blocks (drawn in formats.h) to vectors of f32: readers as in decode-inl.h. Products of
// scales and integers are exact in f32, so that only adding a minimum rounds, once, fused or not.
// Compiled per target.
#if defined(HONE_CPU_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_BLOCKS_INL_H_
#undef HONE_CPU_BLOCKS_INL_H_
#else
#define HONE_CPU_BLOCKS_INL_H_
#endif

#include "kernels/codec/narrow_float.h"
#include "kernels/cpu/decode-inl.h"
#include "kernels/formats.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

template <class Block>
struct BlockReader {
  static constexpr bool kPlain = false;
  static constexpr bool kFromMemory = false;
  const Block* row;
  const Block* block = nullptr;

  BlockReader(const WeightView& w, int64_t r)
      : row(reinterpret_cast<const Block*>(w.payload + r * w.row_stride)) {}
  HWY_INLINE void prefetch(int64_t, int) const {}
};

// Vectors of a run of `columns`; one lane has no use for that many parts.
constexpr int parts_of(int columns) { return kLanes == 1 ? 1 : columns / static_cast<int>(kLanes); }

// Where part kPart of the run at column c starts in the run.
template <int kPart>
HWY_INLINE int64_t place(int64_t c, int64_t columns) {
  return kLanes == 1 ? c % columns : kPart * kLanes;
}

// The low or the high halves of kLanes bytes; what lies above the four bits is to be ignored.
HWY_INLINE Ints load_nibbles(const uint8_t* bytes, bool high) {
  const Ints pairs = widen_bytes(bytes);
  return high ? hn::ShiftRight<4>(pairs) : pairs;
}

// Of 32 elements, where byte j holds elements j and j + 16.
template <int kPart>
HWY_INLINE Ints load_nibbles_of_32(const uint8_t* nibbles, int64_t c) {
  const int64_t i = place<kPart>(c, 32);
  return load_nibbles(nibbles + i % 16, i >= 16);
}

HWY_INLINE Ints clean(Ints nibbles) { return hn::And(nibbles, hn::Set(Tag<int32_t>(), 15)); }

// value(q) for the low four bits q of each lane; value takes floats to floats.
template <class Value>
HWY_INLINE Floats map_nibbles(Ints q, const Value& value) {
#if HWY_TARGET == HWY_AVX3
  const Floats table = value(to_floats(hn::Iota(Tag<int32_t>(), 0)));
  return Floats{_mm512_permutexvar_ps(q.raw, table.raw)};
#else
  return value(to_floats(clean(q)));
#endif
}

// Bits i, i + 1 ... of four bytes, each as 0 or 16.
HWY_INLINE Ints load_high_bits(const uint8_t (&bytes)[4], int64_t i) {
  alignas(64) static constexpr int32_t kBit[16] = {
      1 << 0, 1 << 1, 1 << 2,  1 << 3,  1 << 4,  1 << 5,  1 << 6,  1 << 7,
      1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15};
  uint32_t bits;
  std::memcpy(&bits, bytes, sizeof bits);
  const Tag<int32_t> d;
  const auto is_set = hn::TestBit(hn::Set(d, static_cast<int32_t>(bits >> i)), hn::Load(d, kBit));
  return hn::IfThenElseZero(is_set, hn::Set(d, 16));
}

// The sixteen integers that nibbles can stand for, as floats.
struct alignas(64) FloatTable {
  float values[16];
  constexpr explicit FloatTable(const int8_t (&from)[16]) : values() {
    for (int i = 0; i < 16; ++i) values[i] = from[i];
  }
};

// value[q] * scale for the low four bits q of each lane.
HWY_INLINE Floats look_up(const FloatTable& value, Ints q, Floats scale) {
#if HWY_TARGET == HWY_AVX3
  const Floats table = hn::Mul(hn::Load(kFloatTag, value.values), scale);
  return Floats{_mm512_permutexvar_ps(q.raw, table.raw)};
#else
  return hn::Mul(hn::GatherIndex(kFloatTag, value.values, clean(q)), scale);
#endif
}

struct Q8_0Reader : BlockReader<BlockQ8_0> {
  static constexpr int kParts = parts_of(32);
  using BlockReader::BlockReader;
  Floats d;
  HWY_INLINE int64_t segment_end(int64_t c) const { return c + 32; }
  HWY_INLINE void begin(int64_t c, int64_t) {
    block = row + c / 32;
    d = hn::Set(kFloatTag, half_to_float(block->d));
  }
  template <int kPart = 0>
  HWY_INLINE Floats load(int64_t c) const {
    const auto q = load_bytes(Tag<int8_t>(), block->q + place<kPart>(c, 32));
    return hn::Mul(to_floats(hn::PromoteTo(Tag<int32_t>(), q)), d);
  }
};

// Q4_0 and Q5_0: (q - kOffset) * d.
template <class Block, int kOffset>
struct CenteredReader : BlockReader<Block> {
  static constexpr int kParts = parts_of(32);
  using BlockReader<Block>::BlockReader;
  Floats d;
  HWY_INLINE int64_t segment_end(int64_t c) const { return c + 32; }
  HWY_INLINE void begin(int64_t c, int64_t) {
    this->block = this->row + c / 32;
    d = hn::Set(kFloatTag, half_to_float(this->block->d));
  }
  template <int kPart = 0>
  HWY_INLINE Floats load(int64_t c) const {
    const auto value = [this](Floats q) HWY_ATTR {
      return hn::Mul(hn::Sub(q, hn::Set(kFloatTag, static_cast<float>(kOffset))), d);
    };
    const Ints q = load_nibbles_of_32<kPart>(this->block->nibbles, c);
    if constexpr (kOffset == 8) {
      return map_nibbles(q, value);
    } else {
      const Ints high = load_high_bits(this->block->high_bits, place<kPart>(c, 32));
      return value(to_floats(hn::Or(clean(q), high)));
    }
  }
};
using Q4_0Reader = CenteredReader<BlockQ4_0, 8>;
using Q5_0Reader = CenteredReader<BlockQ5_0, 16>;

// Q4_1 and Q5_1: q * d + m.
template <class Block, bool kHighBits>
struct MinimumReader : BlockReader<Block> {
  static constexpr int kParts = parts_of(32);
  using BlockReader<Block>::BlockReader;
  Floats d;
  Floats m;
  HWY_INLINE int64_t segment_end(int64_t c) const { return c + 32; }
  HWY_INLINE void begin(int64_t c, int64_t) {
    this->block = this->row + c / 32;
    d = hn::Set(kFloatTag, half_to_float(this->block->d));
    m = hn::Set(kFloatTag, half_to_float(this->block->m));
  }
  template <int kPart = 0>
  HWY_INLINE Floats load(int64_t c) const {
    const auto value = [this](Floats q) HWY_ATTR { return hn::MulAdd(q, d, m); };
    const Ints q = load_nibbles_of_32<kPart>(this->block->nibbles, c);
    if constexpr (!kHighBits) {
      return map_nibbles(q, value);
    } else {
      const Ints high = load_high_bits(this->block->high_bits, place<kPart>(c, 32));
      return value(to_floats(hn::Or(clean(q), high)));
    }
  }
};
using Q4_1Reader = MinimumReader<BlockQ4_1, false>;
using Q5_1Reader = MinimumReader<BlockQ5_1, true>;

// Q4_K and Q5_K: q * (d * scale) - dmin * min, per sub-block b of 32. Two of them share bytes.
template <class Block, bool kHighBits>
struct SuperBlockReader : BlockReader<Block> {
  static constexpr int kParts = parts_of(64);
  using BlockReader<Block>::BlockReader;
  float scales[8];
  float mins[8];
  HWY_INLINE int64_t segment_end(int64_t c) const { return c + 256; }
  HWY_INLINE void begin(int64_t c, int64_t) {
    this->block = this->row + c / 256;
    const uint8_t* const s = this->block->scales;
    const float d = half_to_float(this->block->d);
    const float dmin = half_to_float(this->block->dmin);
    for (int b = 0; b < 4; ++b) {
      scales[b] = d * static_cast<float>(s[b] & 63);
      mins[b] = dmin * static_cast<float>(s[b + 4] & 63);
      scales[b + 4] = d * static_cast<float>((s[b + 8] & 15) | (s[b] >> 6) << 4);
      mins[b + 4] = dmin * static_cast<float>(s[b + 8] >> 4 | (s[b + 4] >> 6) << 4);
    }
  }
  template <int kPart = 0>
  HWY_INLINE Floats load(int64_t c) const {
    const Tag<int32_t> d;
    const int64_t i = place<kPart>(c, 64);
    const int b = static_cast<int>(c % 256 / 64 * 2 + i / 32);
    const Floats scale = hn::Set(kFloatTag, scales[b]);
    const Floats min = hn::Set(kFloatTag, mins[b]);
    const auto value = [scale, min](Floats q) HWY_ATTR { return hn::MulSub(q, scale, min); };
    const Ints q = load_nibbles(this->block->nibbles + c % 256 / 64 * 32 + i % 32, i >= 32);
    if constexpr (!kHighBits) {
      return map_nibbles(q, value);
    } else {
      const Ints bytes = widen_bytes(this->block->high_bits + i % 32);
      const Ints bits = hn::And(hn::ShiftRightSame(bytes, b), hn::Set(d, 1));
      return value(to_floats(hn::Or(clean(q), hn::ShiftLeft<4>(bits))));
    }
  }
};
using Q4_KReader = SuperBlockReader<BlockQ4_K, false>;
using Q5_KReader = SuperBlockReader<BlockQ5_K, true>;

// IQ4_NL and MXFP4: value[q] * scale.
HWY_INLINE float scale_of(const BlockIQ4_NL& block) { return half_to_float(block.d); }
HWY_INLINE float scale_of(const BlockMXFP4& block) { return half_of_e8m0(block.e); }

template <class Block, const int8_t (&kValues)[16]>
struct LookupReader : BlockReader<Block> {
  static constexpr int kParts = parts_of(32);
  static constexpr FloatTable kTable{kValues};
  using BlockReader<Block>::BlockReader;
  Floats scale;
  HWY_INLINE int64_t segment_end(int64_t c) const { return c + 32; }
  HWY_INLINE void begin(int64_t c, int64_t) {
    this->block = this->row + c / 32;
    scale = hn::Set(kFloatTag, scale_of(*this->block));
  }
  template <int kPart = 0>
  HWY_INLINE Floats load(int64_t c) const {
    return look_up(kTable, load_nibbles_of_32<kPart>(this->block->nibbles, c), scale);
  }
};
using IQ4_NLReader = LookupReader<BlockIQ4_NL, kNonLinear>;
using MXFP4Reader = LookupReader<BlockMXFP4, kDoubledFp4>;

struct IQ4_XSReader : BlockReader<BlockIQ4_XS> {
  static constexpr int kParts = parts_of(32);
  static constexpr FloatTable kTable{kNonLinear};
  using BlockReader::BlockReader;
  float scales[8];
  HWY_INLINE int64_t segment_end(int64_t c) const { return c + 256; }
  HWY_INLINE void begin(int64_t c, int64_t) {
    block = row + c / 256;
    const float d = half_to_float(block->d);
    for (int b = 0; b < 8; ++b) scales[b] = d * static_cast<float>(block->factor(b));
  }
  template <int kPart = 0>
  HWY_INLINE Floats load(int64_t c) const {
    const int64_t b = c % 256 / 32;
    const Ints q = load_nibbles_of_32<kPart>(block->nibbles + 16 * b, c);
    return look_up(kTable, q, hn::Set(kFloatTag, scales[b]));
  }
};

struct Q6_KReader : BlockReader<BlockQ6_K> {
  static constexpr int kParts = parts_of(128);
  using BlockReader::BlockReader;
  float scales[16];
  HWY_INLINE int64_t segment_end(int64_t c) const { return c + 256; }
  HWY_INLINE void begin(int64_t c, int64_t) {
    block = row + c / 256;
    const float d = half_to_float(block->d);
    for (int i = 0; i < 16; ++i) scales[i] = d * static_cast<float>(block->scales[i]);
  }
  template <int kPart = 0>
  HWY_INLINE Floats load(int64_t c) const {
    const Tag<int32_t> d;
    const int64_t half = c % 256 / 128;
    const int64_t i = place<kPart>(c, 128);
    const int64_t g = i / 32;
    const Ints pairs = load_nibbles(block->nibbles + 64 * half + i % 64, g >= 2);
    const Ints quads = widen_bytes(block->high_pairs + 32 * half + i % 32);
    const Ints high = g == 0   ? hn::ShiftLeft<4>(quads)
                      : g == 1 ? hn::ShiftLeft<2>(quads)
                      : g == 2 ? quads
                               : hn::ShiftRight<2>(quads);
    const Ints q = hn::Or(clean(pairs), hn::And(high, hn::Set(d, 0x30)));
    const Floats scale = hn::Set(kFloatTag, scales[8 * half + i / 16]);
    return hn::Mul(to_floats(hn::Sub(q, hn::Set(d, 32))), scale);
  }
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
