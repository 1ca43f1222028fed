// GGUF's blocks (formats.h) as storages of int8_rows-inl.h. A run is 32 columns; runs lie side by
// side by twos, so that a pair fills the widest vector. Compiled per target.
#if defined(HONE_CPU_INT8_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_BLOCKS_INL_H_
#undef HONE_CPU_INT8_BLOCKS_INL_H_
#else
#define HONE_CPU_INT8_BLOCKS_INL_H_
#endif

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
  static constexpr bool kInPlace = false;
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
  HWY_INLINE Codes codes(const Codes& units, int64_t run) {
    if (run % 2 == 0) {
      for (int64_t r = 0; r < kLanes; ++r) {
        const auto* const pair = reinterpret_cast<const Block*>(units.bytes + r * units.stride);
        for (int i = 0; i < 2; ++i) {
          Format::widen(pair[i], codes_ + (2 * r + i) * kBlockRun);
          scales_[i][r] = pair[i].d;
          if constexpr (kMinimum) minimums_[i][r] = pair[i].m;
        }
      }
    }
    return {codes_ + run % 2 * kBlockRun, 2 * kBlockRun};
  }

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
  HWY_INLINE Codes codes(const Codes& units, int64_t run) {
    if (run % 8 == 0) read_scales(units);
    if (run % 2 == 0) {
      for (int64_t r = 0; r < kLanes; ++r) {
        const auto* const block = reinterpret_cast<const Block*>(units.bytes + r * units.stride);
        widen_pair(*block, static_cast<int>(run % 8 / 2), codes_ + 2 * r * kBlockRun);
      }
    }
    return {codes_ + run % 2 * kBlockRun, 2 * kBlockRun};
  }

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
