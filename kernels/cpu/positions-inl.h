// One token times BF16 of 2:4, kStreamRows rows at a time. A float is a BF16 above 16 zeros, and
// eight columns keep eight bytes: shuffled by a line of a table, which their byte of index chooses,
// these are eight floats. Masks that expand words (words-inl.h) cost twice as much on a Zen 4.
// Compiled per target.
#if defined(HONE_CPU_POSITIONS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_POSITIONS_INL_H_
#undef HONE_CPU_POSITIONS_INL_H_
#else
#define HONE_CPU_POSITIONS_INL_H_
#endif

#include "kernels/cpu/dot-inl.h"
#include "kernels/cpu/sparse-inl.h"

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kPositionsBlock = 64;  // columns whose index is one word

using Eight = hn::CappedTag<float, 8>;

// Where each byte of eight floats comes from, by their byte of index: two kept words for each four.
// Six nibbles are in use, so 36 lines.
struct PositionsTable {
  alignas(32) uint8_t from[256][32];
  constexpr PositionsTable() : from() {
    for (int byte = 0; byte < 256; ++byte) {
      for (int column = 0; column < 8; ++column) {
        const int source = source_of(column < 4 ? byte & 15 : byte >> 4, column % 4);
        const int word = 4 * (column / 4) + 2 * source;
        for (int i = 0; i < 4; ++i) {
          from[byte][4 * column + i] =
              static_cast<uint8_t>(source < 0 || i < 2 ? 0x80 : word + i - 2);
        }
      }
    }
  }
};
inline constexpr PositionsTable kPositionsTable;

HWY_INLINE hn::Vec<Eight> load_positions(const std::byte* words, uint64_t index) {
  const hn::Repartition<uint8_t, Eight> d;
  uint64_t kept;
  std::memcpy(&kept, words, sizeof kept);
  const auto bytes = hn::BitCast(d, hn::Set(hn::Repartition<uint64_t, Eight>(), kept));
  const auto from = hn::Load(d, kPositionsTable.from[index & 255]);
  return hn::BitCast(Eight(), hn::TableLookupBytesOr0(bytes, from));
}

// The lanes of a row's sum, eight in a vector.
template <int64_t kEights>
struct SumOfEights {
  hn::Vec<Eight> eights[kEights];

  SumOfEights() {
    for (auto& eight : eights) eight = hn::Zero(Eight());
  }
  HWY_INLINE float all() const {
    if constexpr (kEights == 1) {
      return sum_lanes(eights[0]);
    } else {
      return sum_lanes(hn::Combine(kFloatTag, eights[1], eights[0]));
    }
  }
};

// As stream_rows; columns: a multiple of kPositionsBlock.
inline void stream_positions(const WeightView& w, int64_t row0, const FewTokens& tokens) {
  constexpr int64_t kEights = kLanes / 8;
  const int64_t index_stride = w.columns / 8;
  const std::byte* const words = w.payload + row0 * w.row_stride;
  const std::byte* const index = w.index + row0 * index_stride;
  const auto fetch = [](const std::byte* line) { __builtin_prefetch(line, 0, 2); };
  for (int64_t chunk = 0; chunk < w.columns; chunk += kChunk) {
    SumOfEights<kEights> sums[kStreamRows];
    const int64_t end = std::min(chunk + kChunk, w.columns);
    for (int64_t c = chunk; c < end; c += kPositionsBlock) {
      HONE_UNROLL for (int64_t r = 0; r < kStreamRows; ++r) {
        const std::byte* const kept = words + r * w.row_stride + c;  // two bytes for two columns
        uint64_t positions;
        std::memcpy(&positions, index + r * index_stride + c / 8, sizeof positions);
        HONE_UNROLL for (int64_t i = 0; i < kPositionsBlock / 8; ++i) {
          const auto weights = load_positions(kept + 8 * i, positions >> 8 * i);
          auto& sum = sums[r].eights[i % kEights];
          sum = hn::MulAdd(weights, hn::LoadU(Eight(), tokens.x + c + 8 * i), sum);
        }
        fetch(words + kStreamRows * (w.row_stride + c) + r * kLine);
      }
      fetch(index + kStreamRows * (index_stride + c / 8));
    }
    for (int64_t r = 0; r < kStreamRows; ++r) tokens.sums[r] += sums[r].all();
  }
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
