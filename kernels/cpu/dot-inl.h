// Dot products of weight rows with tokens, in an order that depends on the row alone:
//
//   a row is cut into chunks of kChunk columns; in a chunk, element c is added to lane c % kLanes
//   of one vector accumulator by multiply-add; the lanes are summed by Highway's fixed tree; chunk
//   sums are added one after the other; the last columns % kLanes columns, padded by zeros, come
//   last.
//
// Two routes follow it and give the same bytes. One token: weights go from their stored form
// through registers into the multiply-add (dot_rows). Several tokens: a tile of kRows rows x kChunk
// columns is decoded to f32 in L1 and used by all of them (decode_part, dot_tile). Compiled per
// target.
#if defined(HONE_CPU_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_DOT_INL_H_
#undef HONE_CPU_DOT_INL_H_
#else
#define HONE_CPU_DOT_INL_H_
#endif

#include "kernels/cpu/blocks-inl.h"
#include "kernels/cpu/decode-inl.h"
#include "kernels/cpu/sparse-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kChunk = 1024;  // 4 KB of f32: a tile of four rows takes a third of L1
constexpr int64_t kRows = 4;      // rows at a time: four streams hide the latency of memory

HWY_INLINE float sum_lanes(Floats v) { return hn::GetLane(hn::SumOfLanes(kFloatTag, v)); }

// Columns that fill whole vectors.
HWY_INLINE int64_t whole_columns(int64_t columns) { return columns / kLanes * kLanes; }

// decode_span for any first column; count < 32.
void decode_tail(const WeightView& w, int64_t row, int64_t begin, int64_t count, float* out) {
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

// A row on its way through a chunk.
template <class Reader>
struct RowDot {
  Reader reader;
  Floats sum = hn::Zero(kFloatTag);

  RowDot(const WeightView& w, int64_t row) : reader(w, row) {}

  template <int kPart = 0>
  HWY_INLINE void add_step(int64_t c, const float* x) {
    const Floats token = hn::LoadU(kFloatTag, x + c + kPart * kLanes);
    sum = hn::MulAdd(load_part<kPart>(reader, c), token, sum);
    if constexpr (kPart + 1 < Reader::kParts) add_step<kPart + 1>(c, x);
  }
  // The last vector of a row of 2:4, where it is half a step.
  void add_half_step(const WeightView& w, int64_t row, int64_t c, const float* x) {
    float values[kLanes];
    decode_span(w, row, c, kLanes, values);
    sum = hn::MulAdd(hn::LoadU(kFloatTag, values), hn::LoadU(kFloatTag, x + c), sum);
  }
  HWY_INLINE void finish_chunk(float& total) {
    total += sum_lanes(sum);
    sum = hn::Zero(kFloatTag);
  }
};

// sums[r] += row0 + r times x, over the whole vectors of columns.
template <class Reader, int kCount>
void dot_rows(const WeightView& w, int64_t row0, const float* x, float* sums) {
  static_assert(kCount == 1 || kCount == 4);
  using Row = RowDot<Reader>;
  Row r0(w, row0);
  Row r1(w, row0 + (kCount > 1 ? 1 : 0));
  Row r2(w, row0 + (kCount > 1 ? 2 : 0));
  Row r3(w, row0 + (kCount > 1 ? 3 : 0));
  const auto each = [&](auto&& body) HWY_ATTR {
    body(r0, 0);
    if constexpr (kCount > 1) body(r1, 1), body(r2, 2), body(r3, 3);
  };
  const int64_t columns = whole_columns(w.columns);
  const int64_t stepped = columns / kStep<Reader> * kStep<Reader>;
  GroupWalk group(w, 0);
  for (int64_t chunk = 0; chunk < columns; chunk += kChunk) {
    const int64_t chunk_end = std::min(chunk + kChunk, columns);
    const int64_t step_end = std::min(chunk_end, stepped);
    for (int64_t c = chunk; c < step_end;) {
      group.advance(c);
      each([c, g = group.index](Row& row, int) HWY_ATTR { row.reader.begin(c, g); });
      const int64_t end = std::min({r0.reader.segment_end(c), group.end, step_end});
      for (; c < end; c += kStep<Reader>) {
        each([c, x](Row& row, int) HWY_ATTR { row.add_step(c, x); });
      }
    }
    if (step_end < chunk_end) {
      each([&](Row& row, int i) HWY_ATTR { row.add_half_step(w, row0 + i, step_end, x); });
    }
    each([sums](Row& row, int i) HWY_ATTR { row.finish_chunk(sums[i]); });
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
    const int64_t segment_end = std::min({reader.segment_end(c), group.end, whole});
    for (; c < segment_end; c += kStep<Reader>) store_step(reader, c, out + (c - begin));
  }
  if (whole < end) decode_tail(w, row, whole, end - whole, out + (whole - begin));
}

inline void decode_any(const WeightView& w, int64_t row, int64_t begin, int64_t end, float* out) {
  decode_span(w, row, begin, end - begin, out);
}

// ---- What there is for a storage.

struct Kernels {
  void (*decode)(const WeightView&, int64_t row, int64_t begin, int64_t end, float* out);
  void (*dot_one)(const WeightView&, int64_t row, const float* x, float* sums);   // or null
  void (*dot_four)(const WeightView&, int64_t row, const float* x, float* sums);  // or null
};

template <class Reader>
constexpr Kernels kDenseKernels{decode_part<Reader>, dot_rows<Reader, 1>, dot_rows<Reader, 4>};

constexpr Kernels kAnyKernels{decode_any, nullptr, nullptr};

// 2:4 of interleaved columns is left to codec: no file has it.
template <class Reader>
const Kernels& kernels_of(const WeightView& w) {
  if (!w.index) return kDenseKernels<Reader>;
  if constexpr (Reader::kParts == 1) {
    return kDenseKernels<SparseReader<Reader>>;
  } else {
    return kAnyKernels;
  }
}

// Few bits: by table where there is an instruction for it.
template <int kBits>
const Kernels& kernels_of_few_bits(const WeightView& w) {
#if HWY_TARGET == HWY_AVX3
  return kernels_of<TableReader<kBits>>(w);
#else
  using Codes = std::conditional_t<kBits == 3, UnpackedCodes<kBits>, PackedCodes<kBits>>;
  return kernels_of<GroupedReader<Codes>>(w);
#endif
}

const Kernels& kernels_of_packed(const WeightView& w) {
  switch (w.packed_bits) {
    case 2:
      return kernels_of_few_bits<2>(w);
    case 3:
      return kernels_of_few_bits<3>(w);
    case 4:
      return kernels_of_few_bits<4>(w);
    case 5:
      return kernels_of<GroupedReader<UnpackedCodes<5>>>(w);
    case 6:
      return kernels_of<GroupedReader<UnpackedCodes<6>>>(w);
    case 7:
      return kernels_of<GroupedReader<UnpackedCodes<7>>>(w);
    default:
      CHECK(w.packed_bits == 8);
      return kernels_of<GroupedReader<PackedCodes<8>>>(w);
  }
}

const Kernels& kernels_without_scales(const WeightView& w) {
  switch (w.type) {
    case DType::kF32:
      return kernels_of<F32Reader>(w);
    case DType::kF16:
      return kernels_of<F16Reader>(w);
    case DType::kBF16:
      return kernels_of<Bf16Reader>(w);
#define X(name)        \
  case DType::k##name: \
    return kernels_of<name##Reader>(w);
      FOR_EACH_FORMAT(X)
#undef X
    default:
      return kAnyKernels;
  }
}

const Kernels& choose_kernels(const WeightView& w) {
  // In vectors of up to 16 lanes of kept elements.
  const int64_t unit = w.index ? 32 : 16;
  const bool scale_per_vector = !w.scales || w.group == w.columns || w.group % unit == 0;
  if (!scale_per_vector) return kAnyKernels;
  if (w.packed_bits != 0) return kernels_of_packed(w);
  if (w.type == DType::kI8) return kernels_of<GroupedReader<I8Codes>>(w);
  if (w.type == DType::kF8E4M3) return kernels_of<GroupedReader<F8Codes>>(w);
  if (w.scales) return kAnyKernels;
  return kernels_without_scales(w);
}

// Reads weights of one matrix, whatever they are stored as.
class Decoder {
 public:
  explicit Decoder(const WeightView& weight) : weight_(weight), kernels_(choose_kernels(weight)) {}

  const WeightView& weight() const { return weight_; }
  bool has_dot() const { return kernels_.dot_one != nullptr; }

  void dot(int64_t row, int64_t count, const float* x, float* sums) const {
    if (count == kRows) return kernels_.dot_four(weight_, row, x, sums);
    for (int64_t r = 0; r < count; ++r) kernels_.dot_one(weight_, row + r, x, sums + r);
  }

  // begin: a multiple of kChunk.
  void decode(int64_t row, int64_t begin, int64_t end, float* out) const {
    kernels_.decode(weight_, row, begin, end, out);
  }

 private:
  WeightView weight_;
  Kernels kernels_;
};

// ---- Tiles.

// sums[t * sum_stride + r] += tile row r times token t over `count` columns, a multiple of kLanes.
template <int kR, int kT>
HWY_NOINLINE void dot_tile(const float* tile, const float* x, int64_t x_stride, int64_t count,
                           float* sums, int64_t sum_stride) {
  Floats acc[kR][kT];
  for (int r = 0; r < kR; ++r) {
    for (int t = 0; t < kT; ++t) acc[r][t] = hn::Zero(kFloatTag);
  }
  for (int64_t c = 0; c < count; c += kLanes) {
    Floats token[kT];
    for (int t = 0; t < kT; ++t) token[t] = hn::LoadU(kFloatTag, x + t * x_stride + c);
    for (int r = 0; r < kR; ++r) {
      const Floats weight = hn::Load(kFloatTag, tile + r * kChunk + c);
      for (int t = 0; t < kT; ++t) acc[r][t] = hn::MulAdd(weight, token[t], acc[r][t]);
    }
  }
  for (int r = 0; r < kR; ++r) {
    for (int t = 0; t < kT; ++t) sums[t * sum_stride + r] += sum_lanes(acc[r][t]);
  }
}

// Tokens at a time: as many accumulators as there are registers for.
constexpr int64_t kTokens = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON ? 4 : 2;

template <int kR>
void dot_tile_rows(const float* tile, const float* x, int64_t x_stride, int64_t tokens,
                   int64_t count, float* sums, int64_t sum_stride) {
  int64_t t = 0;
  for (; t + kTokens <= tokens; t += kTokens) {
    dot_tile<kR, kTokens>(tile, x + t * x_stride, x_stride, count, sums + t * sum_stride,
                          sum_stride);
  }
  for (; t < tokens; ++t) {
    dot_tile<kR, 1>(tile, x + t * x_stride, x_stride, count, sums + t * sum_stride, sum_stride);
  }
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
