// A row of activations, spread over a block, for kernels that pass over it more than once: it stays
// in registers; what does not fit is read again.
#pragma once

#include "kernels/ops.h"
#include "kernels/simt/device.h"

namespace hone::cuda {

// The row is x, or x + residual, which goes to sum if that is not null.
struct RowInput {
  const float* x;
  int64_t dim;
  const float* residual = nullptr;
  float* sum = nullptr;
};

inline constexpr int kKept = 4;  // vectors that a thread keeps

// This thread's part of a row.
template <int kWidth>
class RowPart {
 public:
  using Vector = simt::Vec<float, kWidth>;

  // Reads it, and writes x + residual to sum.
  __device__ __forceinline__ RowPart(const RowInput& args, int64_t row)
      : args_(args), first_(row * args.dim) {
#pragma unroll
    for (int i = 0; i < kKept; ++i) {
      if (column(i) < args.dim) kept_[i] = read_input(column(i));
    }
    for (int64_t c = column(kKept); c < args.dim; c += stride()) read_input(c);
  }

  // f(column, values) for every vector of this thread.
  template <class F>
  __device__ __forceinline__ void each(F f) const {
#pragma unroll
    for (int i = 0; i < kKept; ++i) {
      if (column(i) < args_.dim) f(column(i), kept_[i]);
    }
    for (int64_t c = column(kKept); c < args_.dim; c += stride()) f(c, read_again(c));
  }

 private:
  static __device__ __forceinline__ int64_t stride() { return int64_t{blockDim.x} * kWidth; }
  static __device__ __forceinline__ int64_t column(int i) {
    return i * stride() + int64_t{threadIdx.x} * kWidth;
  }

  __device__ __forceinline__ Vector read_input(int64_t c) const {
    Vector v = simt::load<kWidth>(args_.x + first_ + c);
    if (!args_.residual) return v;
    const Vector more = simt::load<kWidth>(args_.residual + first_ + c);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) v[e] += more[e];
    if (args_.sum) simt::store(args_.sum + first_ + c, v);
    return v;
  }
  // The sum may lie over x or the residual, which then are no more.
  __device__ __forceinline__ Vector read_again(int64_t c) const {
    if (args_.residual && args_.sum) return simt::load<kWidth>(args_.sum + first_ + c);
    return read_input(c);
  }

  RowInput args_;
  int64_t first_;
  Vector kept_[kKept];
};

// What a product's norm makes of a row of `columns`, if there is one. All threads of the block make
// it together. Statistics as in norm.cu.
template <int kWidth>
class RowNorm {
 public:
  using Vector = simt::Vec<float, kWidth>;

  __device__ __forceinline__ RowNorm(const InputNorm& norm, const RowPart<kWidth>& part,
                                     int64_t columns, double (&scratch)[simt::kWarpSize])
      : weight_(norm.weight) {
    if (!weight_) return;
    double square = 0;
    part.each([&](int64_t, const Vector& v) {
#pragma unroll
      for (int e = 0; e < kWidth; ++e) square += static_cast<double>(v[e]) * v[e];
    });
    square = simt::block_sum(square, scratch) / static_cast<double>(columns);
    factor_ = static_cast<float>(1 / sqrt(square + norm.eps));
  }
  __device__ __forceinline__ Vector operator()(int64_t column, Vector v) const {
    if (!weight_) return v;
    const auto weight = simt::load<kWidth>(weight_ + column);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) v[e] = v[e] * factor_ * weight[e];
    return v;
  }

 private:
  const float* weight_;
  float factor_ = 1;
};

}  // namespace hone::cuda
