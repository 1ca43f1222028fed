// What there is for each storage as floats.
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/float_kernels.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "hwy/highway.h"
#include "kernels/cpu/blocks-inl.h"
#include "kernels/cpu/decoder-inl.h"
#include "kernels/cpu/positions-inl.h"
#include "kernels/cpu/sparse-inl.h"
#include "kernels/cpu/words-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

template <class Reader, class Lane = FloatLane>
constexpr FloatKernels make_kernels() {
  FloatKernels kernels{.decode = decode_part<Reader>,
                       .dot_one = dot_rows<Reader, 1, 1, Lane>,
                       .dot_rows = dot_rows<Reader, kRows, 1, Lane>};
  if constexpr (requires { Reader::kLineColumns; }) kernels.stream = stream_rows<Reader, Lane>;
  if constexpr (Reader::kFromMemory) {
    kernels.few_one = dot_rows<Reader, 1, kFewTokens, Lane>;
    kernels.few_rows = dot_rows<Reader, kRows, kFewTokens, Lane>;
  }
  return kernels;
}

template <class Reader>
constexpr FloatKernels kDenseKernels = make_kernels<Reader>();

constexpr FloatKernels kAnyKernels{.decode = decode_any};

// 2:4 of interleaved columns is left to codec: no file has it.
template <class Reader>
const FloatKernels& kernels_of(const WeightView& w) {
  if (!w.index) return kDenseKernels<Reader>;
  if constexpr (Reader::kParts == 1) {
    return kDenseKernels<SparseReader<Reader>>;
  } else {
    return kAnyKernels;
  }
}

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
// Those of a reader, whose rows a kernel of its own multiplies with one token.
template <class Reader, DotFunction kStream>
constexpr FloatKernels kStreamedKernels = [] {
  FloatKernels kernels = make_kernels<Reader>();
  kernels.stream = kStream;
  return kernels;
}();

// BF16 of 2:4, in whole blocks.
bool streams_positions(const WeightView& w) { return w.index && w.columns % kPositionsBlock == 0; }
#endif

// 16-bit floats: what is sparse by expansion, where there is an instruction for it.
template <bool kBf16>
const FloatKernels& kernels_of_words(const WeightView& w) {
#if HWY_TARGET == HWY_AVX3
  if (kBf16 && has_vbmi() && streams_positions(w)) {
    return kStreamedKernels<WordsReader<PositionsOfRow, true>, stream_positions>;
  }
  if (has_vbmi() && w.index) return kDenseKernels<WordsReader<PositionsOfRow, kBf16>>;
  if (has_vbmi() && w.mask) {
    return kStreamedKernels<WordsReader<MaskOfRow, kBf16>, stream_masked_rows<kBf16>>;
  }
#endif
  if (w.mask) return kAnyKernels;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  if (kBf16 && streams_positions(w)) {
    return kStreamedKernels<SparseReader<Bf16Reader>, stream_positions>;
  }
#endif
  return kernels_of<std::conditional_t<kBf16, Bf16Reader, F16Reader>>(w);
}

// Few bits: by table where there is an instruction for it.
template <int kBits>
const FloatKernels& kernels_of_few_bits(const WeightView& w) {
#if HWY_TARGET == HWY_AVX3
  return kernels_of<TableReader<kBits>>(w);
#else
  using Codes = std::conditional_t<kBits == 3, UnpackedCodes<kBits>, PackedCodes<kBits>>;
  return kernels_of<GroupedReader<Codes>>(w);
#endif
}

const FloatKernels& kernels_of_packed(const WeightView& w) {
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

const FloatKernels& kernels_without_scales(const WeightView& w) {
  switch (w.type) {
    case DType::kF32:
      return kernels_of<F32Reader>(w);
    case DType::kF16:
      return kernels_of_words<false>(w);
    case DType::kBF16:
      return kernels_of_words<true>(w);
#define X(name)        \
  case DType::k##name: \
    return kernels_of<name##Reader>(w);
      FOR_EACH_FORMAT(X)
#undef X
    default:
      return kAnyKernels;
  }
}

}  // namespace

const FloatKernels& pair_kernels() {
  static constexpr FloatKernels kKernels = make_kernels<F32Reader, PairLane>();
  return kKernels;
}

const FloatKernels& choose_float_kernels(const WeightView& w) {
  // In vectors of up to 16 lanes of kept elements.
  const int64_t unit = w.index ? 32 : 16;
  const bool scale_per_vector = !w.scales || w.group == w.columns || w.group % unit == 0;
  if (!scale_per_vector) return kAnyKernels;
  if (w.mask && (w.scales || (w.type != DType::kF16 && w.type != DType::kBF16))) return kAnyKernels;
  if (w.packed_bits != 0) return kernels_of_packed(w);
  if (w.type == DType::kI8) return kernels_of<GroupedReader<I8Codes>>(w);
  if (w.type == DType::kF8E4M3 && !w.zeros) return kernels_of<F8Reader>(w);
  if (w.scales) return kAnyKernels;
  return kernels_without_scales(w);
}

}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
