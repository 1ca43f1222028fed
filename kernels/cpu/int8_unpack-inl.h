// Packed integers of 3, 5, 6 or 7 bits as a storage of int8_rows-inl.h: two instructions give 64 of
// them a byte each. For AVX-512 with VBMI; elsewhere these matrices are multiplied as floats.
// Compiled per target.
#if defined(HONE_CPU_INT8_UNPACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_UNPACK_INL_H_
#undef HONE_CPU_INT8_UNPACK_INL_H_
#else
#define HONE_CPU_INT8_UNPACK_INL_H_
#endif

#include <array>

#include "kernels/cpu/int8_rows-inl.h"
#include "kernels/cpu/vbmi-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

template <int kBits>
class UnpackedRows : public GroupedRows<kBits> {
 public:
  static constexpr int kPerByte = 1;
  static constexpr bool kTurnsSign = false;

  explicit UnpackedRows(const WeightView& w) : GroupedRows<kBits>(w), run_(input_run(w)) {}

  HWY_INLINE void begin(const Codes& units, int64_t) {
    for (int64_t r = 0; r < kLanes; ++r) {
      const uint8_t* const from = units.bytes + r * units.stride;
      // Of a run of 32 the second half is nothing: the next row overwrites it.
      for (int64_t i = 0; i < run_; i += 64) {
        unpack(from + i / 8 * kBits, std::min<int64_t>(64, run_ - i), codes_ + r * run_ + i);
      }
      __builtin_prefetch(units.coming + r * units.stride, 0, 2);
    }
  }
  HWY_INLINE Codes codes(const Codes&, int64_t) { return {codes_, run_, codes_}; }

 private:
  // Eight codes are kBits bytes.
  static constexpr auto kFrom = [] {
    std::array<uint8_t, 64> from{};
    for (int i = 0; i < 64; ++i) {
      from[i] = static_cast<uint8_t>(std::min(i / 8 * kBits + i % 8, 8 * kBits - 1));
    }
    return from;
  }();

  static HWY_INLINE void unpack(const uint8_t* from, int64_t count, uint8_t* to) {
    const __mmask64 there = ~uint64_t{0} >> (64 - count / 8 * kBits);
    const __m512i packed = _mm512_maskz_loadu_epi8(there, from);
    const __m512i eights = permute_bytes(_mm512_loadu_si512(kFrom.data()), packed);
    constexpr int64_t b = kBits;
    constexpr int64_t kShifts =
        b << 8 | 2 * b << 16 | 3 * b << 24 | 4 * b << 32 | 5 * b << 40 | 6 * b << 48 | 7 * b << 56;
    const __m512i codes = shift_bytes_apart(eights, _mm512_set1_epi64(kShifts));
    _mm512_storeu_si512(to, _mm512_and_si512(codes, _mm512_set1_epi8((1 << kBits) - 1)));
  }

  int64_t run_;
  alignas(64) uint8_t codes_[kLanes * kLongestRun + 64];
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
