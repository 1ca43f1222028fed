// One rank's part of a model, for tensor parallelism (Shoeybi et al., "Megatron-LM", 2019): of each
// pair of products the first is cut by its outputs, the second by its inputs, so that a rank goes
// from one to the other alone. Its part of every sum of the second is then added to the others':
// twice a layer.
//
//   q, k, v         rows of whole heads             output  the columns of these heads
//   gate, up        rows                            down    the same columns
//   head            rows, of the vocabulary         norms, embeddings: whole
//
// A rank has the bias of a product cut by its inputs only where it is the first.
#pragma once

#include <memory>

#include "libcommon/model/weights.h"
#include "libcommon/ranks/shard.h"

namespace hone {

// Views of `whole`, which the part keeps alive; only what cannot be cut in place is copied: scales,
// zero points and 2:4 positions of matrices cut by columns. spec has the part's heads and ffn
// width. Throws Error(kUsage) with the figures where heads, groups or blocks cannot be divided.
std::shared_ptr<const LoadedModel> shard_model(std::shared_ptr<const LoadedModel> whole,
                                               const Shard& shard);

// Rows of a matrix, in place.
WeightView rows_of(WeightView view, const Range& rows);

// Columns between which a matrix can be cut: none of its blocks, words, groups and quadruples is
// divided.
int64_t column_unit(const WeightView& view);

// Columns of a matrix, ends on column_unit(): the payload in place, the side arrays in `kept`.
using SideArrays = std::vector<std::unique_ptr<std::byte[]>>;
WeightView columns_of(const WeightView& view, const Range& columns, SideArrays& kept);

}  // namespace hone
