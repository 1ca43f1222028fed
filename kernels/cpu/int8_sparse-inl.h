// 2:4 weights of 8 or 4 bits as a storage of int8_rows-inl.h. For AVX-512 with what came with Ice
// Lake and Zen 4; elsewhere these matrices are multiplied as floats.
//
// A few tokens: weights stay as they are, and activations are gathered. The 128 of a run are two
// vectors, of which one instruction picks any 64 bytes; so a row takes its index as 64 numbers of
// columns, picks the activations of the columns that it keeps, and multiplies them by its 64 codes.
//
// Many: the positions that are kept become a bit mask, by which one instruction spreads the codes;
// what was dropped becomes the zero point. Compiled per target.
#if defined(HONE_CPU_INT8_SPARSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_SPARSE_INL_H_
#undef HONE_CPU_INT8_SPARSE_INL_H_
#else
#define HONE_CPU_INT8_SPARSE_INL_H_
#endif

#include <array>

#include "kernels/cpu/int8_few-inl.h"
#include "kernels/cpu/sparse_tiles.h"
#include "kernels/cpu/vbmi-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int kAndOr = 0xea;  // (a & b) | c, for ternary logic

// ---- The kept columns of a run, one a byte, in the order in which load_kept gives their codes:
//
//   8 bits:  as stored, first and second of each quadruple in turn
//   4 bits:  the first of each of the 32 quadruples, which lie in low nibbles, then the second ones

// What shift_bytes_apart needs to bring the position of byte i to its lowest bits, and the first
// column of its quadruple.
template <int kBits>
struct KeptBytes {
  alignas(64) std::array<uint8_t, 64> shifts;
  alignas(64) std::array<uint8_t, 64> columns;
  constexpr KeptBytes() : shifts(), columns() {
    for (int i = 0; i < 64; ++i) {
      const int quadruple = kBits == 8 ? i / 2 : i % 32;
      const int second = kBits == 8 ? i % 2 : i / 32;
      const int in_word = quadruple % (kBits == 8 ? 4 : 16);
      shifts[i] = static_cast<uint8_t>(4 * in_word + 2 * second);
      columns[i] = static_cast<uint8_t>(4 * quadruple);
    }
  }
};
template <int kBits>
inline constexpr KeptBytes<kBits> kKeptBytes;

template <int kBits>
HWY_INLINE __m512i load_kept_columns(const std::byte* index) {
  const auto* const words = reinterpret_cast<const __m128i*>(index);
  __m512i nibbles;
  if constexpr (kBits == 8) {  // four quadruples a word
    nibbles = _mm512_cvtepu16_epi64(_mm_loadu_si128(words));
  } else {  // sixteen, of which its place says eight
    nibbles = _mm512_broadcastq_epi64(_mm_loadl_epi64(words));
    const __m128i high = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(index + 8));
    nibbles = _mm512_mask_broadcastq_epi64(nibbles, 0xcc, high);
  }
  const __m512i shifts = _mm512_load_si512(kKeptBytes<kBits>.shifts.data());
  const __m512i columns = _mm512_load_si512(kKeptBytes<kBits>.columns.data());
  return _mm512_ternarylogic_epi64(shift_bytes_apart(nibbles, shifts), _mm512_set1_epi8(3), columns,
                                   kAndOr);
}

// The 64 kept codes of a run, a byte each.
template <int kBits, bool kTwosComplement>
HWY_INLINE __m512i load_kept(const uint8_t* from) {
  if constexpr (kBits == 8) {
    const __m512i bytes = _mm512_loadu_si512(from);
    return kTwosComplement ? _mm512_xor_si512(bytes, _mm512_set1_epi8(-128)) : bytes;
  } else {
    constexpr int64_t kLowNibble = 0x0102040800000000;
    constexpr int64_t kHighNibble = 0x1020408000000000;
    const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    const __m512i nibbles =
        _mm512_mask_set1_epi64(_mm512_set1_epi64(kLowNibble), 0xf0, kHighNibble);
    return multiply_bits(_mm512_broadcast_i64x4(pairs), nibbles);
  }
}

// What is the same for 2:4 and bitmasks: whole runs of kLongestRun columns, no zero points of
// groups; a few tokens are multiplied by multiply<kT>, which asks for the bytes that come.
class SparseStorage {
 public:
  static constexpr int kPerByte = 1;
  static constexpr bool kTurnsSign = false;
  static constexpr RunKind kKind = RunKind::kPlain;
  static constexpr bool kPairs = false;
  static constexpr bool kInPlace = true;
  static constexpr bool kMultiplies = true;
  static constexpr bool kTiled = false;

  static bool suits(const WeightView& w) {
    return has_vbmi() && input_run(w) == kLongestRun && w.columns % kLongestRun == 0 && !w.zeros;
  }

  static constexpr int64_t unit_runs() { return 1; }
  void start(int64_t row, int64_t count) {
    row_ = row;
    last_ = count - 1;
    table_.start(row, count);
  }
  void begin(const Codes&, int64_t) {}
  HWY_INLINE Floats scale(int64_t run) const { return table_.scale(run / runs_per_group_); }
  static constexpr bool has_zeros() { return false; }
  Ints zeros(int64_t) const { return hn::Zero(Tag<int32_t>()); }

 protected:
  static constexpr int64_t kPlaceBytes = kLongestRun / 8;  // of a run: index or mask

  // places: w's index or mask.
  SparseStorage(const WeightView& w, const std::byte* places)
      : w_(w),
        places_(places),
        places_stride_(w.columns / 8),
        table_(w),
        runs_per_group_(w.scales && w.group != w.columns ? w.group / kLongestRun : kEndless) {}

  HWY_INLINE const std::byte* places(int64_t run) const {
    return places_ + row_ * places_stride_ + run * kPlaceBytes;
  }

  // Prefetches go a quarter of a run at a time: of the rows kAheadRows ahead as many bytes, in the
  // order of addresses. All at once would wait for room among the outstanding reads. A range's last
  // rows ask for what lies behind them, which is mostly this thread's next range; an address behind
  // the matrix does no harm.
  HWY_INLINE void prefetch_places(int64_t run, int64_t quarter) const {
    const std::byte* const ahead = places_ + (row_ + kAheadRows) * places_stride_;
    __builtin_prefetch(ahead + (4 * run + quarter) * 4 * kPlaceBytes, 0, 2);
  }

  const WeightView& w_;
  const std::byte* places_;
  int64_t places_stride_;
  int64_t row_ = 0;
  int64_t last_ = 0;  // row of the kLanes
  GroupTable table_;
  int64_t runs_per_group_;
  alignas(64) uint8_t codes_[kLanes * kLongestRun];
};

template <int kBits, bool kTwosComplement>
class SparseRows : public SparseStorage {
 public:
  using Stream = RowStream;

  explicit SparseRows(const WeightView& w) : SparseStorage(w, w.index) {}

  static constexpr int64_t unit_bytes() { return kLongestRun / 2 * kBits / 8; }
  static constexpr int32_t zero() { return 1 << (kBits - 1); }

  template <int kT>
  HWY_INLINE void multiply(const Codes& units, int64_t run, const Int8Part& x, Ints* sums) const {
    alignas(64) int8_t apart[kT * kLongestRun];
    const int8_t* const tokens = tokens_apart<kT>(x.quads + run * kLongestRun * kT, apart);
    if (last_ == kLanes - 1) {
      multiply_rows<kT, true>(units, run, tokens, sums);
    } else {
      multiply_rows<kT, false>(units, run, tokens, sums);
    }
  }

  // The run with all its columns.
  HWY_INLINE Codes codes(const Codes& units, int64_t run) {
    for (int64_t r = 0; r < kLanes; ++r) {
      if (r % 4 == 0) prefetch(run, r / 4);
      expand_row(units.bytes + r * units.stride, places(run) + std::min(r, last_) * places_stride_,
                 codes_ + r * kLongestRun);
    }
    return {codes_, kLongestRun, codes_};
  }

 private:
  HWY_INLINE void prefetch(int64_t run, int64_t quarter) const {
    constexpr int64_t kPart = 4 * unit_bytes();
    prefetch_places(run, quarter);
    const std::byte* const rows = w_.payload + (row_ + kAheadRows) * w_.row_stride;
    const std::byte* const codes = rows + (4 * run + quarter) * kPart;
    HONE_UNROLL for (int64_t i = 0; i < kPart; i += kLine) __builtin_prefetch(codes + i, 0, 2);
  }

  // x: [kT][kLongestRun]
  template <int kT, bool kWhole>
  HWY_INLINE void multiply_rows(const Codes& units, int64_t run, const int8_t* x,
                                Ints* sums) const {
    const std::byte* const index = places(run);
    const Tag<uint32_t> d;
    const Words zeros = hn::Set(d, 0x01010101u * zero());
    Ints fours[kT][kLanes / 4];
    HONE_UNROLL for (int64_t i = 0; i < kLanes / 4; ++i) {
      Ints rows[kT][4];
      HONE_UNROLL for (int64_t r = 0; r < 4; ++r) {
        const int64_t row = 4 * i + r;
        const Words kept{load_kept<kBits, kTwosComplement>(units.bytes + row * units.stride)};
        const __m512i columns = load_kept_columns<kBits>(
            index + (kWhole ? row : std::min(row, last_)) * places_stride_);
        HONE_UNROLL for (int t = 0; t < kT; ++t) {
          const int8_t* const of_token = x + t * kLongestRun;
          const Words picked{pick_bytes(columns, load_bytes(d, of_token).raw,
                                        load_bytes(d, of_token + kLongestRun / 2).raw)};
          const Ints none = hn::Zero(Tag<int32_t>());
          rows[t][r] = hn::Sub(add_products(none, kept, picked), add_products(none, zeros, picked));
        }
      }
      HONE_UNROLL for (int t = 0; t < kT; ++t) {
        fours[t][i] = sum_four(rows[t][0], rows[t][1], rows[t][2], rows[t][3]);
      }
      prefetch(run, i);
    }
    HONE_UNROLL for (int t = 0; t < kT; ++t) sums[t] = sum_blocks(fours[t]);
  }

  // The 64 kept codes in the order of their columns.
  static HWY_INLINE __m512i load_ordered(const uint8_t* from) {
    if constexpr (kBits == 8) {
      return load_kept<kBits, kTwosComplement>(from);
    } else {
      const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
      const __m512i wide = _mm512_cvtepu8_epi16(pairs);
      return _mm512_and_si512(_mm512_or_si512(wide, _mm512_slli_epi16(wide, 4)),
                              _mm512_set1_epi8(15));
    }
  }

  static HWY_INLINE void expand_row(const uint8_t* from, const std::byte* index, uint8_t* to) {
    const __m128i bits = kept_bits(_mm_loadu_si128(reinterpret_cast<const __m128i*>(index)));
    const __m512i zeros = _mm512_set1_epi8(static_cast<char>(zero()));
    const __m512i kept = _mm512_xor_si512(load_ordered(from), zeros);  // what is dropped is 0 here
    const __m512i upper = _mm512_castsi256_si512(_mm512_extracti64x4_epi64(kept, 1));
    const auto low = static_cast<__mmask64>(_mm_cvtsi128_si64(bits));
    const auto high = static_cast<__mmask64>(_mm_extract_epi64(bits, 1));
    _mm512_store_si512(to, _mm512_xor_si512(expand_bytes(low, kept), zeros));
    _mm512_store_si512(to + 64, _mm512_xor_si512(expand_bytes(high, upper), zeros));
  }
};

// ---- Tiles (sparse_tiles.h): all rows in a vector, four kept columns of each.

static_assert(kTileRows == kLanes && kTileColumns == kLongestRun);

// What lies so far ahead is asked for, into L2: between two blocks of rows the processor's own
// prefetching stops.
constexpr int64_t kTilesAheadBytes = 16 * kTileBytes;

// Exact sums of a tile's rows with kT tokens. x: [kT][kLongestRun]
template <int kT>
HWY_INLINE void multiply_tile(const std::byte* tile, const int8_t* x, Ints* sums) {
  const Tag<uint32_t> d;
  const Words nibble = hn::Set(d, 0x0f0f0f0f);
  const Words eights = hn::Set(d, 0x08080808);  // the zero point
  const __m512i quadruples = _mm512_set1_epi32(0x04040000);
  Ints zeros[kT];
  HONE_UNROLL for (int t = 0; t < kT; ++t) sums[t] = zeros[t] = hn::Zero(Tag<int32_t>());
  HONE_UNROLL for (int i = 0; i < 16; ++i) {  // eights of columns
    const Words positions = load_bytes(d, tile + kTileCodes + i / 4 * kVectorBytes);
    const __m512i from = _mm512_ternarylogic_epi64(_mm512_srli_epi32(positions.raw, i % 4 * 2),
                                                   _mm512_set1_epi8(3), quadruples, kAndOr);
    const Words pairs = load_bytes(d, tile + i / 2 * kVectorBytes);
    const Words codes = hn::And(i % 2 == 0 ? pairs : hn::ShiftRight<4>(pairs), nibble);
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      int64_t eight;
      std::memcpy(&eight, x + t * kLongestRun + 8 * i, sizeof eight);
      const Words picked{_mm512_shuffle_epi8(_mm512_set1_epi64(eight), from)};
      sums[t] = add_products(sums[t], codes, picked);
      zeros[t] = add_products(zeros[t], eights, picked);
    }
    if (kLine * i < kTileBytes) __builtin_prefetch(tile + kTilesAheadBytes + kLine * i, 0, 2);
  }
  HONE_UNROLL for (int t = 0; t < kT; ++t) sums[t] = hn::Sub(sums[t], zeros[t]);
}

class SparseTiles : public SparseRows<4, false> {
 public:
  using SparseRows::SparseRows;

  void start(int64_t row, int64_t count) {
    row_ = row;
    last_ = count - 1;
    block_ = w_.tiles + row / kTileRows * tile_block_bytes(w_);
  }
  HWY_INLINE Floats scale(int64_t run) const {
    const std::byte* const scales = block_ + (run + 1) * kTileBytes - kTileScales;
    return w_.scale_type == DType::kBF16 ? widen_bf16(scales) : widen_f16(scales);
  }

  template <int kT>
  HWY_INLINE void multiply(const Codes&, int64_t run, const Int8Part& x, Ints* sums) const {
    alignas(64) int8_t apart[kT * kLongestRun];
    const int8_t* const tokens = tokens_apart<kT>(x.quads + run * kLongestRun * kT, apart);
    multiply_tile<kT>(block_ + run * kTileBytes, tokens, sums);
  }

 private:
  const std::byte* block_ = nullptr;  // those of the kLanes rows
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
