// Rows of a table, by token id.
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/embed.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "hwy/highway.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/decoder-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {

void embed(BackendContext& opaque, const EmbedArgs& args) {
  const Decoder table(args.table);
  const int64_t columns = args.table.columns;
  CHECK(columns > 0);
  const int64_t grain = std::max<int64_t>(1, 32 * 1024 / columns);
  own(opaque).pool.parallel_for(args.tokens, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      CHECK(args.ids[t] >= 0 && args.ids[t] < args.table.rows);
      for (int64_t c = 0; c < columns; c += kChunk) {
        const int64_t chunk_end = std::min(c + kChunk, columns);
        table.decode(args.ids[t], c, chunk_end, args.out + t * columns + c);
      }
    }
  });
}

}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::cpu {
HWY_EXPORT(embed);
CHOOSE_OP(embed, EmbedArgs)
}  // namespace hone::cpu
#endif
