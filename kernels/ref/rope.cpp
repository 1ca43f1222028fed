// Rotary position embedding, rotate-half form (Su et al. 2021, RoFormer).
#include "kernels/ref/ref_ops.h"

namespace hone::ref {

void rope(BackendContext&, const RopeArgs& args) {
  const int64_t half = args.rotary / 2;
  for (int64_t t = 0; t < args.tokens; ++t) {
    for (int64_t h = 0; h < args.heads; ++h) {
      float* const x = args.x + (t * args.heads + h) * args.head_dim;
      for (int64_t i = 0; i < half; ++i) {
        const double angle = args.positions[t] * args.inv_freq[i];
        const double cosine = std::cos(angle) * args.attention_factor;
        const double sine = std::sin(angle) * args.attention_factor;
        const double a = x[i];
        const double b = x[i + half];
        x[i] = static_cast<float>(a * cosine - b * sine);
        x[i + half] = static_cast<float>(b * cosine + a * sine);
      }
    }
  }
}

namespace {

// Heads, in place, before they turn.
void normalise(BackendContext& context, const InputNorm& norm, const RopeArgs& heads) {
  if (!norm.weight) return;
  rms_norm(context, {.x = heads.x,
                     .weight = norm.weight,
                     .out = heads.x,
                     .rows = heads.tokens * heads.heads,
                     .dim = heads.head_dim,
                     .eps = norm.eps});
}

}  // namespace

void rope_kv_store(BackendContext& context, const RopeKvStoreArgs& args) {
  normalise(context, args.norm_q, args.rope_q);
  normalise(context, args.norm_k, args.rope_k);
  rope(context, args.rope_q);
  rope(context, args.rope_k);
  kv_store(context, args.store);
}

}  // namespace hone::ref
