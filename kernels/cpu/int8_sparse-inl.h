// 2:4 weights of 8 or 4 bits as a storage of int8_rows-inl.h: the positions that are kept become a
// bit mask, and one instruction spreads the kept codes by it; what was dropped becomes the zero
// point. For AVX-512 with VBMI2; elsewhere these matrices are multiplied as floats. Compiled per
// target.
#if defined(HONE_CPU_INT8_SPARSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_SPARSE_INL_H_
#undef HONE_CPU_INT8_SPARSE_INL_H_
#else
#define HONE_CPU_INT8_SPARSE_INL_H_
#endif

#include "kernels/cpu/int8_rows-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

inline bool has_byte_expansion() {
  static const bool has = __builtin_cpu_supports("avx512vbmi2");
  return has;
}

// Bytes of `packed` in order to where `mask` has bits; 0 elsewhere. Written as its instruction,
// which Highway's AVX3 does not promise.
HWY_INLINE __m512i expand_bytes(__mmask64 mask, __m512i packed) {
  __m512i spread;
  asm("vpexpandb %1, %0%{%2%}%{z%}" : "=v"(spread) : "v"(packed), "Yk"(mask));
  return spread;
}

template <int kBits, bool kTwosComplement>
class SparseRows {
 public:
  static constexpr int kPerByte = 1;
  static constexpr bool kSigned = false;
  static constexpr RunKind kKind = RunKind::kPlain;
  static constexpr bool kPairs = false;
  static constexpr bool kInPlace = true;

  // Whole runs of kLongestRun columns, no zero points of groups.
  static bool suits(const WeightView& w) {
    return has_byte_expansion() && input_run(w) == kLongestRun && w.columns % kLongestRun == 0 &&
           !w.zeros;
  }

  explicit SparseRows(const WeightView& w) : w_(w), table_(w) {
    if (w.scales && w.group != w.columns) runs_per_group_ = w.group / kLongestRun;
  }

  static constexpr int64_t unit_bytes() { return kLongestRun / 2 * kBits / 8; }
  static constexpr int64_t unit_runs() { return 1; }
  void start(int64_t row, int64_t count) {
    row_ = row;
    last_ = count - 1;
    table_.start(row, count);
  }

  HWY_INLINE void begin(const Codes& units, int64_t run) {
    const int64_t stride = w_.columns / 8;
    const std::byte* const index = w_.index + row_ * stride + run * kIndexBytes;
    for (int64_t r = 0; r < kLanes; ++r) {
      const std::byte* const kept = index + std::min(r, last_) * stride;
      expand_row(units.bytes + r * units.stride, kept, codes_ + r * kLongestRun);
      __builtin_prefetch(units.coming + r * units.stride, 0, 2);
      __builtin_prefetch(kept + kLanes * stride, 0, 2);
    }
  }
  HWY_INLINE Codes codes(const Codes&, int64_t) { return {codes_, kLongestRun, codes_}; }

  HWY_INLINE Floats scale(int64_t run) const { return table_.scale(run / runs_per_group_); }
  static constexpr bool has_zeros() { return false; }
  static constexpr int32_t zero() { return 1 << (kBits - 1); }
  Ints zeros(int64_t) const { return hn::Zero(Tag<int32_t>()); }

 private:
  static constexpr int64_t kIndexBytes = kLongestRun / 8;

  // A bit for each column of the run.
  static HWY_INLINE __m128i kept_bits(const std::byte* index) {
    // By first | second << 2.
    const __m128i bits_of = _mm_setr_epi8(1, 3, 5, 9, 3, 2, 6, 10, 5, 6, 4, 12, 9, 10, 12, 8);
    const __m128i fifteen = _mm_set1_epi8(15);
    const __m128i pairs = _mm_loadu_si128(reinterpret_cast<const __m128i*>(index));
    const __m128i low = _mm_shuffle_epi8(bits_of, _mm_and_si128(pairs, fifteen));
    const __m128i high =
        _mm_shuffle_epi8(bits_of, _mm_and_si128(_mm_srli_epi16(pairs, 4), fifteen));
    return _mm_or_si128(low, _mm_slli_epi16(high, 4));
  }

  // The 64 kept codes, a byte each.
  static HWY_INLINE __m512i load_kept(const uint8_t* from) {
    if constexpr (kBits == 8) {
      const __m512i bytes = _mm512_loadu_si512(from);
      return kTwosComplement ? _mm512_xor_si512(bytes, _mm512_set1_epi8(-128)) : bytes;
    } else {
      const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
      const __m512i wide = _mm512_cvtepu8_epi16(pairs);
      return _mm512_and_si512(_mm512_or_si512(wide, _mm512_slli_epi16(wide, 4)),
                              _mm512_set1_epi8(15));
    }
  }

  static HWY_INLINE void expand_row(const uint8_t* from, const std::byte* index, uint8_t* to) {
    const __m128i bits = kept_bits(index);
    const __m512i zeros = _mm512_set1_epi8(static_cast<char>(zero()));
    const __m512i kept = _mm512_xor_si512(load_kept(from), zeros);  // what is dropped is 0 here
    const __m512i upper = _mm512_castsi256_si512(_mm512_extracti64x4_epi64(kept, 1));
    const auto low = static_cast<__mmask64>(_mm_cvtsi128_si64(bits));
    const auto high = static_cast<__mmask64>(_mm_extract_epi64(bits, 1));
    _mm512_store_si512(to, _mm512_xor_si512(expand_bytes(low, kept), zeros));
    _mm512_store_si512(to + 64, _mm512_xor_si512(expand_bytes(high, upper), zeros));
  }

  const WeightView& w_;
  GroupTable table_;
  int64_t row_ = 0;
  int64_t last_ = 0;
  int64_t runs_per_group_ = kEndless;
  alignas(64) uint8_t codes_[kLanes * kLongestRun];
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
