// Keys and values into the cache, by the definition of its format.
#include "kernels/ref/ref_ops.h"

namespace hone::ref {

void kv_store(BackendContext&, const KvStoreArgs& args) {
  CHECK(args.capacity % kKvTile == 0);
  const int64_t dim = args.head_dim;
  for (int64_t t = 0; t < args.tokens; ++t) {
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
}

}  // namespace hone::ref
