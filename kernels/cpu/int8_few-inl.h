// Integer products for one to kFew tokens, kLanes rows side by side: codes go from where they lie
// through registers into the multiplication. For one token (where int8_one-inl.h does not take it)
// the sums of rows are turned; for more, the codes are turned, and each vector of them meets all
// tokens of a block. Compiled per target.
#if defined(HONE_CPU_INT8_FEW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_FEW_INL_H_
#undef HONE_CPU_INT8_FEW_INL_H_
#else
#define HONE_CPU_INT8_FEW_INL_H_
#endif

#include "kernels/cpu/caches.h"
#include "kernels/cpu/int8_run-inl.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

// Up to here, turning rows anew for every kInt8Tokens costs less than making panels of them.
constexpr int64_t kFew = 2 * kInt8Tokens;
// The same of storages that multiply: their sums of all rows must fit the registers.
constexpr int64_t kFewOfSparse = 4;

// Where many tokens meet a line of tiles, the processor stays at it longer than its own prefetching
// looks ahead, so they ask for what lies so far behind. On a Zen 4 eight tokens reach 85 % of VNNI
// with int4, 63 % without; four or fewer wait for memory, and asking takes up to a tenth longer.
constexpr int64_t kTilesAhead = 4096;
constexpr int kTokensThatWait = 4;

// A run's share of the unit that is coming: some of its rows, asked for a few at a time. A burst
// would wait for room among the outstanding reads.
struct ComingShare {
  const uint8_t* first = nullptr;
  int64_t stride = 0;
  int64_t bytes = 0;
  int64_t rows = 0;

  ComingShare() = default;
  template <class Rows>
  HWY_INLINE ComingShare(const Rows& storage, const Codes& units, int64_t run)
      : stride(units.stride), bytes(storage.unit_bytes()) {
    const int64_t shares = std::min(kLanes, storage.unit_runs());
    rows = Rows::kInPlace ? kLanes / shares : 0;
    first = units.coming + run % shares * rows * stride;
  }
  HWY_INLINE void fetch(int64_t part, int64_t parts) const {
    for (int64_t r = rows * part / parts; r < rows * (part + 1) / parts; ++r) {
      for (int64_t b = 0; b < bytes; b += kLine) __builtin_prefetch(first + r * stride + b, 0, 2);
    }
  }
};

// A sink of quads that multiplies at once.
template <RunKind kKind, int kT>
struct DotSink {
  const int8_t* quads;  // of the run: [run / 4][kT][4]
  ComingShare coming;
  // Chains of additions a token: enough in all to hide the latency of one.
  static constexpr int kChains = kT <= 6 ? 2 : 1;
  Ints sums[kT][kChains];

  DotSink(const int8_t* run, const ComingShare& share) : quads(run), coming(share) {
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      HONE_UNROLL for (int i = 0; i < kChains; ++i) sums[t][i] = hn::Zero(Tag<int32_t>());
    }
  }
  HWY_INLINE void step(int64_t part, int64_t parts) const { coming.fetch(part, parts); }
  HWY_INLINE void ask_ahead(const uint8_t* line) const {
    if constexpr (kT > kTokensThatWait) {
      __builtin_prefetch(line + kTilesAhead);
    } else {
      ask_for_stream(line);
    }
  }
  HWY_INLINE Ints sum(int t) const {
    return kChains == 1 ? sums[t][0] : hn::Add(sums[t][0], sums[t][kChains - 1]);
  }
  template <int kSlot>
  HWY_INLINE void add(int64_t quad, Words codes) {
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      Ints& to = sums[t][kSlot % kChains];
      to = add_quad<kKind>(to, codes, quads + (quad * kT + t) * 4);
    }
  }
};

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

template <class Rows, int kCode = 0>
HWY_INLINE Ints multiply_codes(Ints sum, Words words, const int8_t* quads, int64_t bytes) {
  sum = add_products_at<Rows::kKind>(sum, pick_codes<Rows::kPerByte, kCode>(Tag<uint32_t>(), words),
                                     quads + kCode * bytes);
  if constexpr (kCode + 1 < Rows::kPerByte) {
    return multiply_codes<Rows, kCode + 1>(sum, words, quads, bytes);
  }
  return sum;
}

// kBytes of a run: whole vectors.
template <class Rows, int64_t kBytes>
HWY_INLINE Ints multiply_row(const uint8_t* codes, const int8_t* quads) {
  Ints sum = hn::Zero(Tag<int32_t>());
  HONE_UNROLL for (int64_t b = 0; b < kBytes; b += kVectorBytes) {
    const Words words = turn_sign<Rows::kTurnsSign>(Tag<uint32_t>(), load_in_order(codes + b));
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

#if HWY_TARGET == HWY_AVX3
// A pair's share of the lines of the coming unit: of kCount rows from `row` on.
template <class Rows, int64_t kCount>
HWY_INLINE void fetch_pair(const Codes& units, int64_t run, int64_t row) {
  constexpr int64_t kPairs = Rows::unit_runs() / 2;
  constexpr int64_t kShare = (Rows::unit_bytes() + kLine * kPairs - 1) / (kLine * kPairs) * kLine;
  const uint8_t* const first = units.coming + run % Rows::unit_runs() / 2 * kShare;
  HONE_UNROLL for (int64_t r = row; r < row + kCount; ++r) {
    HONE_UNROLL for (int64_t line = 0; line < kShare; line += kLine) {
      __builtin_prefetch(first + r * units.stride + line, 0, 2);
    }
  }
}

// The same where a block of 16 bytes holds its 32 codes by twos: four rows' blocks fill a vector,
// so that sum_four leaves the rows in order. Half as many shuffles as row by row.
template <class Rows>
HWY_INLINE void multiply_nibble_pair(const Codes& units, const int8_t* quads, Ints* sums) {
  const Tag<uint32_t> d;
  const Words nibble = hn::Set(d, 0x0f0f0f0f);
  HONE_UNROLL for (int64_t run = 0; run < 2; ++run) {
    const Words low = load_16_four_times(quads + 32 * run);
    const Words high = load_16_four_times(quads + 32 * run + 16);
    Ints rows[4];
    HONE_UNROLL for (int64_t r = 0; r < 4; ++r) {
      const Words pairs =
          load_blocks(units.bytes + r * units.stride + Rows::nibbles_at(run), units.stride);
      const Ints sum = add_products(hn::Zero(Tag<int32_t>()), hn::And(pairs, nibble), low);
      rows[r] = add_products(sum, hn::And(hn::ShiftRight<4>(pairs), nibble), high);
      fetch_pair<Rows, 2>(units, 0, 2 * (4 * run + r));
    }
    sums[run] = sum_four(rows[0], rows[1], rows[2], rows[3]);
  }
}

// The same where 32 bytes hold two runs, one in their low nibbles and one in the high ones. These
// are multiplied where they are, sixteen times as large.
template <class Rows>
HWY_INLINE void multiply_shared_nibbles(const Codes& units, int64_t run, const int8_t* quads,
                                        Ints* sums) {
  const Words nibble = hn::Set(Tag<uint32_t>(), 0x0f0f0f0f);
  const uint8_t* const from = units.bytes + Rows::shared_nibbles_at(run);
  Ints low[4], high[4];
  HONE_UNROLL for (int64_t r = 0; r < 4; ++r) {
    low[r] = high[r] = hn::Zero(Tag<int32_t>());
    HONE_UNROLL for (int64_t half = 0; half < 32; half += 16) {
      const Words pairs = load_blocks(from + half + r * units.stride, units.stride);
      const Words x = load_16_four_times(quads + half);
      low[r] = add_products(low[r], hn::And(pairs, nibble), x);
      const Words next_x = load_16_four_times(quads + 32 + half);
      high[r] = add_products(high[r], hn::AndNot(nibble, pairs), next_x);
    }
    fetch_pair<Rows, 4>(units, run, 4 * r);
  }
  sums[0] = sum_four(low[0], low[1], low[2], low[3]);
  sums[1] = hn::ShiftRight<4>(sum_four(high[0], high[1], high[2], high[3]));
}
#endif

// The exact sums of a run and of the one beside it, straight from the blocks. Where runs have
// halves, the 128 bits in which sum_four leaves its sums are one.
template <class Rows>
HWY_INLINE void multiply_pair(const Rows& storage, const Codes& units, int64_t run,
                              const int8_t* quads, Ints* sums) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (requires { Rows::nibbles_at(0); }) {
    return multiply_nibble_pair<Rows>(units, quads, sums);
  }
  if constexpr (requires { Rows::shared_nibbles_at(0); }) {
    return multiply_shared_nibbles<Rows>(units, run, quads, sums);
  }
  constexpr bool kHalves = Rows::kKind == RunKind::kHalves;
  const Words x = load_bytes(Tag<uint32_t>(), quads);
  Ints start = hn::Zero(Tag<int32_t>());
  if constexpr (kHalves) {
    start = hn::Neg(add_products(start, hn::Set(Tag<uint32_t>(), 0x01010101 * Rows::zero()), x));
  }
  Ints fours[4];
  HONE_UNROLL for (int64_t i = 0; i < 4; ++i) {
    Ints rows[4];
    HONE_UNROLL for (int64_t r = 0; r < 4; ++r) {
      const int64_t row = 4 * i + r;
      const Words pair = Rows::load_pair(units.bytes + row * units.stride, run);
      rows[r] = add_products(start, pair, x);
      fetch_pair<Rows, 1>(units, run, row);
    }
    fours[i] = sum_four(rows[0], rows[1], rows[2], rows[3]);
    if constexpr (kHalves) fours[i] = hn::Mul(fours[i], storage.factors_of_four(run, i));
  }
  sum_block_pairs(fours, sums);
  static_cast<void>(storage);
#else
  static_cast<void>(storage), static_cast<void>(units), static_cast<void>(run);
  static_cast<void>(quads), static_cast<void>(sums);
#endif
}

// A storage whose runs fill a vector, straight from the blocks.
template <class Rows>
concept LoadsRuns = requires(const uint8_t* unit) {
  Rows::load_run(unit, 0);
};

// The exact sums of a run.
template <class Rows>
HWY_INLINE Ints multiply_loaded(const Codes& units, int64_t run, const int8_t* quads,
                                const ComingShare& coming) {
  const Words x = load_bytes(Tag<uint32_t>(), quads);
  Ints fours[kLanes / 4];
  HONE_UNROLL for (int64_t i = 0; i < kLanes / 4; ++i) {
    Ints sums[4];
    HONE_UNROLL for (int64_t r = 0; r < 4; ++r) {
      const Words codes = Rows::load_run(units.bytes + (4 * i + r) * units.stride, run);
      sums[r] = add_products<Rows::kKind>(hn::Zero(Tag<int32_t>()), codes, x);
    }
    coming.fetch(i, kLanes / 4);
    fours[i] = sum_four(sums[0], sums[1], sums[2], sums[3]);
  }
  return sum_blocks(fours);
}

// The integers of a run, one token after the other: [kT][kLongestRun]. One token: where they are.
template <int kT>
HWY_INLINE const int8_t* tokens_apart(const int8_t* quads, int8_t* apart) {
  if constexpr (kT == 1) return quads;
  for (int64_t i = 0; i < kT * kLongestRun / 4; ++i) {
    std::memcpy(apart + i % kT * kLongestRun + i / kT * 4, quads + 4 * i, 4);
  }
  return apart;
}

// The exact sums of a run for kT tokens.
template <class Rows, int kT>
HWY_INLINE void multiply_run(const Rows& rows, const Codes& codes, int64_t run, int64_t bytes,
                             const int8_t* quads, const ComingShare& coming, Ints* sums) {
  if constexpr (kT == 1 && !Rows::kTiled) {
    if (bytes == 128) return static_cast<void>(sums[0] = multiply_rows<Rows, 128>(codes, quads));
    if (bytes == 64) return static_cast<void>(sums[0] = multiply_rows<Rows, 64>(codes, quads));
    if (kVectorBytes <= 32 && bytes == 32) {
      return static_cast<void>(sums[0] = multiply_rows<Rows, 32>(codes, quads));
    }
  }
  DotSink<Rows::kKind, kT> sink(quads, coming);
  give_codes(rows, codes, run, bytes, sink);
  HONE_UNROLL for (int t = 0; t < kT; ++t) sums[t] = sink.sum(t);
}

// The same of a half of the run, numbered anew. codes: of the whole run.
template <int kHalf, class Rows, class Sink>
HWY_INLINE void give_half(const Rows& rows, const Codes& codes, int64_t run, int64_t half_run,
                          Sink& sink) {
  if constexpr (Rows::kTiled) {
    rows.template give_half<kHalf>(run, sink);
  } else {
    give_run<Rows>({codes.bytes + kHalf * half_run, codes.stride}, half_run, sink);
  }
}

// The exact sums where halves have factors; zero points included.
template <class Rows, int kT>
HWY_INLINE void multiply_halves(const Rows& rows, const Codes& codes, const Int8Part& x,
                                int64_t run, const ComingShare& coming, Ints* sums) {
  const RunEnd<Rows::kKind> end(rows, run);
  const int64_t half_run = x.run / 2;
  HONE_UNROLL for (int half = 0; half < 2; ++half) {
    DotSink<Rows::kKind, kT> sink(x.quads + (run * x.run + half * half_run) * kT,
                                  half == 0 ? coming : ComingShare());
    if (half == 0) give_half<0>(rows, codes, run, half_run, sink);
    if (half == 1) give_half<1>(rows, codes, run, half_run, sink);
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      const int32_t first = x.half_sums[run * kT + t];
      const Ints start = end.start(half == 0 ? first : x.sums[run * kT + t] - first);
      const Ints sum = hn::Add(start, sink.sum(t));
      const Ints product = hn::Mul(sum, end.factors[half]);
      sums[t] = half == 0 ? product : hn::Add(sums[t], product);
    }
  }
}

// out[t * stride + r]: the kLanes rows on which `rows` and `stream` stand, times kT tokens.
template <class Rows, int kT>
HWY_NOINLINE void multiply_few(Rows& rows, typename Rows::Stream& stream, const Int8Part& x,
                               float* out, int64_t stride) {
  Floats results[kT];
  HONE_UNROLL for (int t = 0; t < kT; ++t) results[t] = hn::Zero(kFloatTag);
  const int64_t bytes = x.run / Rows::kPerByte;
  constexpr bool kHalves = Rows::kKind == RunKind::kHalves;
  const auto add_run = [&](int64_t run, const Ints* sums) HWY_ATTR {
    const RunEnd<Rows::kKind> end(rows, run);  // late: what it reads has just been written
    HONE_UNROLL for (int t = 0; t < kT; ++t) {
      const int32_t x_sum = x.sums[run * kT + t];
      Ints sum = sums[t];
      if constexpr (!kHalves && !Rows::kMultiplies) sum = hn::Add(sum, end.start(x_sum));
      if (end.has_zeros) sum = end.without_zeros(sum, x_sum);
      results[t] = end.add(results[t], sum, x.scales[run * kT + t], x_sum);
    }
  };
  constexpr bool kInPairs = kT == 1 && Rows::kPairs && kVectorBytes == 64;
  constexpr int64_t kStep = kInPairs ? 2 : 1;
  for_each_run<kStep>(rows, stream, x.runs, [&](const Codes& units, int64_t run) HWY_ATTR {
    const int8_t* const quads = x.quads + run * x.run * kT;
    if constexpr (kInPairs) {
      Ints pair[2];
      multiply_pair<Rows>(rows, units, run, quads, pair);
      add_run(run, &pair[0]);
      if (run + 1 < x.runs) add_run(run + 1, &pair[1]);
      return;
    }
    Ints sums[kT];
    if constexpr (kT == 1 && LoadsRuns<Rows>) {
      sums[0] = multiply_loaded<Rows>(units, run, quads, ComingShare(rows, units, run));
    } else if constexpr (kHalves) {
      multiply_halves<Rows, kT>(rows, rows.codes(units, run), x, run, ComingShare(rows, units, run),
                                sums);
    } else if constexpr (Rows::kMultiplies) {
      rows.template multiply<kT>(units, run, x, sums);
    } else {
      multiply_run<Rows, kT>(rows, rows.codes(units, run), run, bytes, quads,
                             ComingShare(rows, units, run), sums);
    }
    add_run(run, sums);
  });
  HONE_UNROLL for (int t = 0; t < kT; ++t) hn::StoreU(results[t], kFloatTag, out + t * stride);
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
