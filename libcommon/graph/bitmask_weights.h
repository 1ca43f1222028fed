// Dense matrices that hold many zeros, packed by bitmasks (tensor_view.h) where a backend
// multiplies them faster so: any pruned model runs sparse, whatever file it came in.
#pragma once

#include <vector>

#include "libcommon/graph/buffer.h"
#include "libcommon/graph/graph.h"
#include "libcommon/graph/weight_table.h"

namespace hone {

// What a packed matrix's view points to.
struct BitmaskMatrix {
  Buffer payload;
  Buffer mask;
  std::vector<int64_t> row_offsets;
  int64_t bytes = 0;  // of all three
};

// Packs those matrices of the products in `graph` whose share of zeros reaches the backend's
// least_zeros(), and lets the table point to them. A sample of rows tells which matrices are worth
// counting, so that a dense model costs no pass over its weights. `threads` as SessionOptions.
std::vector<BitmaskMatrix> pack_bitmasks(Backend& backend, const Graph& graph, int threads,
                                         WeightTable& table);

}  // namespace hone
