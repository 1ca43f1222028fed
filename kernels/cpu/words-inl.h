// Sparse matrices of 16-bit floats, 2:4 or with a bitmask, to vectors of f32: one instruction reads
// as many words as 32 columns keep, and spreads them. For AVX-512 with VBMI2. Compiled per target.
#if defined(HONE_CPU_WORDS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_WORDS_INL_H_
#undef HONE_CPU_WORDS_INL_H_
#else
#define HONE_CPU_WORDS_INL_H_
#endif

#include <bit>

#include "kernels/cpu/dot-inl.h"
#include "kernels/cpu/vbmi-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kWordsColumns = 32;  // that one mask covers

HWY_INLINE void fetch(const std::byte* line) { __builtin_prefetch(line, 0, 2); }  // into L2

// What a row keeps, kWordsColumns at a time: expand(c) gives those from c on, dropped ones 0. The
// first c is a multiple of 128; the next one follows.

class PositionsOfRow {  // 2:4
 public:
  PositionsOfRow(const WeightView& w, int64_t row)
      : words_(w.payload + row * w.row_stride),
        index_(w.index + row * (w.columns / 8)),
        columns_(w.columns),
        stride_(w.row_stride) {}

  HWY_INLINE __m512i expand(int64_t c) {
    if (c % kMasksColumns == 0) read_masks(c);
    const std::byte* const kept = words_ + c;  // two bytes for two columns
    return expand_words(masks_[c % kMasksColumns / kWordsColumns], kept);
  }

  HWY_INLINE void prefetch(int64_t c, int rows) const {
    const int64_t at = c + kAhead;
    const std::byte* const line = words_ + at + (at < columns_ ? 0 : (rows - 1) * stride_);
    if (c % kLine == 0) fetch(line);
    if (c % (8 * kLine) == 0) fetch(index_ + c / 8 + rows * columns_ / 8);
  }

 private:
  static constexpr int64_t kMasksColumns = 128;  // whose index is one vector

  HWY_INLINE void read_masks(int64_t c) {
    const __m128i index = c + kMasksColumns <= columns_
                              ? _mm_loadu_si128(reinterpret_cast<const __m128i*>(index_ + c / 8))
                              : load_last(c);
    _mm_store_si128(reinterpret_cast<__m128i*>(masks_), kept_bits(index));
  }
  HWY_NOINLINE __m128i load_last(int64_t c) const {
    alignas(16) std::byte last[kMasksColumns / 8] = {};
    std::memcpy(last, index_ + c / 8, (columns_ - c) / 8);
    return _mm_load_si128(reinterpret_cast<const __m128i*>(last));
  }

  const std::byte* words_;
  const std::byte* index_;
  int64_t columns_;
  int64_t stride_;
  alignas(16) uint32_t masks_[kMasksColumns / kWordsColumns];
};

class MaskOfRow {  // a bitmask
 public:
  MaskOfRow(const WeightView& w, int64_t row)
      : kept_(w.payload + 2 * w.row_offsets[row]),
        end_(w.payload + 2 * w.row_offsets[row + 1]),
        skip_(end_ - kept_),
        masks_(w.mask + row * mask_row_bytes(w.columns)),
        mask_stride_(mask_row_bytes(w.columns)) {}

  HWY_INLINE __m512i expand(int64_t c) {
    if (c != next_) [[unlikely]]
      kept_ += 2 * count_before(c);
    next_ = c + kWordsColumns;
    const uint32_t mask = load_mask(c);
    const __m512i words = expand_words(mask, kept_);
    kept_ += 2 * std::popcount(mask);
    return words;
  }

  // The rows lie without gaps: behind the end of one, all others of those multiplied at once.
  HWY_INLINE void prefetch(int64_t c, int rows) const {
    const std::byte* const line = kept_ + kAhead;
    fetch(line < end_ ? line : line + (rows - 1) * skip_);
    if (c % (8 * kLine) == 0) fetch(masks_ + c / 8 + rows * mask_stride_);
  }

 private:
  HWY_INLINE uint32_t load_mask(int64_t c) const {
    uint32_t mask;
    std::memcpy(&mask, masks_ + c / 8, sizeof mask);
    return mask;
  }
  // From the row's start.
  HWY_NOINLINE int64_t count_before(int64_t c) const {
    int64_t count = 0;
    for (int64_t i = 0; i < c; i += kWordsColumns) count += std::popcount(load_mask(i));
    return count;
  }

  const std::byte* kept_;
  const std::byte* end_;
  int64_t skip_;  // bytes of this row, about those of any other
  const std::byte* masks_;
  int64_t mask_stride_;
  int64_t next_ = 0;
};

// The lower or the upper 16 of 32 words.
template <int kPart>
HWY_INLINE Floats widen_bf16_part(__m512i words) {
  constexpr int k = 16 * kPart;
  // Word i goes to the upper half of lane i.
  const __m512i from = _mm512_set_epi16(k + 15, 0, k + 14, 0, k + 13, 0, k + 12, 0, k + 11, 0,
                                        k + 10, 0, k + 9, 0, k + 8, 0, k + 7, 0, k + 6, 0, k + 5, 0,
                                        k + 4, 0, k + 3, 0, k + 2, 0, k + 1, 0, k, 0);
  return Floats{_mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, from, words))};
}
template <int kPart>
HWY_INLINE Floats widen_f16_part(__m512i words) {
  return Floats{_mm512_cvtph_ps(kPart == 0 ? _mm512_castsi512_si256(words)
                                           : _mm512_extracti64x4_epi64(words, 1))};
}

template <class Row, bool kBf16>
struct WordsReader {
  static constexpr int kParts = 2;
  static constexpr bool kPlain = false;
  static constexpr bool kFromMemory = true;
  Row row;
  __m512i words;  // of the current segment

  WordsReader(const WeightView& w, int64_t r) : row(w, r) {}
  HWY_INLINE void prefetch(int64_t c, int rows) const { row.prefetch(c, rows); }
  HWY_INLINE void begin(int64_t c, int64_t) { words = row.expand(c); }
  HWY_INLINE int64_t segment_end(int64_t c) const { return c + kWordsColumns; }
  template <int kPart>
  HWY_INLINE Floats load(int64_t) const {
    if constexpr (kBf16) return widen_bf16_part<kPart>(words);
    return widen_f16_part<kPart>(words);
  }
};

// One row of a matrix with a bitmask: dot_rows without its prefetches and groups, which took twice
// as long.
template <class Reader>
HWY_INLINE void dot_masked_row(const WeightView& w, int64_t row, const float* x, float* total) {
  const int64_t columns = whole_columns(w.columns);
  const int64_t stepped = columns / kWordsColumns * kWordsColumns;
  RowDot<Reader, 1, FloatLane> dot(w, row);
  for (int64_t chunk = 0; chunk < columns; chunk += kChunk) {
    const int64_t end = std::min(chunk + kChunk, columns);
    int64_t c = chunk;
    for (; c < std::min(end, stepped); c += kWordsColumns) {
      dot.reader.begin(c, 0);
      dot.add_step(c, x, 0);
    }
    if (c < end) dot.add_half_step(w, row, c, x, 0);
    dot.finish_chunk(total, 0);
  }
}

// As stream_rows. A Zen 4, whose vpexpandw takes 8 cycles, multiplies 2048 columns in 0.74 of the
// time that rows side by side take, 5632 columns in 1.24.
template <bool kBf16>
void stream_masked_rows(const WeightView& w, int64_t row0, const FewTokens& tokens) {
  using Reader = WordsReader<MaskOfRow, kBf16>;
  if (fits_beside_stream(w.columns)) {
    for (int64_t r = 0; r < kStreamRows; ++r) {
      dot_masked_row<Reader>(w, row0 + r, tokens.x, tokens.sums + r);
    }
    return;
  }
  FewTokens some = tokens;
  for (int64_t r = 0; r < kStreamRows; r += kRows, some.sums += kRows) {
    dot_rows<Reader, kRows, 1, FloatLane>(w, row0 + r, some);
  }
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
