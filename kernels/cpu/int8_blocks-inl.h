// GGUF's blocks of 32 (formats.h) as storages of int8_rows-inl.h. A block is a run; runs lie side
// by side by twos, so that a pair fills the widest vector. Compiled per target.
#if defined(HONE_CPU_INT8_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_BLOCKS_INL_H_
#undef HONE_CPU_INT8_BLOCKS_INL_H_
#else
#define HONE_CPU_INT8_BLOCKS_INL_H_
#endif

#include <array>
#include <cstddef>

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

// A vector holds a run: Format::load_run gives its codes.
constexpr bool kLoadsRuns = HWY_TARGET == HWY_AVX2;
static_assert(!kLoadsRuns || 4 * kLanes == kBlockRun);
using RunBytes = hn::CappedTag<uint8_t, kBlockRun>;
using RunCodes = hn::Vec<RunBytes>;

// What is the same for all kinds: no zero points that differ from row to row.
struct BlockStorage {
  static constexpr int kPerByte = 1;
  static constexpr bool kTurnsSign = false;
  static constexpr bool kMultiplies = false;
  static constexpr bool kTiled = false;
  using Stream = RowStream;
  static constexpr bool kPairs = true;
  static constexpr bool kInPlace = kLoadsRuns || HWY_TARGET == HWY_AVX3;
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
  static constexpr RunKind kKind = Format::kKind;

  explicit BlockRows(const WeightView&) {}

  static constexpr int64_t unit_bytes() { return 2 * sizeof(Block); }
  static constexpr int64_t unit_runs() { return 2; }
  HWY_INLINE void begin(const Codes& units, int64_t run) {
    if (run % 2 != 0) return;
    for (int64_t r = 0; r < kLanes; ++r) {
      const auto* const pair = reinterpret_cast<const Block*>(units.bytes + r * units.stride);
      for (int i = 0; i < 2; ++i) {
        scales_[i][r] = Format::scale_bits(pair[i]);
        if constexpr (kKind == RunKind::kMinimum) minimums_[i][r] = pair[i].m;
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
  // Where the codes of a pair's runs begin in the unit, if nibbles of 16 bytes are all there is.
  static constexpr int64_t nibbles_at(int64_t run) requires Format::kOnlyNibbles {
    return run * sizeof(Block) + offsetof(Block, nibbles);
  }
#endif

#if HWY_TARGET == HWY_AVX2
  static HWY_INLINE Words load_run(const uint8_t* unit, int64_t run) {
    const auto& block = reinterpret_cast<const Block*>(unit)[run % 2];
    return hn::BitCast(Tag<uint32_t>(), Format::load_run(block));
  }
#endif

  HWY_INLINE Floats scale(int64_t run) const { return Format::widen_scale(scales_[run % 2]); }
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

#if HWY_TARGET == HWY_AVX2
// The nibbles of 16 bytes: the low ones, then the high ones.
HWY_INLINE RunCodes load_nibbles(const uint8_t* from) {
  const RunBytes d;
  const hn::Repartition<uint16_t, RunBytes> d16;
  const RunCodes pairs = hn::LoadDup128(d, from);
  const RunCodes high = hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(d16, pairs)));
  return hn::And(hn::ConcatUpperLower(d, high, pairs), hn::Set(d, 0x0f));
}
#endif

template <class BlockType>
struct HalfScale {
  using Block = BlockType;
  static constexpr bool kOnlyNibbles = false;
  static HWY_INLINE uint16_t scale_bits(const Block& block) { return block.d; }
  static HWY_INLINE Floats widen_scale(const uint16_t* bits) { return widen_f16(bits); }
};

struct Q8_0Format : HalfScale<BlockQ8_0> {
  static constexpr RunKind kKind = kKindOfBytes;
  static constexpr int32_t kZero = kZeroOfBytes;
  static HWY_INLINE void widen(const Block& block, uint8_t* codes) {
    const Bytes16 d;
    for (int i = 0; i < 32; i += 16) {
      const auto q = hn::LoadU(d, reinterpret_cast<const uint8_t*>(block.q) + i);
      hn::StoreU(hn::Xor(q, hn::Set(d, kZero)), d, codes + i);
    }
  }
#if HWY_TARGET == HWY_AVX3
  static HWY_INLINE __m512i load_pair(const Block& first, const Block& second) {
    return _mm512_xor_si512(join(load_32(first.q), load_32(second.q)), _mm512_set1_epi8(-128));
  }
#elif HWY_TARGET == HWY_AVX2
  static HWY_INLINE RunCodes load_run(const Block& block) {
    return hn::LoadU(RunBytes(), reinterpret_cast<const uint8_t*>(block.q));
  }
#endif
};

template <class BlockType, int32_t kZeroCode, bool kHasMinimum>
struct NibbleFormat : HalfScale<BlockType> {
  using Block = BlockType;
  static constexpr bool kOnlyNibbles = true;
  static constexpr RunKind kKind = kHasMinimum ? RunKind::kMinimum : RunKind::kPlain;
  static constexpr int32_t kZero = kZeroCode;
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
#elif HWY_TARGET == HWY_AVX2
  static HWY_INLINE RunCodes load_run(const Block& block) { return load_nibbles(block.nibbles); }
#endif
};

using Q4_0Format = NibbleFormat<BlockQ4_0, 8, false>;
using Q4_1Format = NibbleFormat<BlockQ4_1, 0, true>;

// 16 where bit i of `bits` is set, else 0: of as many bits as D has lanes.
template <class D>
HWY_INLINE hn::Vec<D> fifth_bits(D d, uint32_t bits) {
  const hn::Repartition<uint32_t, D> d32;
  const hn::Repartition<uint64_t, D> d64;
  alignas(32) static constexpr uint8_t kSpread[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,
                                                    2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3};
  const auto bytes = hn::TableLookupBytes(hn::BitCast(d, hn::Set(d32, bits)), hn::Load(d, kSpread));
  const auto select = hn::BitCast(d, hn::Set(d64, 0x8040201008040201));
  return hn::IfThenElseZero(hn::Eq(hn::And(bytes, select), select), hn::Set(d, 16));
}

template <class BlockType, int32_t kZeroCode, bool kHasMinimum>
struct FiveBitFormat : HalfScale<BlockType> {
  using Block = BlockType;
  static constexpr RunKind kKind = kHasMinimum ? RunKind::kMinimum : RunKind::kPlain;
  static constexpr int32_t kZero = kZeroCode;
  static HWY_INLINE void widen(const Block& block, uint8_t* codes) {
    const Bytes16 d;
    const auto pairs = hn::LoadU(d, block.nibbles);
    uint32_t high;
    std::memcpy(&high, block.high_bits, sizeof high);
    hn::StoreU(hn::Or(low_nibbles(pairs), fifth_bits(d, high & 0xffff)), d, codes);
    hn::StoreU(hn::Or(high_nibbles(pairs), fifth_bits(d, high >> 16)), d, codes + 16);
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
#elif HWY_TARGET == HWY_AVX2
  static HWY_INLINE RunCodes load_run(const Block& block) {
    uint32_t high;
    std::memcpy(&high, block.high_bits, sizeof high);
    return hn::Or(load_nibbles(block.nibbles), fifth_bits(RunBytes(), high));
  }
#endif
};

using Q5_0Format = FiveBitFormat<BlockQ5_0, 16, false>;
using Q5_1Format = FiveBitFormat<BlockQ5_1, 0, true>;

// ---- Nibbles that are places in a table of sixteen integers; those plus kZero are the codes.

template <const int8_t (&kValues)[16]>
struct CodeTable {
  static constexpr int32_t kZero = kZeroOfBytes;
  alignas(16) static constexpr auto kCodes = [] {
    std::array<uint8_t, 16> codes{};
    for (int i = 0; i < 16; ++i) codes[i] = static_cast<uint8_t>(kValues[i] + kZero);
    return codes;
  }();

  static HWY_INLINE Bytes16Vector look_up(Bytes16Vector nibbles) {
    return hn::TableLookupBytes(hn::Load(Bytes16(), kCodes.data()), nibbles);
  }
  static HWY_INLINE void widen(const uint8_t* nibbles, uint8_t* codes) {
    const Bytes16 d;
    const auto pairs = hn::LoadU(d, nibbles);
    hn::StoreU(look_up(low_nibbles(pairs)), d, codes);
    hn::StoreU(look_up(high_nibbles(pairs)), d, codes + 16);
  }
#if HWY_TARGET == HWY_AVX3
  static HWY_INLINE __m512i look_up(__m512i nibbles) {
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(look_up_table()), nibbles);
  }

 private:
  static HWY_INLINE __m128i look_up_table() {
    return _mm_load_si128(reinterpret_cast<const __m128i*>(kCodes.data()));
  }
#elif HWY_TARGET == HWY_AVX2
  static HWY_INLINE RunCodes load_run(const uint8_t* nibbles) {
    return hn::TableLookupBytes(hn::LoadDup128(RunBytes(), kCodes.data()), load_nibbles(nibbles));
  }
#endif
};

template <class BlockType, const int8_t (&kValues)[16]>
struct TableFormat {
  using Block = BlockType;
  using Table = CodeTable<kValues>;
  static constexpr RunKind kKind = kKindOfBytes;
  static constexpr int32_t kZero = Table::kZero;
  static HWY_INLINE void widen(const Block& block, uint8_t* codes) {
    Table::widen(block.nibbles, codes);
  }
#if HWY_TARGET == HWY_AVX3
  static HWY_INLINE __m512i load_pair(const Block& first, const Block& second) {
    return Table::look_up(load_nibble_blocks(first.nibbles, second.nibbles));
  }
#elif HWY_TARGET == HWY_AVX2
  static HWY_INLINE RunCodes load_run(const Block& block) { return Table::load_run(block.nibbles); }
#endif
};

struct IQ4_NLFormat : TableFormat<BlockIQ4_NL, kNonLinear>, HalfScale<BlockIQ4_NL> {
  using Block = BlockIQ4_NL;
};

struct MXFP4Format : TableFormat<BlockMXFP4, kDoubledFp4> {
  static constexpr bool kOnlyNibbles = false;
  static HWY_INLINE uint16_t scale_bits(const Block& block) { return block.e; }
  // 2^(bits - 128), as half_of_e8m0 of codec/narrow_float.h.
  static HWY_INLINE Floats widen_scale(const uint16_t* bits) {
    const Tag<uint32_t> d;
    const Words e = hn::PromoteTo(d, hn::LoadU(Tag<uint16_t>(), bits));
    const Words one = hn::Set(d, 1);
    const Words normal = hn::ShiftLeft<23>(hn::Sub(e, one));
    const Words subnormal = hn::ShiftLeft<21>(hn::Add(e, one));
    return hn::BitCast(kFloatTag, hn::IfThenElse(hn::Gt(e, one), normal, subnormal));
  }
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
