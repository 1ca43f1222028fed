// Keys and values into the cache, by the definition of its format; tokens in parallel.
#include <algorithm>

#include "kernels/check.h"
#include "kernels/cpu/cpu_ops.h"

namespace hone::cpu {
namespace {

constexpr int64_t kRangeElements = 16 * 1024;  // elements worth handing to a thread

void store_token(const KvStoreArgs& args, int64_t t) {
  const int64_t dim = args.head_dim;
  const int64_t position = args.positions[t];
  CHECK(position >= 0 && position < args.capacity);
  for (int64_t h = 0; h < args.kv_heads; ++h) {
    const int64_t from = (t * args.kv_heads + h) * dim;
    const int64_t row = args.sequences[t] * args.kv_heads + h;
    const int64_t tile = kv_tile_offset(args.type, dim, args.capacity, row, position);
    encode_key(args.type, args.k + from, dim, position % kKvTile, args.keys + tile);
    encode_value(args.type, args.v + from, dim, position % kKvTile, args.values + tile);
  }
}

void kv_store(BackendContext& opaque, const KvStoreArgs& args) {
  CHECK(args.capacity % kKvTile == 0);
  const int64_t work = std::max<int64_t>(1, 2 * args.kv_heads * args.head_dim);
  const int64_t grain = std::max<int64_t>(1, kRangeElements / work);
  own(opaque).pool.parallel_for(args.tokens, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) store_token(args, t);
  });
}

}  // namespace

void (*choose_kv_store())(BackendContext&, const KvStoreArgs&) { return &kv_store; }

}  // namespace hone::cpu
