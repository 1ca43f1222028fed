// 2:4 matrices as weights.h places them, made dense again: for products of many tokens, and rows of
// a table.
#pragma once

#include "kernels/cuda/cuda_ops.h"

namespace hone::cuda {

// Bytes of the dense matrix, a multiple of 256.
int64_t dense_bytes(const WeightView& sparse);
// Writes it to `memory`, 256-byte aligned, and returns its view.
WeightView expand(Context& context, const WeightView& sparse, std::byte* memory);
void embed_sparse(Context& context, const EmbedArgs& args);

}  // namespace hone::cuda
