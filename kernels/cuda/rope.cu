// Rotary position embedding, rotate-half form (Su et al. 2021, RoFormer), and the pass that also
// stores keys and values: all that lies between the three products and the attention, with norms of
// heads too. A warp takes one head vector; a block the same token's heads, so that they share its
// angles.
#include <cmath>

#include "kernels/check.h"
#include "kernels/cuda/kv_cache.cuh"

namespace hone::cuda {
namespace {

using namespace simt;

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kPerLane = static_cast<int>(kMaxHeadDim) / kWarpSize;

// Sine and cosine of any angle, in double: at position 100,000 a float angle is off by 0.004. The
// angle is brought to [-pi/4, pi/4], pi/2 in two pieces; there the series' next terms are below
// 1e-15.
__device__ __forceinline__ Vec<float, 2> rotation(double angle, double factor) {
  const double turns = rint(angle * 0.63661977236758134308);  // 2 / pi
  double r = fma(-turns, 1.57079632679489655800, angle);
  r = fma(-turns, 6.12323399573676603587e-17, r);
  const double s = r * r;
  const double sine =
      r +
      r * s *
          (-1.0 / 6 +
           s * (1.0 / 120 + s * (-1.0 / 5040 + s * (1.0 / 362880 + s * (-1.0 / 39916800 +
                                                                        s * (1.0 / 6227020800))))));
  const double cosine =
      1 + s * (-0.5 +
               s * (1.0 / 24 + s * (-1.0 / 720 +
                                    s * (1.0 / 40320 +
                                         s * (-1.0 / 3628800 +
                                              s * (1.0 / 479001600 + s * (-1.0 / 87178291200)))))));
  const int quarter = static_cast<int>(static_cast<int64_t>(turns) & 3);
  const double c = quarter & 1 ? sine : cosine;
  const double d = quarter & 1 ? cosine : sine;
  Vec<float, 2> out;
  out[0] = static_cast<float>((quarter == 1 || quarter == 2 ? -c : c) * factor);
  out[1] = static_cast<float>((quarter >= 2 ? -d : d) * factor);
  return out;
}

// What normalises a head vector, of which a lane has the elements `x`. Statistics as in norm.cu.
struct HeadNorm {
  const float* weight;  // null: nothing does
  float factor;

  __device__ __forceinline__ HeadNorm(const InputNorm& norm, const float (&x)[kPerLane],
                                      int64_t head_dim)
      : weight(norm.weight), factor(1) {
    if (!weight) return;
    double square = 0;
#pragma unroll
    for (int j = 0; j < kPerLane; ++j) square += static_cast<double>(x[j]) * x[j];
    square = warp_sum(square) / static_cast<double>(head_dim);
    factor = static_cast<float>(1 / sqrt(square + norm.eps));
  }
  __device__ __forceinline__ float value(float x, int e) const {
    return weight ? x * factor * weight[e] : x;
  }
};

// A lane's elements of a head vector, lane, lane + 32, ..., normalised and turned; zeros beyond
// head_dim. `angles`: null, or cosine and sine for each of the first rotary / 2 elements.
__device__ __forceinline__ void read_head(const float* x, const HeadsPass& pass,
                                          const InputNorm& norm_of_heads,
                                          const Vec<float, 2>* angles, float (&out)[kPerLane]) {
  const int dim = static_cast<int>(pass.head_dim);
  const int half = angles ? static_cast<int>(pass.rotary / 2) : 0;
#pragma unroll
  for (int j = 0; j < kPerLane; ++j) {
    const int e = lane_id() + kWarpSize * j;
    out[j] = e < dim ? x[e] : 0.0f;
  }
  const HeadNorm norm(norm_of_heads, out, pass.head_dim);
#pragma unroll
  for (int j = 0; j < kPerLane; ++j) {
    const int e = lane_id() + kWarpSize * j;
    if (e < dim) out[j] = norm.value(out[j], e);
    if (e >= 2 * half) continue;
    const bool first = e < half;
    const int other = first ? e + half : e - half;
    const float partner = norm.value(x[other], other);
    const Vec<float, 2> turn = angles[first ? e : other];
    out[j] = out[j] * turn[0] + partner * (first ? -turn[1] : turn[1]);
  }
}

__device__ __forceinline__ void write_head(const float (&x)[kPerLane], int64_t head_dim,
                                           float* out) {
#pragma unroll
  for (int j = 0; j < kPerLane; ++j) {
    const int e = lane_id() + kWarpSize * j;
    if (e < head_dim) out[e] = x[j];
  }
}

template <class T>
__device__ __forceinline__ void store_row(const float (&x)[kPerLane], int width, T* row) {
#pragma unroll
  for (int j = 0; j < kPerLane; ++j) {
    const int e = lane_id() + kWarpSize * j;
    if (e < width) row[e] = T(x[j]);
  }
}

// kv_tile.h tells how: scale = largest / 127, NaN where an element is not finite.
__device__ __forceinline__ void store_integers(const float (&x)[kPerLane], int width, int8_t* row,
                                               float* scale) {
  float largest = 0;
  bool finite = true;
#pragma unroll
  for (int j = 0; j < kPerLane; ++j) {
    const float magnitude = fabsf(x[j]);
    finite = finite && magnitude < INFINITY;
    largest = fmaxf(largest, magnitude);
  }
  largest = warp_max(largest);
  finite = warp_ballot(!finite) == 0;
  const float step = finite ? largest / 127.0f : NAN;
  const float inverse = step >= 0x1p-126f ? 1.0f / step : 0.0f;
#pragma unroll
  for (int j = 0; j < kPerLane; ++j) {
    const int e = lane_id() + kWarpSize * j;
    const float whole = finite ? rintf(x[j] * inverse) : 0.0f;
    if (e < width) row[e] = static_cast<int8_t>(fminf(fmaxf(whole, -127.0f), 127.0f));
  }
  if (lane_id() == 0) *scale = step;
}

__device__ __forceinline__ void store_head(const float (&x)[kPerLane], const HeadsPass& pass,
                                           int64_t token, int64_t kv_head, std::byte* cache) {
  const int64_t position = pass.positions[token];
  const int64_t row = pass.sequences[token] * pass.kv_heads + kv_head;
  const int width = static_cast<int>(kv_width(pass.head_dim));
  const auto type = static_cast<DType>(pass.type);
  const int64_t element = type == DType::kF32 ? 4 : type == DType::kI8 ? 1 : 2;
  const int64_t scales = type == DType::kI8 ? kKvTile * 4 : 0;
  const int64_t tile = kKvTile * width * element + scales;
  std::byte* const at = cache + (row * (pass.capacity / kKvTile) + position / kKvTile) * tile;
  std::byte* const vector = at + position % kKvTile * width * element;
  switch (type) {
    case DType::kF16:
      return store_row(x, width, reinterpret_cast<f16*>(vector));
    case DType::kBF16:
      return store_row(x, width, reinterpret_cast<bf16*>(vector));
    case DType::kI8:
      return store_integers(x, width, reinterpret_cast<int8_t*>(vector),
                            reinterpret_cast<float*>(at + kKvTile * width) + position % kKvTile);
    default:
      return store_row(x, width, reinterpret_cast<float*>(vector));
  }
}

// One head vector of a token, and what becomes of it.
struct Head {
  const float* x;
  float* turned;  // where it lies rotated; null: it does not rotate
  InputNorm norm;
  std::byte* cache;  // null: a query
  int64_t kv_head;
};
__device__ __forceinline__ Head head_of(const HeadsPass& pass, int64_t token, int64_t number) {
  if (number < pass.heads) {
    float* const q = pass.queries + (token * pass.heads + number) * pass.head_dim;
    return {q, q, pass.norm_q, nullptr, 0};
  }
  const int64_t kv = number - pass.heads, kv_head = kv % pass.kv_heads;
  const int64_t at = (token * pass.kv_heads + kv_head) * pass.head_dim;
  if (kv >= pass.kv_heads) return {pass.v + at, nullptr, {}, pass.values, kv_head};
  float* const turned = pass.rotated_k ? pass.rotated_k + at : nullptr;
  return {pass.k + at, turned, pass.norm_k, pass.keys, kv_head};
}

// Block (token, 8 of its heads: queries, then keys, then values).
__global__ void __launch_bounds__(kThreads) heads_kernel(const HeadsPass pass) {
  SIMT_SHARED(angles, Vec<float, 2>[kMaxHeadDim / 2]);
  start_next();
  const int64_t token = blockIdx.x;
  const double position = pass.positions[token];
  for (int i = static_cast<int>(threadIdx.x); i < pass.rotary / 2; i += kThreads) {
    angles[i] = rotation(position * pass.inv_freq[i], pass.attention_factor);
  }
  wait_for_previous();
  sync_block();

  const int64_t number = static_cast<int64_t>(blockIdx.y) * kWarps + warp_id();
  if (number >= pass.heads + 2 * pass.kv_heads) return;
  const Head head = head_of(pass, token, number);
  float x[kPerLane];
  read_head(head.x, pass, head.norm, head.turned ? angles : nullptr, x);
  sync_warp();  // every lane has read what others now write
  if (head.turned) write_head(x, pass.head_dim, head.turned);
  if (head.cache) store_head(x, pass, token, head.kv_head, head.cache);
}

}  // namespace

void run(Context& context, const HeadsPass& pass) {
  const int64_t heads = pass.heads + 2 * pass.kv_heads;
  if (pass.tokens == 0 || heads == 0) return;
  CHECK(pass.head_dim <= kMaxHeadDim && pass.rotary <= pass.head_dim);
  CHECK(pass.kv_heads == 0 || pass.capacity % kKvTile == 0);
  const Dim3 grid = {static_cast<unsigned>(pass.tokens),
                     static_cast<unsigned>((heads + kWarps - 1) / kWarps)};
  launch(heads_kernel, grid, {kThreads}, 0, context.stream, pass);
}

void rope(BackendContext& opaque, const RopeArgs& args) {
  run(own(opaque), {.tokens = args.tokens,
                    .head_dim = args.head_dim,
                    .positions = args.positions,
                    .queries = args.x,
                    .heads = args.heads,
                    .rotary = args.rotary,
                    .inv_freq = args.inv_freq,
                    .attention_factor = args.attention_factor});
}

void rope_kv_store(BackendContext& opaque, const RopeKvStoreArgs& args) {
  const RopeArgs& q = args.rope_q;
  const RopeArgs& k = args.rope_k;
  CHECK(q.head_dim == k.head_dim && q.rotary == k.rotary && q.inv_freq == k.inv_freq &&
        q.attention_factor == k.attention_factor && k.x == args.store.k);
  HeadsPass pass = store_pass(args.store);
  pass.queries = q.x;
  pass.heads = q.heads;
  pass.rotary = q.rotary;
  pass.inv_freq = q.inv_freq;
  pass.attention_factor = q.attention_factor;
  pass.rotated_k = k.x;
  pass.norm_q = args.norm_q;
  pass.norm_k = args.norm_k;
  run(own(opaque), pass);
}

}  // namespace hone::cuda
