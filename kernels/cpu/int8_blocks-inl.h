// GGUF's blocks (formats.h) as storages of int8_rows-inl.h. A run is 32 columns; runs lie side by
// side by twos, so that a pair fills the widest vector. Compiled per target.
#if defined(HONE_CPU_INT8_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_BLOCKS_INL_H_
#undef HONE_CPU_INT8_BLOCKS_INL_H_
#else
#define HONE_CPU_INT8_BLOCKS_INL_H_
#endif

#include <type_traits>

#include "kernels/cpu/int8_rows-inl.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kBlockRun = 32;

using Bytes16 = hn::CappedTag<uint8_t, 16>;
using Bytes16Vector = hn::Vec<Bytes16>;

HWY_INLINE Bytes16Vector low_nibbles(Bytes16Vector pairs) {
  return hn::And(pairs, hn::Set(Bytes16(), 0x0f));
}
HWY_INLINE Bytes16Vector high_nibbles(Bytes16Vector pairs) {
  const hn::Repartition<uint16_t, Bytes16> d16;
  return low_nibbles(hn::BitCast(Bytes16(), hn::ShiftRight<4>(hn::BitCast(d16, pairs))));
}

// What is the same for all kinds: no zero points that differ from row to row.
struct BlockStorage {
  static constexpr int kPerByte = 1;
  static constexpr bool kSigned = false;
  static constexpr bool kPairs = true;
  static constexpr bool kInPlace = HWY_TARGET == HWY_AVX3;
  void start(int64_t, int64_t) {}
  static constexpr bool has_zeros() { return false; }
  Ints zeros(int64_t) const { return hn::Zero(Tag<int32_t>()); }
};

// ---- Blocks of 32: a run each, with an f16 scale and perhaps an f16 minimum.

// Format::widen writes the codes of a block, Format::kZero is subtracted from them.
template <class Format>
class BlockRows : public BlockStorage {
 public:
  using Block = typename Format::Block;
  static constexpr bool kMinimum = Format::kMinimum;

  explicit BlockRows(const WeightView&) {}

  static constexpr int64_t unit_bytes() { return 2 * sizeof(Block); }
  static constexpr int64_t unit_runs() { return 2; }
  HWY_INLINE void begin(const Codes& units, int64_t run) {
    if (run % 2 != 0) return;
    for (int64_t r = 0; r < kLanes; ++r) {
      const auto* const pair = reinterpret_cast<const Block*>(units.bytes + r * units.stride);
      for (int i = 0; i < 2; ++i) {
        scales_[i][r] = pair[i].d;
        if constexpr (kMinimum) minimums_[i][r] = pair[i].m;
      }
    }
  }
  HWY_INLINE Codes codes(const Codes& units, int64_t run) {
    for (int64_t r = 0; run % 2 == 0 && r < kLanes; ++r) {
      const auto* const pair = reinterpret_cast<const Block*>(units.bytes + r * units.stride);
      Format::widen(pair[0], codes_ + 2 * r * kBlockRun);
      Format::widen(pair[1], codes_ + (2 * r + 1) * kBlockRun);
    }
    return {codes_ + run % 2 * kBlockRun, 2 * kBlockRun};
  }
#if HWY_TARGET == HWY_AVX3
  static HWY_INLINE Words load_pair(const uint8_t* unit, int64_t) {
    const auto* const pair = reinterpret_cast<const Block*>(unit);
    return Words{Format::load_pair(pair[0], pair[1])};
  }
#endif

  HWY_INLINE Floats scale(int64_t run) const {
    return widen_f16(reinterpret_cast<const std::byte*>(scales_[run % 2]));
  }
  HWY_INLINE Floats minimum(int64_t run) const {
    return widen_f16(reinterpret_cast<const std::byte*>(minimums_[run % 2]));
  }
  static constexpr int32_t zero() { return Format::kZero; }

 private:
  alignas(64) uint8_t codes_[kLanes * 2 * kBlockRun];
  alignas(64) uint16_t scales_[2][kLanes];
  alignas(64) uint16_t minimums_[2][kLanes];
};

#if HWY_TARGET == HWY_AVX3
HWY_INLINE __m512i join(__m256i low, __m256i high) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}
HWY_INLINE __m256i load_32(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}
HWY_INLINE __m256i load_16_twice(const void* from) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(from)));
}
// The nibbles that begin at the bit which `shifts` gives for each 64 bits.
HWY_INLINE __m512i nibbles_by_lanes(__m512i pairs, __m512i shifts) {
  return _mm512_and_si512(_mm512_srlv_epi64(pairs, shifts), _mm512_set1_epi8(0x0f));
}
HWY_INLINE __m512i load_nibble_blocks(const uint8_t* first, const uint8_t* second) {
  const __m512i pairs = join(load_16_twice(first), load_16_twice(second));
  return nibbles_by_lanes(pairs, _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4));
}
#endif

struct Q8_0Format {
  using Block = BlockQ8_0;
  static constexpr int32_t kZero = 128;
  static constexpr bool kMinimum = false;
  static HWY_INLINE void widen(const Block& block, uint8_t* codes) {
    const Bytes16 d;
    for (int i = 0; i < 32; i += 16) {
      const auto q = hn::LoadU(d, reinterpret_cast<const uint8_t*>(block.q) + i);
      hn::StoreU(hn::Xor(q, hn::Set(d, 0x80)), d, codes + i);
    }
  }
#if HWY_TARGET == HWY_AVX3
  static HWY_INLINE __m512i load_pair(const Block& first, const Block& second) {
    return _mm512_xor_si512(join(load_32(first.q), load_32(second.q)), _mm512_set1_epi8(-128));
  }
#endif
};

template <class BlockType, int32_t kZeroCode, bool kHasMinimum>
struct NibbleFormat {
  using Block = BlockType;
  static constexpr int32_t kZero = kZeroCode;
  static constexpr bool kMinimum = kHasMinimum;
  static HWY_INLINE void widen(const Block& block, uint8_t* codes) {
    const Bytes16 d;
    const auto pairs = hn::LoadU(d, block.nibbles);
    hn::StoreU(low_nibbles(pairs), d, codes);
    hn::StoreU(high_nibbles(pairs), d, codes + 16);
  }
#if HWY_TARGET == HWY_AVX3
  static HWY_INLINE __m512i load_pair(const Block& first, const Block& second) {
    return load_nibble_blocks(first.nibbles, second.nibbles);
  }
#endif
};

using Q4_0Format = NibbleFormat<BlockQ4_0, 8, false>;
using Q4_1Format = NibbleFormat<BlockQ4_1, 0, true>;

// 16 where bit i of `bits` is set, else 0.
HWY_INLINE Bytes16Vector fifth_bits(uint32_t bits) {
  const Bytes16 d;
  const hn::Repartition<uint64_t, Bytes16> d64;
  alignas(16) static constexpr uint8_t kSpread[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  const auto bytes = hn::TableLookupBytes(hn::BitCast(d, hn::Set(d64, bits)), hn::Load(d, kSpread));
  const auto select = hn::BitCast(d, hn::Set(d64, 0x8040201008040201));
  const auto is_set = hn::Eq(hn::And(bytes, select), select);
  return hn::IfThenElseZero(is_set, hn::Set(d, 16));
}

template <class BlockType, int32_t kZeroCode, bool kHasMinimum>
struct FiveBitFormat {
  using Block = BlockType;
  static constexpr int32_t kZero = kZeroCode;
  static constexpr bool kMinimum = kHasMinimum;
  static HWY_INLINE void widen(const Block& block, uint8_t* codes) {
    const Bytes16 d;
    const auto pairs = hn::LoadU(d, block.nibbles);
    uint32_t high;
    std::memcpy(&high, block.high_bits, sizeof high);
    hn::StoreU(hn::Or(low_nibbles(pairs), fifth_bits(high & 0xffff)), d, codes);
    hn::StoreU(hn::Or(high_nibbles(pairs), fifth_bits(high >> 16)), d, codes + 16);
  }
#if HWY_TARGET == HWY_AVX3
  static HWY_INLINE __m512i load_pair(const Block& first, const Block& second) {
    uint32_t high[2];
    std::memcpy(&high[0], first.high_bits, 4);
    std::memcpy(&high[1], second.high_bits, 4);
    const __mmask64 bits = high[0] | static_cast<uint64_t>(high[1]) << 32;
    const __m512i low = load_nibble_blocks(first.nibbles, second.nibbles);
    return _mm512_mask_add_epi8(low, bits, low, _mm512_set1_epi8(16));
  }
#endif
};

using Q5_0Format = FiveBitFormat<BlockQ5_0, 16, false>;
using Q5_1Format = FiveBitFormat<BlockQ5_1, 0, true>;

// ---- Q4_K and Q5_K: eight runs with scales d * s and minimums -dmin * m above them.

template <class BlockType>
class SuperBlockRows : public BlockStorage {
 public:
  using Block = BlockType;
  static constexpr bool kMinimum = true;

  explicit SuperBlockRows(const WeightView&) {}

  static constexpr int64_t unit_bytes() { return sizeof(Block); }
  static constexpr int64_t unit_runs() { return 8; }
  HWY_INLINE void begin(const Codes& units, int64_t run) {
    if (run % 8 == 0) read_scales(units);
  }
  HWY_INLINE Codes codes(const Codes& units, int64_t run) {
    for (int64_t r = 0; run % 2 == 0 && r < kLanes; ++r) {
      const auto* const block = reinterpret_cast<const Block*>(units.bytes + r * units.stride);
      widen_pair(*block, static_cast<int>(run % 8 / 2), codes_ + 2 * r * kBlockRun);
    }
    return {codes_ + run % 2 * kBlockRun, 2 * kBlockRun};
  }
#if HWY_TARGET == HWY_AVX3
  static HWY_INLINE Words load_pair(const uint8_t* unit, int64_t run) {
    const auto* const block = reinterpret_cast<const Block*>(unit);
    const __m256i pairs = load_32(block->nibbles + run % 8 / 2 * 32);
    const __m512i shifts = _mm512_setr_epi64(0, 0, 0, 0, 4, 4, 4, 4);
    __m512i codes = nibbles_by_lanes(join(pairs, pairs), shifts);
    if constexpr (std::is_same_v<Block, BlockQ5_K>) {
      const __m256i high = load_32(block->high_bits);
      const auto bit = static_cast<char>(1 << run % 8);
      const auto next = static_cast<char>(2 << run % 8);
      const __m512i select = join(_mm256_set1_epi8(bit), _mm256_set1_epi8(next));
      const __mmask64 bits = _mm512_test_epi8_mask(join(high, high), select);
      codes = _mm512_mask_add_epi8(codes, bits, codes, _mm512_set1_epi8(16));
    }
    return Words{codes};
  }
#endif

  HWY_INLINE Floats scale(int64_t run) const { return hn::LoadU(kFloatTag, table_[run % 8]); }
  HWY_INLINE Floats minimum(int64_t run) const { return hn::LoadU(kFloatTag, table_[8 + run % 8]); }
  static constexpr int32_t zero() { return 0; }

 private:
  // Eight 6-bit scales, eight minimums; drawn in formats.h.
  static HWY_INLINE void unpack_six_bits(const uint8_t* packed, uint8_t* out) {
    uint32_t low;
    uint32_t high;
    uint32_t nibbles;
    std::memcpy(&low, packed, 4);
    std::memcpy(&high, packed + 4, 4);
    std::memcpy(&nibbles, packed + 8, 4);
    const uint32_t words[] = {low & 0x3f3f3f3f, (nibbles & 0x0f0f0f0f) | (low >> 2 & 0x30303030),
                              high & 0x3f3f3f3f,
                              (nibbles >> 4 & 0x0f0f0f0f) | (high >> 2 & 0x30303030)};
    std::memcpy(out, words, sizeof words);
  }

  void read_scales(const Codes& units) {
    alignas(64) float rows[kLanes][16];
    for (int64_t r = 0; r < kLanes; ++r) {
      const auto* const block = reinterpret_cast<const Block*>(units.bytes + r * units.stride);
      alignas(16) uint8_t integers[16];
      unpack_six_bits(block->scales, integers);
      const Floats d = hn::Set(kFloatTag, half_to_float(block->d));
      const Floats minus_dmin = hn::Set(kFloatTag, -half_to_float(block->dmin));
      for (int64_t i = 0; i < 16; i += kLanes) {
        const Floats v = to_floats(widen_bytes(reinterpret_cast<const std::byte*>(integers) + i));
        hn::StoreU(hn::Mul(v, factor(i, d, minus_dmin)), kFloatTag, rows[r] + i);
      }
    }
    for (int64_t g = 0; g < 16; g += 4) {
      Words words[4];
      turn_words(reinterpret_cast<const uint8_t*>(rows[0] + g), 16 * sizeof(float), words);
      for (int i = 0; i < 4; ++i) {
        hn::StoreU(hn::BitCast(kFloatTag, words[i]), kFloatTag, table_[g + i]);
      }
    }
  }

  // For places i, i + 1 ... of the 16: d below 8, minus dmin from there on.
  static HWY_INLINE Floats factor(int64_t i, Floats d, Floats minus_dmin) {
    if constexpr (kLanes == 16) {
      return hn::IfThenElse(hn::FirstN(kFloatTag, 8), d, minus_dmin);
    } else {
      return i < 8 ? d : minus_dmin;
    }
  }

  // Runs 2p and 2p + 1.
  static HWY_INLINE void widen_pair(const Block& block, int p, uint8_t* codes) {
    const Bytes16 d;
    for (int i = 0; i < 32; i += 16) {
      const auto pairs = hn::LoadU(d, block.nibbles + 32 * p + i);
      Bytes16Vector low = low_nibbles(pairs);
      Bytes16Vector high = high_nibbles(pairs);
      if constexpr (std::is_same_v<Block, BlockQ5_K>) {
        const auto bits = hn::LoadU(d, block.high_bits + i);
        low = hn::Or(low, bit_as_sixteen(bits, 2 * p));
        high = hn::Or(high, bit_as_sixteen(bits, 2 * p + 1));
      }
      hn::StoreU(low, d, codes + i);
      hn::StoreU(high, d, codes + 32 + i);
    }
  }
  static HWY_INLINE Bytes16Vector bit_as_sixteen(Bytes16Vector bits, int bit) {
    const Bytes16 d;
    const auto select = hn::Set(d, static_cast<uint8_t>(1 << bit));
    return hn::IfThenElseZero(hn::Eq(hn::And(bits, select), select), hn::Set(d, 16));
  }

  alignas(64) uint8_t codes_[kLanes * 2 * kBlockRun];
  alignas(64) float table_[16][kLanes];
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
