// How keys and values lie in this backend's caches, and how they get there. Sizes and the order of
// tiles are those of kv_tile.h; inside a tile both keys and values are rows, a row of kv_width
// elements to a position, padded with zeros, then the 16 scales of I8:
//
//   p0   e0 e1 .. e(head_dim-1) 0 .. 0
//   ..
//   p15  e0 e1 .. e(head_dim-1) 0 .. 0
//   [s0 .. s15, f32, I8 only]
//
// So a head's vectors are contiguous rows of a multiple of 16 bytes, as tensor cores and 16-byte
// loads want them.
#pragma once

#include "kernels/cuda/cuda_ops.h"

namespace hone::cuda {

inline constexpr int64_t kMaxHeadDim = 256;

// One pass over the heads of every token: normalises and rotates queries and keys in place, and
// stores keys and values. What is absent has no heads.
struct HeadsPass {
  int64_t tokens = 0;
  int64_t head_dim = 0;
  const int32_t* positions = nullptr;

  float* queries = nullptr;  // [tokens, heads, head_dim]
  int64_t heads = 0;
  int64_t rotary = 0;  // 0: nothing is rotated
  const double* inv_freq = nullptr;
  double attention_factor = 1;
  InputNorm norm_q;  // before rotation
  InputNorm norm_k;

  const float* k = nullptr;  // [tokens, kv_heads, head_dim]
  const float* v = nullptr;
  float* rotated_k = nullptr;  // k, where it is rotated in place
  int64_t kv_heads = 0;
  std::byte* keys = nullptr;
  std::byte* values = nullptr;
  const int32_t* sequences = nullptr;
  int64_t capacity = 0;
  int64_t type = 0;  // a DType, without padding behind it
};
void run(Context& context, const HeadsPass& pass);  // rope.cu

inline HeadsPass store_pass(const KvStoreArgs& args) {
  return {.tokens = args.tokens,
          .head_dim = args.head_dim,
          .positions = args.positions,
          .k = args.k,
          .v = args.v,
          .kv_heads = args.kv_heads,
          .keys = args.keys,
          .values = args.values,
          .sequences = args.sequences,
          .capacity = args.capacity,
          .type = static_cast<int64_t>(args.type)};
}

}  // namespace hone::cuda
