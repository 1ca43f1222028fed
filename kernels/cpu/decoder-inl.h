// The weights of one matrix as floats. Compiled per target.
#if defined(HONE_CPU_DECODER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_DECODER_INL_H_
#undef HONE_CPU_DECODER_INL_H_
#else
#define HONE_CPU_DECODER_INL_H_
#endif

#include "kernels/cpu/dot-inl.h"
#include "kernels/cpu/float_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {

// float_kernels.cpp
const FloatKernels& choose_float_kernels(const WeightView& w);
const FloatKernels& pair_kernels();

namespace {

// Reads weights of one matrix, whatever they are stored as.
class Decoder {
 public:
  explicit Decoder(const WeightView& weight) : Decoder(weight, choose_float_kernels(weight)) {}
  // Of weights that has_pairs() says yes to: a column is a pair.
  static Decoder of_pairs(const WeightView& weight) { return {pairs_of(weight), pair_kernels()}; }

  const WeightView& weight() const { return weight_; }
  // Rows that dot() wants at once, for so many tokens; the last ones of a matrix may be fewer.
  int64_t dot_rows(int64_t tokens) const {
    return tokens == 1 && kernels_.stream ? kStreamRows : kRows;
  }
  // Tokens for which dot() is the better way.
  int64_t most_dot_tokens() const {
    return kernels_.few_one ? 4 * kFewTokens : kernels_.dot_one ? 1 : 0;
  }

  // Adds the products of `count` tokens with rows [row, row + rows), without the columns behind
  // whole_columns(): there must be most_dot_tokens().
  void dot(int64_t row, int64_t rows, int64_t count, const FewTokens& tokens) const {
    if (rows == kStreamRows) return kernels_.stream(weight_, row, tokens);
    for (int64_t t = 0; t < count;) {
      const bool few = kernels_.few_one && count - t >= kFewTokens;
      FewTokens some = tokens;
      some.x += t * tokens.x_stride;
      some.sums += t * tokens.sum_stride;
      if (rows == kRows) {
        (few ? kernels_.few_rows : kernels_.dot_rows)(weight_, row, some);
      } else {
        for (int64_t r = 0; r < rows; ++r, ++some.sums) {
          (few ? kernels_.few_one : kernels_.dot_one)(weight_, row + r, some);
        }
      }
      t += few ? kFewTokens : 1;
    }
  }

  // begin: a multiple of 1024.
  void decode(int64_t row, int64_t begin, int64_t end, float* out) const {
    kernels_.decode(weight_, row, begin, end, out);
  }

 private:
  Decoder(const WeightView& weight, const FloatKernels& kernels)
      : weight_(weight), kernels_(kernels) {}

  WeightView weight_;
  FloatKernels kernels_;
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
