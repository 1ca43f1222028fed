// What all routes of int8_product-inl.h share: the instruction that multiplies quads, what a run
// adds to the results, and the walk through the runs of some rows. Compiled per target.
#if defined(HONE_CPU_INT8_RUN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_RUN_INL_H_
#undef HONE_CPU_INT8_RUN_INL_H_
#else
#define HONE_CPU_INT8_RUN_INL_H_
#endif

#include "kernels/cpu/int8_rows-inl.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

// Sums are arrays in registers: their loops must be unrolled.
#ifndef HONE_UNROLL
#define HONE_UNROLL _Pragma("GCC unroll 16")
#endif

constexpr int64_t kVectorBytes = 4 * kLanes;

// Reads in the order of the program: compilers move loads past each other, and prefetchers lose a
// stream that jumps back.
HWY_INLINE Words load_in_order(const uint8_t* from) {
#if HWY_TARGET == HWY_AVX3
  Words words;
  const auto& bytes = *reinterpret_cast<const uint8_t(*)[kVectorBytes]>(from);
  asm volatile("vmovdqu64 %1, %0" : "=v"(words.raw) : "m"(bytes));
  return words;
#else
  return load_bytes(Tag<uint32_t>(), from);
#endif
}

// ---- The multiplication of quads: codes times int8, summed by fours.

HWY_INLINE Words load_quad(const int8_t* quad) {
  uint32_t bytes;
  std::memcpy(&bytes, quad, sizeof bytes);
  return hn::Set(Tag<uint32_t>(), bytes);
}

#if HWY_TARGET == HWY_AVX3
// Written as its instruction: Highway's AVX3 does not promise VNNI, the backend asks the processor.
template <RunKind kKind = RunKind::kPlain>
HWY_INLINE Ints add_products(Ints sum, Words codes, Words quad) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(codes.raw), "v"(quad.raw));
  return sum;
}
#elif HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4
#if HWY_TARGET == HWY_AVX2
HWY_INLINE __m256i add_pairs(__m256i codes, __m256i x) { return _mm256_maddubs_epi16(codes, x); }
HWY_INLINE __m256i take_sign(__m256i x, __m256i of) { return _mm256_sign_epi8(x, of); }
#else
HWY_INLINE __m128i add_pairs(__m128i codes, __m128i x) { return _mm_maddubs_epi16(codes, x); }
HWY_INLINE __m128i take_sign(__m128i x, __m128i of) { return _mm_sign_epi8(x, of); }
#endif
// Even bytes and odd ones apart, each in 16 bits.
HWY_INLINE Ints add_all_products(Ints sum, Words codes, Words quad) {
  const Tag<int32_t> d;
  const hn::Repartition<int16_t, Tag<int32_t>> d16;
  const auto code = hn::BitCast(d16, codes);
  const auto x = hn::BitCast(d16, quad);
  Ints unused = hn::Zero(d);
  sum = hn::ReorderWidenMulAccumulate(d, hn::ShiftRight<8>(hn::ShiftLeft<8>(code)),
                                      hn::ShiftRight<8>(hn::ShiftLeft<8>(x)), sum, unused);
  return hn::ReorderWidenMulAccumulate(d, hn::ShiftRight<8>(code), hn::ShiftRight<8>(x), sum,
                                       unused);
}

// Pairs in 16 bits: for kBytes as |code| times the integer with the code's sign.
template <RunKind kKind = RunKind::kPlain>
HWY_INLINE Ints add_products(Ints sum, Words codes, Words quad) {
  if constexpr (kKind == RunKind::kAllBytes) return add_all_products(sum, codes, quad);
  const hn::Repartition<int16_t, Tag<int32_t>> d16;
  using Pairs = hn::Vec<decltype(d16)>;
  const Pairs pairs =
      kKind == RunKind::kBytes
          ? Pairs{add_pairs(take_sign(codes.raw, codes.raw), take_sign(quad.raw, codes.raw))}
          : Pairs{add_pairs(codes.raw, quad.raw)};
  Ints unused = hn::Zero(Tag<int32_t>());
  return hn::ReorderWidenMulAccumulate(Tag<int32_t>(), pairs, hn::Set(d16, 1), sum, unused);
}
#else
template <RunKind kKind = RunKind::kPlain, int kByte = 0>
HWY_INLINE Ints add_products(Ints sum, Words codes, Words quad) {
  const Tag<int32_t> d;
  const Ints code = hn::And(hn::BitCast(d, hn::ShiftRight<8 * kByte>(codes)), hn::Set(d, 0xff));
  const Ints x = hn::ShiftRight<24>(hn::BitCast(d, hn::ShiftLeft<24 - 8 * kByte>(quad)));
  sum = hn::Add(sum, hn::Mul(code, x));
  if constexpr (kByte < 3) return add_products<kKind, kByte + 1>(sum, codes, quad);
  return sum;
}
#endif

// The same from memory, an operand of the instruction itself where there is one: quads for each
// lane, or one quad for all of them.
#if HWY_TARGET == HWY_AVX3
template <RunKind kKind>
HWY_INLINE Ints add_products_at(Ints sum, Words codes, const int8_t* quads) {
  const auto& bytes = *reinterpret_cast<const int8_t(*)[kVectorBytes]>(quads);
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(codes.raw), "m"(bytes));
  return sum;
}
template <RunKind kKind>
HWY_INLINE Ints add_quad(Ints sum, Words codes, const int8_t* quad) {
  const auto& bytes = *reinterpret_cast<const int8_t(*)[4]>(quad);
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum.raw) : "v"(codes.raw), "m"(bytes));
  return sum;
}
#else
template <RunKind kKind>
HWY_INLINE Ints add_products_at(Ints sum, Words codes, const int8_t* quads) {
  return add_products<kKind>(sum, codes, load_bytes(Tag<uint32_t>(), quads));
}
template <RunKind kKind>
HWY_INLINE Ints add_quad(Ints sum, Words codes, const int8_t* quad) {
  return add_products<kKind>(sum, codes, load_quad(quad));
}
#endif

// What a run adds to the results of one token. Sums start at start(), so that a zero point which
// all rows share costs nothing at the end.
template <RunKind kKind>
struct RunEnd {
  Floats scale;
  Floats minimum;   // kMinimum
  Ints factors[2];  // kHalves: of its halves
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
    zeros = factors[0] = factors[1] = hn::Zero(Tag<int32_t>());
    if constexpr (kKind == RunKind::kMinimum) minimum = rows.minimum(run);
    if constexpr (kKind == RunKind::kHalves) {
      HONE_UNROLL for (int half = 0; half < 2; ++half) factors[half] = rows.factor(run, half);
    }
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
    if constexpr (kKind == RunKind::kMinimum) {
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
  const int32_t* half_sums;
  int64_t run;
  int64_t runs;

  Int8Part(const Int8Tokens& tokens, int64_t first)
      : run(tokens.layout.run), runs(run_count(tokens.layout)) {
    quads = tokens.quads.data() + first * runs * run;
    scales = tokens.scales.data() + first * runs;
    sums = tokens.sums.data() + first * runs;
    half_sums = tokens.half_sums.data() + first * runs;
  }
};

// Walks through the runs of kLanes rows, kStep at a time, the next piece on its way meanwhile.
template <int64_t kStep = 1, class Rows, class Body>
HWY_INLINE void for_each_run(Rows& rows, typename Rows::Stream& stream, int64_t runs,
                             const Body& body) {
  const int64_t unit = rows.unit_bytes();
  const int64_t in_piece = stream.piece_bytes() / unit * rows.unit_runs();
  for (int64_t first = 0; first < runs; first += in_piece) {
    const int64_t count = std::min(in_piece, runs - first);
    for (int64_t i = 0; i < count; i += kStep) {
      const uint8_t* const units = stream.piece() + i / rows.unit_runs() * unit;
      const int64_t run = first + i;
      const uint8_t* const coming =
          Rows::kInPlace ? stream.coming(run / rows.unit_runs()) : nullptr;
      const Codes bytes{units, stream.stride(), coming};
      rows.begin(bytes, run);
      body(bytes, run);
      stream.copy_ahead(std::min(i + kStep, count) - 1, count);
    }
    stream.next();
  }
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
