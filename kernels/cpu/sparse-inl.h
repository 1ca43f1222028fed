// 2:4 weights (drawn in codec/sparse.cpp) to vectors of f32: a reader of the kept elements, whose
// vectors are expanded to twice as many columns in registers. Every column takes its float from a
// lane that depends on its index byte alone, so that a table gives the lanes of eight columns at
// once, and a lane that holds zero stands for the dropped ones. Compiled per target.
#if defined(HONE_CPU_SPARSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_SPARSE_INL_H_
#undef HONE_CPU_SPARSE_INL_H_
#else
#define HONE_CPU_SPARSE_INL_H_
#endif

#include "kernels/cpu/decode-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

// The kept columns as a dense matrix of half the width; with scales, a group is of whole
// quadruples.
inline WeightView kept_part(const WeightView& w) {
  WeightView kept = w;
  kept.index = nullptr;
  kept.columns = w.columns / 2;
  kept.group = w.group / 2;
  return kept;
}

// Where column p of a quadruple comes from: 0 the first kept, 1 the second, -1 dropped.
constexpr int source_of(int nibble, int p) {
  return p == nibble >> 2 ? 1 : p == (nibble & 3) ? 0 : -1;
}

#if HWY_TARGET == HWY_SCALAR

constexpr int kExpandParts = 1;

#elif HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3

constexpr int kExpandParts = 2;

// from[i][byte]: lanes of eight columns, their four kept ones being lanes 4i to 4i + 3. Two lanes
// of a quadruple can be kept in six ways, so that 36 lines of each table are in use, not 256.
constexpr int kTables = kLanes == 16 ? 4 : 1;
constexpr int kZeroLane = kLanes == 16 ? 16 : 4;
struct LaneTable {
  alignas(32) int32_t from[kTables][256][8];
  constexpr LaneTable() : from() {
    for (int i = 0; i < kTables; ++i) {
      for (int byte = 0; byte < 256; ++byte) {
        for (int c = 0; c < 8; ++c) {
          const int source = source_of(c < 4 ? byte & 15 : byte >> 4, c % 4);
          from[i][byte][c] = source < 0 ? kZeroLane : 4 * i + c / 4 * 2 + source;
        }
      }
    }
  }
};
inline constexpr LaneTable kLaneTable;

// Columns [kPart * kLanes, (kPart + 1) * kLanes) of those that `kept` stands for; index: of the
// first of these.
template <int kPart>
HWY_INLINE Floats expand(Floats kept, const std::byte* index) {
  const auto lanes = [index](int table, int byte) {
    return kLaneTable.from[table][std::to_integer<int>(index[byte])];
  };
#if HWY_TARGET == HWY_AVX3
  const __m256i low =
      _mm256_load_si256(reinterpret_cast<const __m256i*>(lanes(2 * kPart, 2 * kPart)));
  const __m256i high =
      _mm256_load_si256(reinterpret_cast<const __m256i*>(lanes(2 * kPart + 1, 2 * kPart + 1)));
  const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  return Floats{_mm512_permutex2var_ps(kept.raw, both, _mm512_setzero_ps())};
#else
  const hn::Half<FloatTag> half;
  const auto four = kPart == 0 ? hn::LowerHalf(half, kept) : hn::UpperHalf(half, kept);
  const auto from = hn::IndicesFromVec(kFloatTag, hn::Load(Tag<int32_t>(), lanes(0, kPart)));
  return hn::TableLookupLanes(hn::ZeroExtendVector(kFloatTag, four), from);
#endif
}

#else

constexpr int kExpandParts = 2;

// Where each byte of four columns comes from, by nibble: 0x80 gives zero.
struct ByteTable {
  alignas(16) uint8_t from[16][16];
  constexpr ByteTable() : from() {
    for (int nibble = 0; nibble < 16; ++nibble) {
      for (int i = 0; i < 16; ++i) {
        const int source = source_of(nibble, i / 4);
        from[nibble][i] = static_cast<uint8_t>(source < 0 ? 0x80 : 4 * source + i % 4);
      }
    }
  }
};
inline constexpr ByteTable kByteTable;

template <int kPart>
HWY_INLINE Floats expand(Floats kept, const std::byte* index) {
  const hn::Repartition<uint8_t, FloatTag> d;
  const auto bytes = hn::BitCast(d, kept);
  const unsigned nibble = std::to_integer<unsigned>(*index) >> 4 * kPart & 15;
  const auto from = hn::Load(d, kByteTable.from[nibble]);
  const auto two = kPart == 0 ? bytes : hn::ShiftRightBytes<8>(d, bytes);
  return hn::BitCast(kFloatTag, hn::TableLookupBytesOr0(two, from));
}

#endif

template <class Kept>
struct SparseReader {
  static_assert(Kept::kParts == 1);
  static constexpr int kParts = kExpandParts;
  static constexpr bool kPlain = false;
  static constexpr bool kFromMemory = Kept::kFromMemory;
  Kept kept;
  const std::byte* index;  // of this row

  SparseReader(const WeightView& w, int64_t r)
      : kept(kept_part(w), r), index(w.index + r * (w.columns / 8)) {}
  HWY_INLINE void prefetch(int64_t c, int rows) const { kept.prefetch(c / 2, rows); }
  HWY_INLINE void begin(int64_t c, int64_t g) { kept.begin(c / 2, g); }
  HWY_INLINE int64_t segment_end(int64_t c) const { return 2 * kept.segment_end(c / 2); }
#if HWY_TARGET == HWY_SCALAR
  HWY_INLINE Floats load(int64_t c) const {
    const int nibble = std::to_integer<int>(index[c / 8]) >> (c / 4 % 2 * 4) & 15;
    const int source = source_of(nibble, static_cast<int>(c % 4));
    return source < 0 ? hn::Zero(kFloatTag) : kept.load(c / 4 * 2 + source);
  }
#else
  template <int kPart>
  HWY_INLINE Floats load(int64_t c) const {
    return expand<kPart>(kept.load(c / 2), index + c / 8);
  }
#endif
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
