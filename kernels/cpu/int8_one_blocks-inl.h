// Rows of GGUF's blocks of 32 (formats.h) for int8_one-inl.h. Scales lie among the codes: the fewer
// instructions take both apart, the better; loads that cross lines count twice. AVX-512. Compiled
// per target.
#if defined(HONE_CPU_INT8_ONE_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_ONE_BLOCKS_INL_H_
#undef HONE_CPU_INT8_ONE_BLOCKS_INL_H_
#else
#define HONE_CPU_INT8_ONE_BLOCKS_INL_H_
#endif

#include "kernels/cpu/caches.h"
#include "kernels/cpu/int8_one-inl.h"
#include "kernels/cpu/vbmi-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

// ---- Q8_0: kLanes blocks, one after the other.

class Q8_0Row {
 public:
  static constexpr int64_t kRuns = kLanes;

  explicit Q8_0Row(const WeightView& w) : w_(w) {}
  static void prepare(const Int8Part&) {}
  void start(int64_t row) {
    blocks_ = reinterpret_cast<const BlockQ8_0*>(w_.payload + row * w_.row_stride);
  }

  template <bool kAll>
  HWY_INLINE void terms(int64_t run, int64_t count, const Int8Part& x, float* to) const {
    BlockQ8_0 padded[kAll ? 1 : kLanes] = {};
    const BlockQ8_0* blocks = blocks_ + run;
    if constexpr (!kAll) blocks = std::copy_n(blocks, count, padded) - count;
    const Ints sums = sum_blocks_of_row(blocks, x.quads + run * x.run);
    const Ints offsets = hn::ShiftLeft<7>(hn::LoadU(Tag<int32_t>(), x.sums + run));
    const Floats exact = hn::ConvertTo(kFloatTag, hn::Sub(sums, offsets));
    hn::StoreU(hn::Mul(exact, scales(blocks)), kFloatTag, to);
  }

 private:
  // Of codes + 128. A vector has two runs, which sum_four leaves in the halves of vectors.
  static HWY_INLINE Ints sum_blocks_of_row(const BlockQ8_0* blocks, const int8_t* quads) {
    Ints fours[2];
    HONE_UNROLL for (int i = 0; i < 2; ++i) {
      Ints pairs[4];
      HONE_UNROLL for (int k = 0; k < 4; ++k) {
        const int pair = 4 * i + k;
        const Words codes = load_codes(blocks[2 * pair], blocks[2 * pair + 1]);
        pairs[k] = add_products_at<RunKind::kPlain>(hn::Zero(Tag<int32_t>()), codes,
                                                    quads + pair * kVectorBytes);
      }
      fours[i] = sum_four(pairs[0], pairs[1], pairs[2], pairs[3]);
    }
    const __m512i low = _mm512_shuffle_i32x4(fours[0].raw, fours[1].raw, 0x88);
    const __m512i high = _mm512_shuffle_i32x4(fours[0].raw, fours[1].raw, 0xdd);
    const __m512i order = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    return Ints{_mm512_permutexvar_epi32(order, _mm512_add_epi32(low, high))};
  }

  static HWY_INLINE Words load_codes(const BlockQ8_0& first, const BlockQ8_0& second) {
    __m256i low;  // in the order of the program, as load_in_order
    asm volatile("vmovdqu %1, %0" : "=x"(low) : "m"(first.q));
    return Words{_mm512_xor_si512(join(low, load_32(second.q)), _mm512_set1_epi8(-128))};
  }

  // Block i's scale is word 17i: each two vectors have four of them, all at 17i modulo their words.
  static HWY_INLINE Floats scales(const BlockQ8_0* blocks) {
    alignas(64) static constexpr uint16_t kPlaces[32] = {0, 17, 34, 51, 4,  21, 38, 55,
                                                         8, 25, 42, 59, 12, 29, 46, 63};
    const __m512i places = _mm512_load_si512(kPlaces);
    const auto* const from = reinterpret_cast<const uint8_t*>(blocks);
    __m512i bits = _mm512_setzero_si512();
    HONE_UNROLL for (int i = 0; i < 4; ++i) {
      const __m512i first = _mm512_loadu_si512(from + 128 * i);
      const __m512i second = _mm512_loadu_si512(from + 128 * i + 64);
      bits = _mm512_or_si512(bits,
                             _mm512_maskz_permutex2var_epi16(0xfu << 4 * i, first, places, second));
    }
    return Floats{_mm512_cvtph_ps(_mm512_castsi512_si256(bits))};
  }

  const WeightView& w_;
  const BlockQ8_0* blocks_ = nullptr;
};

// ---- Q4_0: read by whole lines, from which permutations pick codes and scales.

// Where they are in kBlocks of them, which are so many lines and perhaps a half.
template <int64_t kBlocks>
struct Q4_0Places {
  static constexpr int64_t kBytes = kBlocks * sizeof(BlockQ4_0);
  static constexpr int64_t kLines = (kBytes + kLine - 1) / kLine;
  static constexpr int64_t kLinePairs = (kLines + 1) / 2;
  static_assert(kBytes % kLine == 0 || kBytes % kLine == kLine / 2);

  alignas(64) uint8_t codes[kBlocks / 4][kLine] = {};       // of four blocks in two lines
  alignas(64) uint16_t scales[kLinePairs][kLine / 2] = {};  // in two lines: to the block's lane
  uint32_t blocks[kLinePairs] = {};                         // whose scales those are

  constexpr Q4_0Places() {
    for (size_t block = 0; block < kBlocks; ++block) {
      const size_t at = block * sizeof(BlockQ4_0);
      for (size_t i = 0; i < sizeof(BlockQ4_0::nibbles); ++i) {
        const size_t code = at + offsetof(BlockQ4_0, nibbles) + i;
        codes[block / 4][block % 4 * 16 + i] = static_cast<uint8_t>(code - block / 4 * kLine);
      }
      scales[at / (2 * kLine)][block] = static_cast<uint16_t>(at % (2 * kLine) / 2);
      blocks[at / (2 * kLine)] |= 1u << block;
    }
  }
};

// A vector holds the codes of four blocks, of its low nibbles and of its high ones.
class Q4_0Row {
 public:
  static constexpr int64_t kRuns = 32;

  explicit Q4_0Row(const WeightView& w) : w_(w) {}

  void prepare(const Int8Part& x) {
    RowScratch& scratch = row_scratch();
    grow(scratch.quads, (x.runs + kRuns) * kBlockRun);
    grow(scratch.offsets, x.runs + kRuns);
    constexpr int64_t kHalf = kBlockRun / 2;
    for (int64_t run = 0; run < x.runs; ++run) {
      int8_t* const four = scratch.quads.data() + run / 4 * 4 * kBlockRun;
      for (int64_t half = 0; half < 2; ++half) {
        std::memcpy(four + half * kVectorBytes + run % 4 * kHalf,
                    x.quads + run * kBlockRun + half * kHalf, kHalf);
      }
      scratch.offsets[run] = BlockRows<Q4_0Format>::zero() * x.sums[run];
    }
    quads_ = scratch.quads.data();
    offsets_ = scratch.offsets.data();
  }
  void start(int64_t row) {
    blocks_ = reinterpret_cast<const BlockQ4_0*>(w_.payload + row * w_.row_stride);
  }

  template <bool kAll>
  HWY_INLINE void terms(int64_t run, int64_t count, const Int8Part&, float* to) const {
    const BlockQ4_0* const blocks = blocks_ + run;
    if constexpr (kAll) return set_terms<kRuns>(blocks, run, to);
    const int64_t whole = count / kLanes * kLanes;
    if (whole > 0) set_terms<kLanes>(blocks, run, to);
    if (whole == count) return;
    BlockQ4_0 padded[kLanes] = {};
    std::copy_n(blocks + whole, count - whole, padded);
    set_terms<kLanes>(padded, run + whole, to + whole);
  }

 private:
  template <int64_t kBlocks>
  HWY_INLINE void set_terms(const BlockQ4_0* blocks, int64_t run, float* to) const {
    static constexpr Q4_0Places<kBlocks> kPlaces;
    const auto* const from = reinterpret_cast<const uint8_t*>(blocks);
    const __m512i nibble = _mm512_set1_epi8(0x0f);
    const __m512i upper = _mm512_set1_epi64(0x1020408000000000);  // for multiply_bits
    __m512i lines[kPlaces.kLines];
    Ints sums[kBlocks / 4];
    lines[0] = load_in_order(from).raw;
    HONE_UNROLL for (int64_t i = 0; i < kBlocks / 4; ++i) {
      const bool half = kPlaces.kBytes < (i + 2) * kLine;
      lines[i + 1] = half ? _mm512_castsi256_si512(load_32(from + (i + 1) * kLine))
                          : load_in_order(from + (i + 1) * kLine).raw;
      const __m512i pairs = pick_bytes(_mm512_load_si512(kPlaces.codes[i]), lines[i], lines[i + 1]);
      const int8_t* const x = quads_ + (run + 4 * i) * kBlockRun;
      sums[i] = add_products_at<RunKind::kPlain>(hn::Zero(Tag<int32_t>()),
                                                 Words{_mm512_and_si512(pairs, nibble)}, x);
      sums[i] = add_products_at<RunKind::kPlain>(sums[i], Words{multiply_bits(pairs, upper)},
                                                 x + kVectorBytes);
    }
    const __m512i bits = scales<kBlocks>(kPlaces, lines);
    store_terms(sums, _mm512_castsi512_si256(bits), run, to);
    if constexpr (kBlocks > kLanes) {
      store_terms(sums + 4, _mm512_extracti64x4_epi64(bits, 1), run + kLanes, to + kLanes);
    }
  }

  template <int64_t kBlocks>
  static HWY_INLINE __m512i scales(const Q4_0Places<kBlocks>& places, const __m512i* lines) {
    __m512i bits = _mm512_setzero_si512();
    HONE_UNROLL for (int64_t i = 0; i < places.kLinePairs; ++i) {
      const __m512i next = lines[std::min(2 * i + 1, places.kLines - 1)];
      bits = _mm512_or_si512(
          bits, _mm512_maskz_permutex2var_epi16(places.blocks[i], lines[2 * i],
                                                _mm512_load_si512(places.scales[i]), next));
    }
    return bits;
  }

  // Of kLanes blocks, four of which lie side by side in each of the sums: those fit 14 bits.
  HWY_INLINE void store_terms(const Ints* sums, __m256i scales, int64_t run, float* to) const {
    const __m512i turn = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const Ints turned = sum_short_four(sums[0], sums[1], sums[2], sums[3]);
    const Ints all{_mm512_permutexvar_epi32(turn, turned.raw)};
    const Ints offsets = hn::LoadU(Tag<int32_t>(), offsets_ + run);
    const Floats exact = hn::ConvertTo(kFloatTag, hn::Sub(all, offsets));
    hn::StoreU(hn::Mul(exact, Floats{_mm512_cvtph_ps(scales)}), kFloatTag, to);
  }

  const WeightView& w_;
  const BlockQ4_0* blocks_ = nullptr;
  const int8_t* quads_ = nullptr;     // of each four runs: first halves, then second ones
  const int32_t* offsets_ = nullptr;  // what zero points take away, of each run
};

// ---- Which take them.

template <>
struct ByRow<BlockRows<Q8_0Format>> {
  static std::unique_ptr<Int8Product> make(const WeightView& w) {
    return kBlocksRowByRow ? std::make_unique<RowByRow<Q8_0Row>>(w) : nullptr;
  }
};

template <>
struct ByRow<BlockRows<Q4_0Format>> {
  static std::unique_ptr<Int8Product> make(const WeightView& w) {
    return kBlocksRowByRow && has_vbmi() ? std::make_unique<RowByRow<Q4_0Row>>(w) : nullptr;
  }
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
