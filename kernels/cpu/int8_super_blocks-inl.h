// GGUF's blocks of 256 (formats.h) as storages of int8_rows-inl.h: eight runs of 32, whose small
// integer scales are unpacked for all rows at once, a row to a lane. Compiled per target.
#if defined(HONE_CPU_INT8_SUPER_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_SUPER_BLOCKS_INL_H_
#undef HONE_CPU_INT8_SUPER_BLOCKS_INL_H_
#else
#define HONE_CPU_INT8_SUPER_BLOCKS_INL_H_
#endif

#include <type_traits>

#include "kernels/cpu/int8_blocks-inl.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

// Format says what a block holds:
//   kKind, kZero             as of int8_rows-inl.h
//   kOnlyNibbles             whether two runs are the nibbles of 32 bytes, and nothing else
//   load_pair(block, p)      AVX-512: codes of runs 2p and 2p + 1
//   load_run(block, run)     AVX2, but for kHalves: codes of a run
//   widen_pair(block, p, to) elsewhere: codes of runs 2p and 2p + 1, into memory
//   read_scales(units)       of kLanes rows, for:
//   scale(run), minimum(run), factor(run, half), factors_of_four(p, i)
template <class Format>
class SuperBlockRows : public BlockStorage {
 public:
  using Block = typename Format::Block;
  static constexpr RunKind kKind = Format::kKind;

  explicit SuperBlockRows(const WeightView&) {}

  static constexpr int64_t unit_bytes() { return sizeof(Block); }
  static constexpr int64_t unit_runs() { return 8; }
  HWY_INLINE void begin(const Codes& units, int64_t run) {
    if (run % 8 == 0) format_.read_scales(units);
  }
  HWY_INLINE Codes codes(const Codes& units, int64_t run) {
    for (int64_t r = 0; run % 2 == 0 && r < kLanes; ++r) {
      uint8_t* const to = codes_ + 2 * r * kBlockRun;
      const auto* const block = reinterpret_cast<const Block*>(units.bytes + r * units.stride);
#if HWY_TARGET == HWY_AVX3
      _mm512_store_si512(to, Format::load_pair(*block, run % 8 / 2));
#else
      Format::widen_pair(*block, run % 8 / 2, to);
#endif
    }
    return {codes_ + run % 2 * kBlockRun, 2 * kBlockRun};
  }
#if HWY_TARGET == HWY_AVX3
  static HWY_INLINE Words load_pair(const uint8_t* unit, int64_t run) {
    return Words{Format::load_pair(*reinterpret_cast<const Block*>(unit), run % 8 / 2)};
  }
  // Where the codes of a pair of runs lie in the unit, if 32 bytes of nibbles are all there is.
  static constexpr int64_t shared_nibbles_at(int64_t run) requires Format::kOnlyNibbles {
    return offsetof(Block, nibbles) + run % 8 / 2 * 32;
  }
#elif HWY_TARGET == HWY_AVX2
  static HWY_INLINE Words load_run(const uint8_t* unit,
                                   int64_t run) requires(kKind != RunKind::kHalves) {
    const auto& block = *reinterpret_cast<const Block*>(unit);
    return hn::BitCast(Tag<uint32_t>(), Format::load_run(block, run % 8));
  }
#endif

  HWY_INLINE Floats scale(int64_t run) const { return format_.scale(run % 8); }
  HWY_INLINE Floats minimum(int64_t run) const { return format_.minimum(run % 8); }
  HWY_INLINE Ints factor(int64_t run, int half) const { return format_.factor(run % 8, half); }
  HWY_INLINE Ints factors_of_four(int64_t run, int64_t i) const {
    return format_.factors_of_four(run % 8 / 2, i);
  }
  static constexpr int32_t zero() { return Format::kZero; }

 private:
  Format format_;
  alignas(64) uint8_t codes_[kLanes * 2 * kBlockRun];
};

// Byte i of each word.
HWY_INLINE Ints byte_of(Words words, int64_t i) {
  const Tag<uint32_t> d;
  const Words shifted = hn::ShiftRightSame(words, static_cast<int>(8 * i));
  return hn::BitCast(Tag<int32_t>(), hn::And(shifted, hn::Set(d, 0xff)));
}
HWY_INLINE Ints signed_byte_of(Words words, int64_t i) {
  const Tag<int32_t> d;
  const Words shifted = hn::ShiftLeftSame(words, static_cast<int>(24 - 8 * i));
  return hn::ShiftRight<24>(hn::BitCast(d, shifted));
}

// The f16 in the lower half of each word.
HWY_INLINE Floats lower_halves(Words words) {
  const Tag<uint16_t> d;
  alignas(64) uint16_t bits[kLanes];
  hn::Store(hn::TruncateTo(d, words), d, bits);
  return widen_f16(bits);
}

// ---- Q4_K and Q5_K: scales d * s and minimums -dmin * m, s and m of six bits.

template <class BlockType>
class SixBitFormat {
 public:
  using Block = BlockType;
  static constexpr RunKind kKind = RunKind::kMinimum;
  static constexpr int32_t kZero = 0;
  static constexpr bool kOnlyNibbles = std::is_same_v<Block, BlockQ4_K>;

  // A block starts with sixteen bytes: d and dmin, then twelve that formats.h draws.
  HWY_INLINE void read_scales(const Codes& units) {
    Words head[4];
    turn_words(units.bytes, units.stride, head);
    set_scales(head);
  }
  HWY_INLINE void set_scales(const Words head[4]) {
    const Tag<uint32_t> d;
    d_ = lower_halves(head[0]);
    minus_dmin_ = hn::Neg(lower_halves(hn::ShiftRight<16>(head[0])));
    const Words six = hn::Set(d, 0x3f3f3f3f), four = hn::Set(d, 0x0f0f0f0f);
    const Words top = hn::Set(d, 0x30303030);
    scales_[0] = hn::And(head[1], six);
    scales_[1] = hn::Or(hn::And(head[3], four), hn::And(hn::ShiftRight<2>(head[1]), top));
    minimums_[0] = hn::And(head[2], six);
    minimums_[1] =
        hn::Or(hn::And(hn::ShiftRight<4>(head[3]), four), hn::And(hn::ShiftRight<2>(head[2]), top));
  }
  HWY_INLINE Floats scale(int64_t run) const {
    return hn::Mul(to_floats(byte_of(scales_[run / 4], run % 4)), d_);
  }
  HWY_INLINE Floats minimum(int64_t run) const {
    return hn::Mul(to_floats(byte_of(minimums_[run / 4], run % 4)), minus_dmin_);
  }

#if HWY_TARGET == HWY_AVX3
  static HWY_INLINE __m512i load_pair(const Block& block, int64_t p) {
    const __m256i pairs = load_32(block.nibbles + p * 32);
    const __m512i shifts = _mm512_setr_epi64(0, 0, 0, 0, 4, 4, 4, 4);
    const __m512i codes = nibbles_by_lanes(join(pairs, pairs), shifts);
    if constexpr (std::is_same_v<Block, BlockQ4_K>) {
      return codes;
    } else {
      const __m256i high = load_32(block.high_bits);
      const auto bit = static_cast<char>(1 << 2 * p);
      const auto next = static_cast<char>(2 << 2 * p);
      const __m512i select = join(_mm256_set1_epi8(bit), _mm256_set1_epi8(next));
      const __mmask64 bits = _mm512_test_epi8_mask(join(high, high), select);
      return _mm512_mask_add_epi8(codes, bits, codes, _mm512_set1_epi8(16));
    }
  }
#else
  static HWY_INLINE void widen_pair(const Block& block, int64_t p, uint8_t* codes) {
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
#endif
#if HWY_TARGET == HWY_AVX2
  static HWY_INLINE RunCodes load_run(const Block& block, int64_t run) {
    const RunBytes d;
    const hn::Repartition<uint16_t, RunBytes> d16;
    const auto pairs = hn::BitCast(d16, hn::LoadU(d, block.nibbles + run / 2 * 32));
    const auto shifted = hn::BitCast(d, hn::ShiftRightSame(pairs, run % 2 == 0 ? 0 : 4));
    const RunCodes codes = hn::And(shifted, hn::Set(d, 0x0f));
    if constexpr (std::is_same_v<Block, BlockQ4_K>) {
      return codes;
    } else {
      const auto select = hn::Set(d, static_cast<uint8_t>(1 << run));
      const auto is_set = hn::Eq(hn::And(hn::LoadU(d, block.high_bits), select), select);
      return hn::Or(codes, hn::IfThenElseZero(is_set, hn::Set(d, 16)));
    }
  }
#endif

 private:
  static HWY_INLINE Bytes16Vector bit_as_sixteen(Bytes16Vector bits, int64_t bit) {
    const Bytes16 d;
    const auto select = hn::Set(d, static_cast<uint8_t>(1 << bit));
    return hn::IfThenElseZero(hn::Eq(hn::And(bits, select), select), hn::Set(d, 16));
  }

  Floats d_;
  Floats minus_dmin_;
  Words scales_[2];  // [run / 4], a byte for each run
  Words minimums_[2];
};

// ---- Q6_K: a factor of eight bits, with its sign, for sixteen columns.

class Q6_KFormat {
 public:
  using Block = BlockQ6_K;
  static constexpr RunKind kKind = RunKind::kHalves;
  static constexpr int32_t kZero = 32;
  static constexpr bool kOnlyNibbles = false;

  HWY_INLINE void read_scales(const Codes& units) {
    alignas(64) uint16_t d[kLanes];
    for (int64_t r = 0; r < kLanes; ++r) {
      d[r] = reinterpret_cast<const Block*>(units.bytes + r * units.stride)->d;
    }
    Words factors[4];
    turn_words(units.bytes + offsetof(Block, scales), units.stride, factors);
    set_scales(factors, widen_f16(d));
#if HWY_TARGET == HWY_AVX3
    // [row][half] to [half][row] in every 128 bits.
    const __m512i turn =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    for (int p = 0; p < 4; ++p) {
      _mm512_store_si512(fours_[p], _mm512_shuffle_epi8(factors_[p].raw, turn));
    }
#endif
  }
  HWY_INLINE void set_scales(const Words factors[4], Floats d) {
    d_ = d;
    HONE_UNROLL for (int i = 0; i < 4; ++i) factors_[i] = factors[i];
  }
  HWY_INLINE Floats scale(int64_t) const { return d_; }
  HWY_INLINE Ints factor(int64_t run, int half) const {
    return signed_byte_of(factors_[run / 2], run % 2 * 2 + half);
  }

#if HWY_TARGET == HWY_AVX3
  HWY_INLINE Ints factors_of_four(int64_t p, int64_t i) const {
    const auto* const from = reinterpret_cast<const __m128i*>(fours_[p] + 16 * i);
    return Ints{_mm512_cvtepi8_epi32(_mm_load_si128(from))};
  }
  // Both pairs of a half of the block share its nibbles and its high bits.
  static HWY_INLINE __m512i load_pair(const Block& block, int64_t p) {
    const __m256i high = load_32(block.high_pairs + p / 2 * 32);
    __m512i low = _mm512_loadu_si512(block.nibbles + p / 2 * 64);
    __m512i top = join(high, high);
    if (p % 2 == 0) {
      top = _mm512_sllv_epi64(top, _mm512_setr_epi64(4, 4, 4, 4, 2, 2, 2, 2));
    } else {
      low = _mm512_srli_epi16(low, 4);
      top = _mm512_srlv_epi64(top, _mm512_setr_epi64(0, 0, 0, 0, 2, 2, 2, 2));
    }
    top = _mm512_and_si512(top, _mm512_set1_epi8(0x30));
    constexpr int kSelect = 0xca;  // bits of the second where the first has one, else of the third
    return _mm512_ternarylogic_epi64(_mm512_set1_epi8(0x0f), low, top, kSelect);
  }
#else
  static HWY_INLINE void widen_pair(const Block& block, int64_t p, uint8_t* codes) {
    const Bytes16 d;
    const hn::Repartition<uint16_t, Bytes16> d16;
    for (int i = 0; i < 64; i += 16) {
      const auto pairs = hn::LoadU(d, block.nibbles + p / 2 * 64 + i);
      const auto low = p % 2 == 0 ? low_nibbles(pairs) : high_nibbles(pairs);
      const auto high = hn::LoadU(d, block.high_pairs + p / 2 * 32 + i % 32);
      const int shift = static_cast<int>(p % 2 * 4 + i / 32 * 2);
      const auto shifted = hn::ShiftRightSame(hn::BitCast(d16, high), shift);
      const auto top = hn::And(hn::BitCast(d, shifted), hn::Set(d, 3));
      const auto placed = hn::BitCast(d, hn::ShiftLeft<4>(hn::BitCast(d16, top)));
      hn::StoreU(hn::Or(low, placed), d, codes + i);
    }
  }
#endif

 private:
  Floats d_;
  Words factors_[4];  // [run / 2], a byte for each half
#if HWY_TARGET == HWY_AVX3
  alignas(64) int8_t fours_[4][64];  // the same, [rows 4i to 4i + 3][half][row]
#endif
};

// ---- IQ4_XS: scales d * (f - 32), f of six bits; nibbles are places in a table.

class IQ4_XSFormat {
 public:
  using Block = BlockIQ4_XS;
  using Table = CodeTable<kNonLinear>;
  static constexpr RunKind kKind = kKindOfBytes;
  static constexpr int32_t kZero = Table::kZero;
  static constexpr bool kOnlyNibbles = false;

  HWY_INLINE void read_scales(const Codes& units) {
    Words head[4];
    turn_words(units.bytes, units.stride, head);
    d_ = lower_halves(head[0]);
    high_ = hn::ShiftRight<16>(head[0]);
    low_ = head[1];
  }
  HWY_INLINE Floats scale(int64_t run) const {
    const Tag<uint32_t> d;
    const int i = static_cast<int>(run);
    const Words low = hn::And(hn::ShiftRightSame(low_, 4 * i), hn::Set(d, 15));
    const Words high = hn::And(hn::ShiftRightSame(high_, 2 * i), hn::Set(d, 3));
    const Ints factor = hn::BitCast(Tag<int32_t>(), hn::Or(low, hn::ShiftLeft<4>(high)));
    return hn::Mul(to_floats(hn::Sub(factor, hn::Set(Tag<int32_t>(), 32))), d_);
  }

#if HWY_TARGET == HWY_AVX3
  static HWY_INLINE __m512i load_pair(const Block& block, int64_t p) {
    const uint8_t* const from = block.nibbles + p * 32;
    return Table::look_up(load_nibble_blocks(from, from + 16));
  }
#else
  static HWY_INLINE void widen_pair(const Block& block, int64_t p, uint8_t* codes) {
    Table::widen(block.nibbles + p * 32, codes);
    Table::widen(block.nibbles + p * 32 + 16, codes + 32);
  }
#endif
#if HWY_TARGET == HWY_AVX2
  static HWY_INLINE RunCodes load_run(const Block& block, int64_t run) {
    return Table::load_run(block.nibbles + run * 16);
  }
#endif

 private:
  Floats d_;
  Words low_;   // four bits for each run
  Words high_;  // two
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
