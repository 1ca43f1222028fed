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

#include "kernels/cpu/decode-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kChunk = 1024;  // 4 KB of f32: a tile of four rows takes a third of L1
constexpr int64_t kRows = 4;      // rows at a time: four streams hide the latency of memory

HWY_INLINE float sum_lanes(Floats v) { return hn::GetLane(hn::SumOfLanes(kFloatTag, v)); }

// Columns that fill whole vectors.
HWY_INLINE int64_t whole_columns(int64_t columns) { return columns / kLanes * kLanes; }

// decode_span for any first column; count < 16.
void decode_tail(const WeightView& w, int64_t row, int64_t begin, int64_t count, float* out) {
  float values[32];
  const int64_t first = begin / 16 * 16;
  decode_span(w, row, first, begin + count - first, values);
  std::copy_n(values + (begin - first), count, out);
}

// sums[r] += row0 + r times x, over the whole vectors of columns.
template <class Reader, int kCount>
void dot_rows(const WeightView& w, int64_t row0, const float* x, float* sums) {
  static_assert(kCount == 1 || kCount == 4);
  Reader r0(w, row0);
  Reader r1(w, row0 + (kCount > 1 ? 1 : 0));
  Reader r2(w, row0 + (kCount > 1 ? 2 : 0));
  Reader r3(w, row0 + (kCount > 1 ? 3 : 0));
  const int64_t columns = whole_columns(w.columns);
  for (int64_t chunk = 0; chunk < columns; chunk += kChunk) {
    const int64_t chunk_end = std::min(chunk + kChunk, columns);
    Floats a0 = hn::Zero(kFloatTag), a1 = a0, a2 = a0, a3 = a0;
    for (int64_t c = chunk; c < chunk_end;) {
      const int64_t end = std::min(r0.segment_end(c), chunk_end);
      r0.begin(c);
      if constexpr (kCount > 1) r1.begin(c), r2.begin(c), r3.begin(c);
      for (; c < end; c += kLanes) {
        const Floats token = hn::LoadU(kFloatTag, x + c);
        a0 = hn::MulAdd(r0.load(c), token, a0);
        if constexpr (kCount > 1) {
          a1 = hn::MulAdd(r1.load(c), token, a1);
          a2 = hn::MulAdd(r2.load(c), token, a2);
          a3 = hn::MulAdd(r3.load(c), token, a3);
        }
      }
    }
    sums[0] += sum_lanes(a0);
    if constexpr (kCount > 1) {
      sums[1] += sum_lanes(a1);
      sums[2] += sum_lanes(a2);
      sums[3] += sum_lanes(a3);
    }
  }
}

// Columns [begin, end) of a row as f32; begin is a multiple of 16 and of the block.
template <class Reader>
void decode_part(const WeightView& w, int64_t row, int64_t begin, int64_t end, float* out) {
  Reader reader(w, row);
  const int64_t whole = begin + whole_columns(end - begin);
  for (int64_t c = begin; c < whole;) {
    const int64_t segment_end = std::min(reader.segment_end(c), whole);
    reader.begin(c);
    for (; c < segment_end; c += kLanes) {
      hn::StoreU(reader.load(c), kFloatTag, out + (c - begin));
    }
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
constexpr Kernels kernels_of() {
  return {decode_part<Reader>, dot_rows<Reader, 1>, dot_rows<Reader, 4>};
}

Kernels kernels_of_packed(int bits) {
  if (bits == 2) return kernels_of<GroupedReader<PackedCodes<2>>>();
  if (bits == 4) return kernels_of<GroupedReader<PackedCodes<4>>>();
  if (bits == 8) return kernels_of<GroupedReader<PackedCodes<8>>>();
  if (bits == 3) return kernels_of<GroupedReader<UnpackedCodes<3>>>();
  if (bits == 5) return kernels_of<GroupedReader<UnpackedCodes<5>>>();
  if (bits == 6) return kernels_of<GroupedReader<UnpackedCodes<6>>>();
  CHECK(bits == 7);
  return kernels_of<GroupedReader<UnpackedCodes<7>>>();
}

Kernels kernels_without_scales(DType type) {
  switch (type) {
    case DType::kF32:
      return kernels_of<F32Reader>();
    case DType::kF16:
      return kernels_of<F16Reader>();
    case DType::kBF16:
      return kernels_of<Bf16Reader>();
#define X(name)        \
  case DType::k##name: \
    return kernels_of<name##Reader>();
      FOR_EACH_FORMAT(X)
#undef X
    default:
      return {decode_any, nullptr, nullptr};
  }
}

// For a dense matrix.
Kernels choose_kernels(const WeightView& w) {
  const bool scale_per_vector = !w.scales || w.group == w.columns || w.group % 16 == 0;
  if (!scale_per_vector) return {decode_any, nullptr, nullptr};
  if (w.packed_bits != 0) return kernels_of_packed(w.packed_bits);
  if (w.type == DType::kI8) return kernels_of<GroupedReader<I8Codes>>();
  if (w.type == DType::kF8E4M3) return kernels_of<GroupedReader<F8Codes>>();
  if (w.scales) return {decode_any, nullptr, nullptr};
  return kernels_without_scales(w.type);
}

// ---- Any storage, 2:4 included.

// [position of the first kept | position of the second << 2] -> where each byte of four floats
// comes from in two: 0x80 gives zero.
struct ExpandTable {
  alignas(16) uint8_t bytes[16][16];
  constexpr ExpandTable() : bytes() {
    for (int nibble = 0; nibble < 16; ++nibble) {
      for (int i = 0; i < 16; ++i) {
        const int column = i / 4;
        const int byte = i % 4;
        bytes[nibble][i] = column == nibble >> 2    ? static_cast<uint8_t>(4 + byte)
                           : column == (nibble & 3) ? static_cast<uint8_t>(byte)
                                                    : 0x80;
      }
    }
  }
};
inline constexpr ExpandTable kExpandTable;

HWY_INLINE void expand_quadruple(const float* kept, unsigned nibble, float* out) {
#if HWY_TARGET == HWY_SCALAR
  const float two[2] = {kept[0], kept[1]};
  std::fill_n(out, 4, 0.0f);
  out[nibble & 3] = two[0];
  out[nibble >> 2] = two[1];
#else
  const hn::CappedTag<uint8_t, 16> d;
  const hn::CappedTag<float, 4> floats;
  const auto pair = hn::LoadU(hn::CappedTag<float, 2>(), kept);
  const auto bytes = hn::BitCast(d, hn::ZeroExtendVector(floats, pair));
  const auto from = hn::Load(d, kExpandTable.bytes[nibble]);
  hn::StoreU(hn::BitCast(floats, hn::TableLookupBytesOr0(bytes, from)), floats, out);
#endif
}

// Reads weights of one matrix, whatever they are stored as.
class Decoder {
 public:
  explicit Decoder(const WeightView& weight) : weight_(weight), kept_(weight) {
    sparse_ = weight.index != nullptr;
    // 2:4: with scales per whole quadruples, the kept columns are a dense matrix of half the width.
    halved_ = sparse_ && (!weight.scales || weight.group % 4 == 0);
    if (halved_) {
      kept_.index = nullptr;
      kept_.columns = weight.columns / 2;
      kept_.group = weight.group / 2;
      kernels_ = choose_kernels(kept_);
    } else if (sparse_) {
      kernels_ = {decode_any, nullptr, nullptr};
    } else {
      kernels_ = choose_kernels(weight);
    }
  }

  const WeightView& weight() const { return weight_; }
  bool has_dot() const { return !sparse_ && kernels_.dot_one; }

  void dot(int64_t row, int64_t count, const float* x, float* sums) const {
    if (count == kRows) return kernels_.dot_four(weight_, row, x, sums);
    for (int64_t r = 0; r < count; ++r) kernels_.dot_one(weight_, row + r, x, sums + r);
  }

  // begin: a multiple of kChunk. end - begin <= kChunk.
  void decode(int64_t row, int64_t begin, int64_t end, float* out) const {
    if (!halved_) return kernels_.decode(weight_, row, begin, end, out);
    float kept[kChunk / 2];
    kernels_.decode(kept_, row, begin / 2, end / 2, kept);
    const std::byte* const index = weight_.index + row * (weight_.columns / 8);
    for (int64_t c = begin; c < end; c += 8) {
      const unsigned nibbles = std::to_integer<unsigned>(index[c / 8]);
      expand_quadruple(kept + (c - begin) / 2, nibbles & 15, out + (c - begin));
      expand_quadruple(kept + (c - begin) / 2 + 2, nibbles >> 4, out + (c - begin) + 4);
    }
  }

 private:
  WeightView weight_;
  WeightView kept_;
  Kernels kernels_;
  bool sparse_;
  bool halved_;
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
