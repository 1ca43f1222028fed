// Products of integer weights and int8 activations. In a run of columns everything is exact: 32-bit
// sums of code * integer; then, the same operations in the same order whatever the route,
//
//   result += float(sum - zero * sum of the integers) * scale * activation scale  [+ minimum ...]
//
// so a token's bytes depend on neither the batch nor the target. Two routes: up to kFew tokens take
// the codes from registers as they are turned; more tokens meet a panel of two vectors of rows in
// L1, kInt8Tokens at a time. Compiled per target.
#if defined(HONE_CPU_INT8_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_PRODUCT_INL_H_
#undef HONE_CPU_INT8_PRODUCT_INL_H_
#else
#define HONE_CPU_INT8_PRODUCT_INL_H_
#endif

#include <memory>
#include <utility>

#include "kernels/cpu/int8_blocks-inl.h"
#include "kernels/cpu/int8_sparse-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kPanelRows = 2 * kLanes;

// The product of one matrix, with the memory that a thread needs for it.
class Int8Product {
 public:
  virtual ~Int8Product() = default;
  // Rows [row, row + count) times tokens [first, first + tokens), where first is a multiple of
  // kInt8Tokens: out[t * stride + r], with room for whole panels of kPanelRows rows.
  virtual void multiply(int64_t row, int64_t count, const Int8Tokens& x, int64_t first,
                        int64_t tokens, float* out, int64_t stride) = 0;
};

struct Int8Kernel {
  int per_byte = 0;
  // For rows up to end_row. Null: there is none.
  std::unique_ptr<Int8Product> (*make)(const WeightView&, int64_t end_row) = nullptr;
};

#if HWY_TARGET == HWY_SCALAR
inline Int8Kernel choose_int8_kernel(const WeightView&) { return {}; }
#else

constexpr int64_t kFew = 4;

// Sums are arrays in registers: their loops must be unrolled.
#define HONE_UNROLL _Pragma("GCC unroll 16")

// ---- The multiplication of quads: unsigned codes times int8, summed by fours.

HWY_INLINE Words load_quad(const int8_t* quad) {
  uint32_t bytes;
  std::memcpy(&bytes, quad, sizeof bytes);
  return hn::Set(Tag<uint32_t>(), bytes);
}

#if HWY_TARGET == HWY_AVX3
// Written as its instruction: Highway's AVX3 does not promise VNNI, the backend asks the processor.
HWY_INLINE Ints add_products(Ints sum, Words codes, Words quad) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(codes.raw), "v"(quad.raw));
  return sum;
}
#elif HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
// Pairs as 16 bits, even bytes and odd bytes apart: no sum can saturate.
HWY_INLINE Ints add_products(Ints sum, Words codes, Words quad) {
  const hn::Repartition<int16_t, Tag<int32_t>> d16;
  const hn::Repartition<uint16_t, Tag<int32_t>> du16;
  const auto pairs = hn::BitCast(du16, codes);
  const auto x = hn::BitCast(d16, quad);
  const auto even = hn::BitCast(d16, hn::And(pairs, hn::Set(du16, 0xff)));
  const auto odd = hn::BitCast(d16, hn::ShiftRight<8>(pairs));
  Ints unused = hn::Zero(Tag<int32_t>());
  sum = hn::ReorderWidenMulAccumulate(Tag<int32_t>(), even, hn::ShiftRight<8>(hn::ShiftLeft<8>(x)),
                                      sum, unused);
  return hn::ReorderWidenMulAccumulate(Tag<int32_t>(), odd, hn::ShiftRight<8>(x), sum, unused);
}
#else
template <int kByte = 0>
HWY_INLINE Ints add_products(Ints sum, Words codes, Words quad) {
  const Tag<int32_t> d;
  const Ints code = hn::And(hn::BitCast(d, hn::ShiftRight<8 * kByte>(codes)), hn::Set(d, 0xff));
  const Ints x = hn::ShiftRight<24>(hn::BitCast(d, hn::ShiftLeft<24 - 8 * kByte>(quad)));
  sum = hn::Add(sum, hn::Mul(code, x));
  if constexpr (kByte < 3) return add_products<kByte + 1>(sum, codes, quad);
  return sum;
}
#endif

// ---- Few tokens: a sink of quads that multiplies at once.

template <int kT>
struct DotSink {
  const int8_t* quads;  // of the run: [run / 4][kT][4]
  Ints sums[kT][2];     // two chains of additions a token

  explicit DotSink(const int8_t* run) : quads(run) {
    HONE_UNROLL for (int t = 0; t < kT; ++t) sums[t][0] = sums[t][1] = hn::Zero(Tag<int32_t>());
  }
  template <int kSlot>
  HWY_INLINE void add(int64_t quad, Words codes) {
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      const Words x = load_quad(quads + (quad * kT + t) * 4);
      sums[t][kSlot] = add_products(sums[t][kSlot], codes, x);
    }
  }
};

// What a run adds to the results of one token. Sums start at start(), so that a zero point which
// all rows share costs nothing at the end.
template <bool kMinimum>
struct RunEnd {
  Floats scale;
  Floats minimum;
  Ints zeros;
  int32_t zero;  // of all rows; 0 where zeros has one for each
  bool has_zeros;

  RunEnd() = default;
  template <class Rows>
  RunEnd(const Rows& rows, int64_t run)
      : scale(rows.scale(run)),
        zero(rows.has_zeros() ? 0 : rows.zero()),
        has_zeros(rows.has_zeros()) {
    minimum = scale;
    zeros = hn::Zero(Tag<int32_t>());
    if constexpr (kMinimum) minimum = rows.minimum(run);
    if (has_zeros) zeros = rows.zeros(run);
  }
  HWY_INLINE Ints start(int32_t x_sum) const { return hn::Set(Tag<int32_t>(), -zero * x_sum); }
  // Where has_zeros:
  HWY_INLINE Ints without_zeros(Ints sum, int32_t x_sum) const {
    return hn::Sub(sum, hn::Mul(zeros, hn::Set(Tag<int32_t>(), x_sum)));
  }
  HWY_INLINE Floats add(Floats result, Ints sum, float x_scale, int32_t x_sum) const {
    const Floats step = hn::Set(kFloatTag, x_scale);
    result = hn::MulAdd(hn::Mul(hn::ConvertTo(kFloatTag, sum), scale), step, result);
    if constexpr (kMinimum) {
      const Floats all = hn::Mul(hn::Set(kFloatTag, static_cast<float>(x_sum)), step);
      result = hn::MulAdd(minimum, all, result);
    }
    return result;
  }
};

// A block of tokens as int8_input-inl.h lays it out.
struct Int8Part {
  const int8_t* quads;
  const float* scales;
  const int32_t* sums;
  int64_t run;
  int64_t runs;

  Int8Part(const Int8Tokens& tokens, int64_t first)
      : run(tokens.layout.run), runs(run_count(tokens.layout)) {
    quads = tokens.quads.data() + first * runs * run;
    scales = tokens.scales.data() + first * runs;
    sums = tokens.sums.data() + first * runs;
  }
};

// Walks through the runs of kLanes rows, the next piece on its way meanwhile.
template <class Rows, class Body>
HWY_INLINE void for_each_run(Rows& rows, RowStream& stream, int64_t runs, const Body& body) {
  const int64_t unit = rows.unit_bytes();
  const int64_t in_piece = stream.piece_bytes() / unit * rows.unit_runs();
  for (int64_t first = 0; first < runs; first += in_piece) {
    const int64_t count = std::min(in_piece, runs - first);
    for (int64_t i = 0; i < count; ++i) {
      const uint8_t* const units = stream.piece() + i / rows.unit_runs() * unit;
      const int64_t run = first + i;
      const uint8_t* const ahead = Rows::kInPlace ? stream.ahead(run / rows.unit_runs()) : nullptr;
      const Codes bytes{units, stream.stride(), ahead};
      rows.begin(bytes, run);
      body(bytes, run);
      stream.copy_ahead(i, count);
    }
    stream.next();
  }
}

// ---- One token: rows as they lie.

// Sums of the lanes of four vectors within each 128 bits: a, b, c, d.
HWY_INLINE Ints sum_four(Ints a, Ints b, Ints c, Ints e) {
  const Tag<int32_t> d;
  const hn::RepartitionToWide<Tag<int32_t>> d64;
  const auto ab =
      hn::BitCast(d64, hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b)));
  const auto ce =
      hn::BitCast(d64, hn::Add(hn::InterleaveLower(d, c, e), hn::InterleaveUpper(d, c, e)));
  return hn::Add(hn::BitCast(d, hn::InterleaveLower(d64, ab, ce)),
                 hn::BitCast(d, hn::InterleaveUpper(d64, ab, ce)));
}

// fours[i]: sum_four of rows 4i to 4i + 3. Lane r of the result: the sum of row r.
HWY_INLINE Ints sum_blocks(const Ints* fours) {
#if HWY_TARGET == HWY_AVX3
  const Tag<int32_t> d;
  const Ints low = hn::Add(hn::ConcatLowerLower(d, fours[1], fours[0]),
                           hn::ConcatUpperUpper(d, fours[1], fours[0]));
  const Ints high = hn::Add(hn::ConcatLowerLower(d, fours[3], fours[2]),
                            hn::ConcatUpperUpper(d, fours[3], fours[2]));
  return hn::Add(Ints{_mm512_shuffle_i32x4(low.raw, high.raw, 0x88)},
                 Ints{_mm512_shuffle_i32x4(low.raw, high.raw, 0xdd)});
#elif HWY_TARGET == HWY_AVX2
  const Tag<int32_t> d;
  return hn::Add(hn::ConcatLowerLower(d, fours[1], fours[0]),
                 hn::ConcatUpperUpper(d, fours[1], fours[0]));
#else
  return fours[0];
#endif
}

#if HWY_TARGET == HWY_AVX3
// Of two runs side by side: the sums of the first and those of the second.
HWY_INLINE void sum_block_pairs(const Ints* fours, Ints* sums) {
  const Tag<int32_t> d;
  const Ints first[] = {hn::ConcatLowerLower(d, fours[1], fours[0]),
                        hn::ConcatLowerLower(d, fours[3], fours[2])};
  const Ints second[] = {hn::ConcatUpperUpper(d, fours[1], fours[0]),
                         hn::ConcatUpperUpper(d, fours[3], fours[2])};
  sums[0] = hn::Add(Ints{_mm512_shuffle_i32x4(first[0].raw, first[1].raw, 0x88)},
                    Ints{_mm512_shuffle_i32x4(first[0].raw, first[1].raw, 0xdd)});
  sums[1] = hn::Add(Ints{_mm512_shuffle_i32x4(second[0].raw, second[1].raw, 0x88)},
                    Ints{_mm512_shuffle_i32x4(second[0].raw, second[1].raw, 0xdd)});
}
#else
inline void sum_block_pairs(const Ints*, Ints*) {}  // a run is a whole vector, or several
#endif

constexpr int64_t kVectorBytes = 4 * kLanes;

template <class Rows, int kCode = 0>
HWY_INLINE Ints multiply_codes(Ints sum, Words words, const int8_t* quads, int64_t bytes) {
  const Tag<uint32_t> d;
  sum = add_products(sum, pick_codes<Rows::kPerByte, kCode>(d, words),
                     load_bytes(d, quads + kCode * bytes));
  if constexpr (kCode + 1 < Rows::kPerByte) {
    return multiply_codes<Rows, kCode + 1>(sum, words, quads, bytes);
  }
  return sum;
}

// kBytes of a run: whole vectors.
template <class Rows, int64_t kBytes>
HWY_INLINE Ints multiply_row(const uint8_t* codes, const int8_t* quads) {
  const Tag<uint32_t> d;
  Ints sum = hn::Zero(Tag<int32_t>());
  HONE_UNROLL for (int64_t b = 0; b < kBytes; b += kVectorBytes) {
    const Words words = unsign<Rows::kSigned>(d, load_bytes(d, codes + b));
    sum = multiply_codes<Rows>(sum, words, quads + b, kBytes);
  }
  return sum;
}

template <class Rows, int64_t kBytes>
HWY_INLINE void multiply_fours(const Codes& codes, const int8_t* quads, Ints* fours) {
  HONE_UNROLL for (int64_t i = 0; i < kLanes / 4; ++i) {
    Ints sums[4];
    HONE_UNROLL for (int64_t r = 0; r < 4; ++r) {
      const int64_t row = 4 * i + r;
      sums[r] = multiply_row<Rows, kBytes>(codes.bytes + row * codes.stride, quads);
      // One by one: a burst of them would wait for room among the outstanding reads.
      if constexpr (Rows::kInPlace) {
        HONE_UNROLL for (int64_t b = 0; b < kBytes; b += kLine) {
          __builtin_prefetch(codes.ahead + row * kBytes + b, 0, 2);
        }
      }
    }
    fours[i] = sum_four(sums[0], sums[1], sums[2], sums[3]);
  }
}

template <class Rows, int64_t kBytes>
HWY_INLINE Ints multiply_rows(const Codes& codes, const int8_t* quads) {
  Ints fours[kLanes / 4];
  multiply_fours<Rows, kBytes>(codes, quads, fours);
  return sum_blocks(fours);
}

// The exact sums of a run and of the one beside it, straight from the blocks.
template <class Rows>
HWY_INLINE void multiply_pair(const Codes& units, int64_t run, const int8_t* quads, Ints* sums) {
#if HWY_TARGET == HWY_AVX3
  const Words x = load_bytes(Tag<uint32_t>(), quads);
  const int64_t ahead = run % Rows::unit_runs() / 2 * kLine;  // this pair's share of the prefetches
  Ints fours[4];
  HONE_UNROLL for (int64_t i = 0; i < 4; ++i) {
    Ints rows[4];
    HONE_UNROLL for (int64_t r = 0; r < 4; ++r) {
      const int64_t row = 4 * i + r;
      const Words pair = Rows::load_pair(units.bytes + row * units.stride, run);
      rows[r] = add_products(hn::Zero(Tag<int32_t>()), pair, x);
      __builtin_prefetch(units.ahead + row * Rows::unit_bytes() + ahead, 0, 2);
    }
    fours[i] = sum_four(rows[0], rows[1], rows[2], rows[3]);
  }
  sum_block_pairs(fours, sums);
#else
  static_cast<void>(units), static_cast<void>(run), static_cast<void>(quads);
  static_cast<void>(sums);
#endif
}

// The exact sums of a run for kT tokens.
template <class Rows, int kT>
HWY_INLINE void multiply_run(const Codes& codes, int64_t bytes, const int8_t* quads, Ints* sums) {
  if constexpr (kT == 1) {
    if (bytes == 128) return static_cast<void>(sums[0] = multiply_rows<Rows, 128>(codes, quads));
    if (bytes == 64) return static_cast<void>(sums[0] = multiply_rows<Rows, 64>(codes, quads));
    if (kVectorBytes <= 32 && bytes == 32) {
      return static_cast<void>(sums[0] = multiply_rows<Rows, 32>(codes, quads));
    }
  }
  DotSink<kT> sink(quads);
  give_run<Rows>(codes, bytes, sink);
  HONE_UNROLL for (int t = 0; t < kT; ++t) sums[t] = hn::Add(sink.sums[t][0], sink.sums[t][1]);
}

// out[t * stride + r]: the kLanes rows on which `rows` and `stream` stand, times kT tokens.
template <class Rows, int kT>
HWY_NOINLINE void multiply_few(Rows& rows, RowStream& stream, const Int8Part& x, float* out,
                               int64_t stride) {
  Floats results[kT];
  HONE_UNROLL for (int t = 0; t < kT; ++t) results[t] = hn::Zero(kFloatTag);
  const int64_t bytes = x.run / Rows::kPerByte;
  Ints pair[2];
  for_each_run(rows, stream, x.runs, [&](const Codes& units, int64_t run) HWY_ATTR {
    Ints sums[kT];
    const int8_t* const quads = x.quads + run * x.run * kT;
    if constexpr (kT == 1 && Rows::kPairs && kVectorBytes == 64) {
      if (run % 2 == 0) multiply_pair<Rows>(units, run, quads, pair);
      sums[0] = pair[run % 2];
    } else {
      multiply_run<Rows, kT>(rows.codes(units, run), bytes, quads, sums);
    }
    const RunEnd<Rows::kMinimum> end(rows, run);
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      const int32_t x_sum = x.sums[run * kT + t];
      Ints sum = hn::Add(sums[t], end.start(x_sum));
      if (end.has_zeros) sum = end.without_zeros(sum, x_sum);
      results[t] = end.add(results[t], sum, x.scales[run * kT + t], x_sum);
    }
  });
  HONE_UNROLL for (int t = 0; t < kT; ++t) hn::StoreU(results[t], kFloatTag, out + t * stride);
}

// ---- Many tokens: a panel of kPanelRows rows, [quad][row][4].

// A run of them.
template <bool kMinimum>
struct alignas(64) Panel {
  uint32_t words[kLongestRun / 4][2][kLanes];
  RunEnd<kMinimum> ends[2];
};

template <bool kMinimum>
struct PanelSink {
  Panel<kMinimum>& panel;
  int side;
  template <int kSlot>
  HWY_INLINE void add(int64_t quad, Words codes) {
    hn::StoreU(codes, Tag<uint32_t>(), panel.words[quad][side]);
  }
};

// out[t * stride + r] += one run of both sides of the panel times kT tokens.
template <bool kMinimum, int kT>
HWY_NOINLINE void multiply_panel(const Panel<kMinimum>& panel, const Int8Part& x, int64_t run,
                                 float* out, int64_t stride) {
  const RunEnd<kMinimum>& left = panel.ends[0];
  const RunEnd<kMinimum>& right = panel.ends[1];
  const int32_t* const x_sums = x.sums + run * kT;
  const float* const x_scales = x.scales + run * kT;
  Ints sums[2][kT];
  HONE_UNROLL for (int t = 0; t < kT; ++t) sums[0][t] = sums[1][t] = left.start(x_sums[t]);
  const int8_t* quads = x.quads + run * x.run * kT;
  for (int64_t q = 0; q < x.run / 4; ++q, quads += 4 * kT) {
    const Words first = hn::LoadU(Tag<uint32_t>(), panel.words[q][0]);
    const Words second = hn::LoadU(Tag<uint32_t>(), panel.words[q][1]);
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      const Words quad = load_quad(quads + 4 * t);
      sums[0][t] = add_products(sums[0][t], first, quad);
      sums[1][t] = add_products(sums[1][t], second, quad);
    }
  }
  if (left.has_zeros) {
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      sums[0][t] = left.without_zeros(sums[0][t], x_sums[t]);
      sums[1][t] = right.without_zeros(sums[1][t], x_sums[t]);
    }
  }
  HONE_UNROLL for (int t = 0; t < kT; ++t) {
    float* const to = out + t * stride;
    const Floats a = left.add(hn::LoadU(kFloatTag, to), sums[0][t], x_scales[t], x_sums[t]);
    const Floats b =
        right.add(hn::LoadU(kFloatTag, to + kLanes), sums[1][t], x_scales[t], x_sums[t]);
    hn::StoreU(a, kFloatTag, to);
    hn::StoreU(b, kFloatTag, to + kLanes);
  }
}

// By number of tokens: kFunctions[n - 1].
template <bool kMinimum, class Sequence = std::make_index_sequence<kInt8Tokens>>
struct PanelFunctions;
template <bool kMinimum, size_t... kIndex>
struct PanelFunctions<kMinimum, std::index_sequence<kIndex...>> {
  static constexpr decltype(&multiply_panel<kMinimum, 1>) kFunctions[] = {
      &multiply_panel<kMinimum, static_cast<int>(kIndex) + 1>...};
};

template <class Rows>
class Int8ProductOf final : public Int8Product {
 public:
  Int8ProductOf(const WeightView& w, int64_t end_row)
      : rows_(w), stream_(w, rows_.unit_bytes(), end_row) {}

  void multiply(int64_t row, int64_t count, const Int8Tokens& x, int64_t first, int64_t tokens,
                float* out, int64_t stride) override {
    if (tokens > kFew) {
      for (int64_t r = 0; r < count; r += kPanelRows) {
        multiply_many(row + r, std::min(kPanelRows, count - r), x, first, tokens, out + r, stride);
      }
      return;
    }
    const Int8Part part(x, first);
    for (int64_t r = 0; r < count; r += kLanes) {
      start(row + r, std::min(kLanes, count - r), Rows::kInPlace && tokens == 1);
      if (tokens == 1) multiply_few<Rows, 1>(rows_, stream_, part, out + r, stride);
      if (tokens == 2) multiply_few<Rows, 2>(rows_, stream_, part, out + r, stride);
      if (tokens == 3) multiply_few<Rows, 3>(rows_, stream_, part, out + r, stride);
      if (tokens == 4) multiply_few<Rows, 4>(rows_, stream_, part, out + r, stride);
    }
  }

 private:
  void start(int64_t row, int64_t count, bool in_place) {
    rows_.start(row, count);
    stream_.start(row, in_place);
  }

  // Panels of all runs of the rows, then the tokens: a panel's two sides come one after the other.
  void multiply_many(int64_t row, int64_t count, const Int8Tokens& x, int64_t first, int64_t tokens,
                     float* out, int64_t stride) {
    const int64_t runs = run_count(x.layout);
    if (std::ssize(panels_) < runs) panels_.resize(runs);
    for (int side = 0; side < 2; ++side) {
      if (side * kLanes < count) fill_panels(row + side * kLanes, count - side * kLanes, side, x);
    }
    for (int64_t t = 0; t < tokens; ++t) std::fill_n(out + t * stride, kPanelRows, 0.0f);
    for (int64_t run = 0; run < runs; ++run) {
      for (int64_t t = 0; t < tokens; t += kInt8Tokens) {
        const int64_t n = std::min(kInt8Tokens, tokens - t);
        PanelFunctions<Rows::kMinimum>::kFunctions[n - 1](panels_[run], Int8Part(x, first + t), run,
                                                          out + t * stride, stride);
      }
    }
  }

  void fill_panels(int64_t row, int64_t count, int side, const Int8Tokens& x) {
    start(row, std::min(count, kLanes), false);
    const int64_t bytes = x.layout.run / Rows::kPerByte;
    for_each_run(rows_, stream_, run_count(x.layout),
                 [&](const Codes& units, int64_t run) HWY_ATTR {
                   PanelSink<Rows::kMinimum> sink{panels_[run], side};
                   give_run<Rows>(rows_.codes(units, run), bytes, sink);
                   panels_[run].ends[side] = RunEnd<Rows::kMinimum>(rows_, run);
                 });
  }

  Rows rows_;
  RowStream stream_;
  std::vector<Panel<Rows::kMinimum>> panels_;  // by run
};

// ---- What there is for a storage.

template <class Rows>
std::unique_ptr<Int8Product> make_int8_product(const WeightView& w, int64_t end_row) {
  return std::make_unique<Int8ProductOf<Rows>>(w, end_row);
}

template <class Rows>
constexpr Int8Kernel kInt8Kernel{Rows::kPerByte, make_int8_product<Rows>};

inline Int8Kernel choose_plain_kernel(const WeightView& w, int64_t run) {
  if (w.packed_bits == 0 && w.type == DType::kI8) return kInt8Kernel<PlainRows<8, true>>;
  if (w.packed_bits == 8) return kInt8Kernel<PlainRows<8, false>>;
  if (w.packed_bits == 4) return kInt8Kernel<PlainRows<4, false>>;
  if (w.packed_bits == 2 && run >= 64) return kInt8Kernel<PlainRows<2, false>>;
  return {};
}

inline Int8Kernel choose_sparse_kernel(const WeightView& w) {
#if HWY_TARGET == HWY_AVX3
  if (!SparseRows<8, true>::suits(w)) return {};
  if (w.packed_bits == 0 && w.type == DType::kI8) return kInt8Kernel<SparseRows<8, true>>;
  if (w.packed_bits == 8) return kInt8Kernel<SparseRows<8, false>>;
  if (w.packed_bits == 4) return kInt8Kernel<SparseRows<4, false>>;
#endif
  static_cast<void>(w);
  return {};
}

inline Int8Kernel choose_int8_kernel(const WeightView& w) {
  const int64_t run = input_run(w);
  if (run == 0) return {};
  if (w.index) return choose_sparse_kernel(w);
  switch (w.type) {
    case DType::kQ8_0:
      return kInt8Kernel<BlockRows<Q8_0Format>>;
    case DType::kQ4_0:
      return kInt8Kernel<BlockRows<Q4_0Format>>;
    case DType::kQ4_1:
      return kInt8Kernel<BlockRows<Q4_1Format>>;
    case DType::kQ5_0:
      return kInt8Kernel<BlockRows<Q5_0Format>>;
    case DType::kQ5_1:
      return kInt8Kernel<BlockRows<Q5_1Format>>;
    case DType::kQ4_K:
      return kInt8Kernel<SuperBlockRows<BlockQ4_K>>;
    case DType::kQ5_K:
      return kInt8Kernel<SuperBlockRows<BlockQ5_K>>;
    default:
      return choose_plain_kernel(w, run);
  }
}
#undef HONE_UNROLL
#endif

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
