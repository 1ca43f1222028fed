// Attention over the cache, by one of two kernels.
#include "kernels/check.h"
#include "kernels/cuda/attention.cuh"

namespace hone::cuda {

namespace {

// Up to so many tokens each reads the cache for itself: they may be of as many sequences.
constexpr int64_t kDecodeTokens = 64;

}  // namespace

void attention(BackendContext& opaque, const AttentionArgs& args) {
  if (args.tokens == 0) return;
  CHECK(args.kv_heads > 0 && args.heads % args.kv_heads == 0);
  CHECK(args.head_dim <= kMaxHeadDim && args.capacity % kKvTile == 0);
  if (args.tokens > kDecodeTokens && prefill_attention(own(opaque), args)) return;
  decode_attention(own(opaque), args);
}

}  // namespace hone::cuda
