// Dot products of weight rows with tokens, in an order that depends on the row alone:
//
//   a row is cut into chunks of kChunk columns; in a chunk, element c is added to lane c % kLanes
//   of one vector accumulator by multiply-add; the lanes are summed by halves (sum_lanes); chunk
//   sums are added one after the other; the last columns % kLanes columns, padded by zeros, come
//   last.
//
// Where a lane holds two columns in BF16 (lane-inl.h), a column here is such a pair.
//
// Two routes follow it and give the same bytes. A few tokens: weights go from their stored form
// through registers into the multiply-add (dot_rows). More: rows are decoded to f32 once and used
// by all of them (tile-inl.h). Compiled per target.
#if defined(HONE_CPU_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_DOT_INL_H_
#undef HONE_CPU_DOT_INL_H_
#else
#define HONE_CPU_DOT_INL_H_
#endif

#include "kernels/cpu/caches.h"
#include "kernels/cpu/decode-inl.h"
#include "kernels/cpu/float_kernels.h"
#include "kernels/cpu/lane-inl.h"

// Sums stay in registers only if the compiler unrolls their loops before all else.
#ifndef HONE_UNROLL
#ifdef __clang__
#define HONE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define HONE_UNROLL _Pragma("GCC unroll 16")
#endif
#endif

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kChunk = 2048;    // long: the sums of lanes cost as much as 64 columns
constexpr int64_t kRows = 4;        // rows at a time: four streams hide the latency of memory
constexpr int64_t kStreamRows = 8;  // rows of floats of a call, for one token

// AVX-512 and NEON have 32 vector registers, other targets 16.
constexpr bool kManyRegisters = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON;

// Tokens at a time that share what is decoded: with four rows, as many sums as registers allow.
constexpr int kFewTokens = kManyRegisters ? 4 : 2;

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE float sum_lanes(Floats v) { return hn::GetLane(v); }
#else
// The upper half of the lanes is added to the lower, and so on.
template <class D>
HWY_INLINE float sum_halves(D, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(D()) == 1) {
    return hn::GetLane(v);
  } else {
    const hn::Half<D> half;
    return sum_halves(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

HWY_INLINE float sum_lanes(Floats v) { return sum_halves(kFloatTag, v); }
#endif

// Columns that fill whole vectors.
HWY_INLINE int64_t whole_columns(int64_t columns) { return columns / kLanes * kLanes; }

// decode_span for any first column; count < 32.
inline void decode_tail(const WeightView& w, int64_t row, int64_t begin, int64_t count,
                        float* out) {
  float values[48];
  const int64_t first = begin / 16 * 16;
  decode_span(w, row, first, begin + count - first, values);
  std::copy_n(values + (begin - first), count, out);
}

// Columns that a reader gives at once.
template <class Reader>
constexpr int64_t kStep = int64_t{Reader::kParts} * kLanes;

template <int kPart, class Reader>
HWY_INLINE Floats load_part(const Reader& reader, int64_t c) {
  if constexpr (Reader::kParts == 1) {
    return reader.load(c);
  } else {
    return reader.template load<kPart>(c);
  }
}

// Where a walk along the columns stands, for all rows: a division per group would cost as much as
// decoding two vectors.
struct GroupWalk {
  int64_t size;
  int64_t index;
  int64_t end;  // its last column + 1

  GroupWalk(const WeightView& w, int64_t c)
      : size(w.scales ? w.group : kEndless), index(c / size), end((index + 1) * size) {}
  // c: in this group, or the next one's first column.
  HWY_INLINE void advance(int64_t c) {
    if (c < end) return;
    ++index;
    end += size;
  }
};

// A row on its way through a chunk, and its sums with kT tokens.
template <class Reader, int kT, class Lane>
struct RowDot {
  Reader reader;
  Floats sum[kT];

  RowDot(const WeightView& w, int64_t row) : reader(w, row) { clear(); }

  HWY_INLINE void clear() { HONE_UNROLL for (int t = 0; t < kT; ++t) sum[t] = hn::Zero(kFloatTag); }
  HWY_INLINE void add(Floats weight, const float* x, int64_t x_stride) {
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      sum[t] = Lane::multiply_add(weight, hn::LoadU(kFloatTag, x + t * x_stride), sum[t]);
    }
  }
  template <int kPart = 0>
  HWY_INLINE void add_step(int64_t c, const float* x, int64_t x_stride) {
    add(load_part<kPart>(reader, c), x + c + kPart * kLanes, x_stride);
    if constexpr (kPart + 1 < Reader::kParts) add_step<kPart + 1>(c, x, x_stride);
  }
  // The last vector of a row of 2:4, where it is half a step.
  void add_half_step(const WeightView& w, int64_t row, int64_t c, const float* x,
                     int64_t x_stride) {
    float values[kLanes];
    decode_span(w, row, c, kLanes, values);
    add(hn::LoadU(kFloatTag, values), x + c, x_stride);
  }
  HWY_INLINE void finish_chunk(float* totals, int64_t stride) {
    HONE_UNROLL for (int t = 0; t < kT; ++t) totals[t * stride] += sum_lanes(sum[t]);
    clear();
  }
};

// Adds the products of rows row0 + r with kT tokens, over the whole vectors of columns.
template <class Reader, int kCount, int kT, class Lane>
void dot_rows(const WeightView& w, int64_t row0, const FewTokens& tokens) {
  static_assert(kCount == 1 || kCount == kRows);
  using Row = RowDot<Reader, kT, Lane>;
  Row r0(w, row0);
  Row r1(w, row0 + (kCount > 1 ? 1 : 0));
  Row r2(w, row0 + (kCount > 1 ? 2 : 0));
  Row r3(w, row0 + (kCount > 1 ? 3 : 0));
  const auto each = [&](auto&& body) HWY_ATTR {
    body(r0, 0);
    if constexpr (kCount > 1) body(r1, 1), body(r2, 2), body(r3, 3);
  };
  const float* const x = tokens.x;
  const int64_t x_stride = tokens.x_stride;
  const int64_t columns = whole_columns(w.columns);
  const int64_t stepped = columns / kStep<Reader> * kStep<Reader>;
  GroupWalk group(w, 0);
  for (int64_t chunk = 0; chunk < columns; chunk += kChunk) {
    const int64_t chunk_end = std::min(chunk + kChunk, columns);
    const int64_t step_end = std::min(chunk_end, stepped);
    for (int64_t c = chunk; c < step_end;) {
      group.advance(c);
      // Not through each(): g++ drops a call of a function that does nothing but prefetch.
      r0.reader.prefetch(c, kCount);
      if constexpr (kCount > 1) {
        r1.reader.prefetch(c, kCount);
        r2.reader.prefetch(c, kCount);
        r3.reader.prefetch(c, kCount);
      }
      each([c, g = group.index](Row& row, int) HWY_ATTR { row.reader.begin(c, g); });
      const int64_t end = std::min({r0.reader.segment_end(c), group.end, step_end});
      for (; c < end; c += kStep<Reader>) {
        each([c, x, x_stride](Row& row, int) HWY_ATTR { row.add_step(c, x, x_stride); });
      }
    }
    if (step_end < chunk_end) {
      each([&](Row& row, int i)
               HWY_ATTR { row.add_half_step(w, row0 + i, step_end, x, x_stride); });
    }
    each([&tokens](Row& row, int i)
             HWY_ATTR { row.finish_chunk(tokens.sums + i, tokens.sum_stride); });
  }
}

// ---- Rows of floats without scales and one token: memory sets the pace.

// Columns [begin, end) of kStreamRows rows side by side. While they are multiplied, as many bytes
// of the rows that come next are fetched into L2, in the order of their addresses. (Asking for the
// same rows a little further on filled L1, where rows a page apart push each other out.)
template <class Reader, class Lane>
HWY_INLINE void dot_side_by_side(const Reader& first, const float* x, int64_t begin, int64_t end,
                                 const char* ahead, float* totals) {
  constexpr int64_t kColumns = Reader::kLineColumns;
  Floats sums[kStreamRows];
  HONE_UNROLL for (Floats& sum : sums) sum = hn::Zero(kFloatTag);
  const auto add = [&](int64_t c, int r) HWY_ATTR {
    sums[r] = Lane::multiply_add(first.load(c, r), hn::LoadU(kFloatTag, x + c), sums[r]);
  };
  ahead += begin / kColumns * kStreamRows * kLine;
  int64_t c = begin;
  for (; c + kColumns <= end; c += kColumns) {
    HONE_UNROLL for (int r = 0; r < kStreamRows; ++r) {
      for (int64_t k = 0; k < kColumns; k += kLanes) add(c + k, r);
      __builtin_prefetch(ahead + r * kLine, 0, 2);  // one by one: a burst would wait for room
    }
    ahead += kStreamRows * kLine;
  }
  for (; c < end; c += kLanes) {
    HONE_UNROLL for (int r = 0; r < kStreamRows; ++r) add(c, r);
  }
  for (int r = 0; r < kStreamRows; ++r) totals[r] += sum_lanes(sums[r]);
}

// Columns [begin, end) of one row. Rows that follow each other are one stream, front to back, as a
// processor fetches ahead best. It stops at pages: the first half of what follows is asked for
// (more would hold L1's few places for outstanding reads), and the hardware goes on from there.
template <class Reader, class Lane>
HWY_INLINE float dot_in_stream(const Reader& reader, const float* x, int64_t begin, int64_t end) {
  constexpr int64_t kColumns = 2 * Reader::kLineColumns;
  const auto* ahead =
      reinterpret_cast<const char*>(reader.row) + end / Reader::kLineColumns * kLine;
  Floats sum = hn::Zero(kFloatTag);
  int64_t c = begin;
  for (; c + kColumns <= end; c += kColumns, ahead += kLine) {
    HONE_UNROLL for (int64_t k = 0; k < kColumns; k += kLanes) {
      sum = Lane::multiply_add(reader.load(c + k), hn::LoadU(kFloatTag, x + c + k), sum);
    }
    __builtin_prefetch(ahead, 0, 2);
  }
  for (; c < end; c += kLanes) {
    sum = Lane::multiply_add(reader.load(c), hn::LoadU(kFloatTag, x + c), sum);
  }
  return sum_lanes(sum);
}

// A token that fills L1 would have to be read from L2 again for each row of a stream. On a Zen 4
// (32 KiB), 2048 columns of BF16 take 0.82 of the time that rows side by side take, 5632 columns
// 1.1 and more. Where streams must be asked for, rows side by side do that.
inline bool fits_beside_stream(int64_t columns) {
  if (kStreamAhead > 0) return false;
  const int64_t bytes = level1_bytes() > 0 ? level1_bytes() : 32 << 10;
  return columns * int64_t{sizeof(float)} <= bytes / 2;
}

// Adds the products of kStreamRows rows with one token, over the whole vectors of columns.
template <class Reader, class Lane>
void stream_rows(const WeightView& w, int64_t row0, const FewTokens& tokens) {
  const int64_t columns = whole_columns(w.columns);
  if (fits_beside_stream(columns)) {
    for (int r = 0; r < kStreamRows; ++r) {
      const Reader reader(w, row0 + r);
      for (int64_t c = 0; c < columns; c += kChunk) {
        const int64_t end = std::min(c + kChunk, columns);
        tokens.sums[r] += dot_in_stream<Reader, Lane>(reader, tokens.x, c, end);
      }
    }
    return;
  }
  const Reader first(w, row0);
  const auto* coming = reinterpret_cast<const char*>(first.row + kStreamRows * w.row_stride);
  for (int64_t c = 0; c < columns; c += kChunk) {
    const int64_t end = std::min(c + kChunk, columns);
    dot_side_by_side<Reader, Lane>(first, tokens.x, c, end, coming, tokens.sums);
  }
}

template <int kPart = 0, class Reader>
HWY_INLINE void store_step(const Reader& reader, int64_t c, float* out) {
  hn::StoreU(load_part<kPart>(reader, c), kFloatTag, out + kPart * kLanes);
  if constexpr (kPart + 1 < Reader::kParts) store_step<kPart + 1>(reader, c, out);
}

// Columns [begin, end) of a row as f32; begin is a multiple of 32 and of the block.
template <class Reader>
void decode_part(const WeightView& w, int64_t row, int64_t begin, int64_t end, float* out) {
  Reader reader(w, row);
  const int64_t whole = begin + (end - begin) / kStep<Reader> * kStep<Reader>;
  GroupWalk group(w, begin);
  for (int64_t c = begin; c < whole;) {
    group.advance(c);
    reader.begin(c, group.index);
    const int64_t segment_end =
        Reader::kPlain ? whole : std::min({reader.segment_end(c), group.end, whole});
    for (; c < segment_end; c += kStep<Reader>) store_step(reader, c, out + (c - begin));
  }
  if (whole < end) decode_tail(w, row, whole, end - whole, out + (whole - begin));
}

inline void decode_any(const WeightView& w, int64_t row, int64_t begin, int64_t end, float* out) {
  decode_span(w, row, begin, end - begin, out);
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
