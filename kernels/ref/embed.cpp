// Rows of a table, by token id.
#include "kernels/codec/codec.h"
#include "kernels/ref/ref_ops.h"

namespace hone::ref {

void embed(BackendContext&, const EmbedArgs& args) {
  for (int64_t t = 0; t < args.tokens; ++t) {
    CHECK(args.ids[t] >= 0 && args.ids[t] < args.table.rows);
    decode_weight_row(args.table, args.ids[t], args.out + t * args.table.columns);
  }
}

}  // namespace hone::ref
