// Keys and values into the cache.
#include "kernels/cuda/kv_cache.cuh"

namespace hone::cuda {

void kv_store(BackendContext& opaque, const KvStoreArgs& args) {
  run(own(opaque), store_pass(args));
}

}  // namespace hone::cuda
