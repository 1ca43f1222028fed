// Instructions on bytes and words that came with Ice Lake and Zen 4, which Highway's AVX3 does not
// promise: written as such, for code that has asked has_vbmi(). Compiled per target.
#if defined(HONE_CPU_VBMI_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_VBMI_INL_H_
#undef HONE_CPU_VBMI_INL_H_
#else
#define HONE_CPU_VBMI_INL_H_
#endif

#include "kernels/cpu/decode-inl.h"
#include "kernels/cpu/vbmi.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

// Memory that an instruction reads under a mask: what the mask leaves out may lie outside a page
// that there is.
struct [[gnu::may_alias]] Bytes64 {
  char bytes[64];
};

// Bytes of `packed` in order to where `mask` has bits; 0 elsewhere.
HWY_INLINE __m512i expand_bytes(__mmask64 mask, __m512i packed) {
  __m512i spread;
  asm("vpexpandb %1, %0%{%2%}%{z%}" : "=v"(spread) : "v"(packed), "Yk"(mask));
  return spread;
}

// As many bytes from `packed` on as `mask` has bits, to where it has them; 0 elsewhere.
HWY_INLINE __m512i expand_bytes(__mmask64 mask, const void* packed) {
  __m512i spread;
  asm("vpexpandb %1, %0%{%2%}%{z%}"
      : "=v"(spread)
      : "m"(*static_cast<const Bytes64*>(packed)), "Yk"(mask));
  return spread;
}

// The same; `rest` elsewhere.
HWY_INLINE __m512i expand_bytes(__mmask64 mask, const void* packed, __m512i rest) {
  asm("vpexpandb %1, %0%{%2%}"
      : "+v"(rest)
      : "m"(*static_cast<const Bytes64*>(packed)), "Yk"(mask));
  return rest;
}

// As many words of 16 bits, likewise.
HWY_INLINE __m512i expand_words(__mmask32 mask, const void* packed) {
  __m512i spread;
  asm("vpexpandw %1, %0%{%2%}%{z%}"
      : "=v"(spread)
      : "m"(*static_cast<const Bytes64*>(packed)), "Yk"(mask));
  return spread;
}

// Byte i of each word of 64 bits: eight of its bits, from bit shifts[i] on.
HWY_INLINE __m512i shift_bytes_apart(__m512i words, __m512i shifts) {
  __m512i bytes;
  asm("vpmultishiftqb %1, %2, %0" : "=v"(bytes) : "v"(words), "v"(shifts));
  return bytes;
}

// Byte i of the result: byte from[i] of `bytes`.
HWY_INLINE __m512i permute_bytes(__m512i from, __m512i bytes) {
  __m512i permuted;
  asm("vpermb %2, %1, %0" : "=v"(permuted) : "v"(from), "v"(bytes));
  return permuted;
}

// Byte from[i] & 127 of the 128.
HWY_INLINE __m512i pick_bytes(__m512i from, __m512i low, __m512i high) {
  asm("vpermi2b %2, %1, %0" : "+v"(from) : "v"(low), "v"(high));
  return from;
}

// Every byte times a matrix of bits, whose first row, for the lowest bit, is its highest byte.
HWY_INLINE __m512i multiply_bits(__m512i bytes, __m512i matrices) {
  __m512i products;
  asm("vgf2p8affineqb $0, %2, %1, %0" : "=v"(products) : "v"(bytes), "v"(matrices));
  return products;
}

// A bit for each of 128 columns of 2:4, from their 16 bytes of index.
HWY_INLINE __m128i kept_bits(__m128i index) {
  // By first | second << 2.
  const __m128i bits_of = _mm_setr_epi8(1, 3, 5, 9, 3, 2, 6, 10, 5, 6, 4, 12, 9, 10, 12, 8);
  const __m128i fifteen = _mm_set1_epi8(15);
  const __m128i low = _mm_shuffle_epi8(bits_of, _mm_and_si128(index, fifteen));
  const __m128i high = _mm_shuffle_epi8(bits_of, _mm_and_si128(_mm_srli_epi16(index, 4), fifteen));
  return _mm_or_si128(low, _mm_slli_epi16(high, 4));
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
