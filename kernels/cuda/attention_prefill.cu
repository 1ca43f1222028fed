// Attention of many tokens (Dao 2023, FlashAttention-2): a block takes neighbouring tokens with all
// query heads of one kv head, row = (token, head), and walks over the keys that they see, 64 at a
// time; scores and sums stay in the registers of tensor cores' products. While keys are multiplied
// values arrive, and the other way round. Keys that some row does not see are masked; blocks that
// no row sees are left out. Tokens of several sequences follow one another as runs.
#include "kernels/check.h"
#include "kernels/cuda/attention_prefill_sums.cuh"

namespace hone::cuda {
namespace {

using namespace prefill_detail;

constexpr int kNowhere = 0x7fffffff;

// Zero times infinity is not zero: values that are not finite must not meet the weights of rows
// that do not see them. Where rows see different keys such values are taken out of the products,
// and added to the results in the end (add_infinities).
template <Route kRoute, int kWidth>
__device__ __forceinline__ bool has_infinities(const std::byte* values) {
  using S = Shape<kRoute, kWidth>;
  uint32_t found = 0;
#pragma unroll 4
  for (int at = static_cast<int>(threadIdx.x) * 16; at < S::kKeyPlane; at += kThreads * 16) {
    const auto words = load<4>(reinterpret_cast<const uint32_t*>(values + at));
#pragma unroll
    for (int i = 0; i < 4; ++i) found |= (words[i] & 0x7c007c00u) + 0x04000400u;
  }
  return (found & 0x80008000u) != 0;
}

template <Route kRoute, int kWidth>
__device__ __forceinline__ void take_out_infinities(std::byte* values) {
  using S = Shape<kRoute, kWidth>;
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x) * 2; at < S::kKeyPlane; at += kThreads * 2) {
    auto& v = *reinterpret_cast<f16*>(values + at);
    if (!(fabsf(static_cast<float>(v)) < INFINITY)) v = f16(0.0f);
  }
}

__device__ __forceinline__ float read_value(const Attention& args, const Stored& stored,
                                            const std::byte* cache, int position, int element) {
  const std::byte* const tile = cache + static_cast<int64_t>(position / kTile) * stored.tile_bytes;
  const int at = position % kTile * args.width + element;
  switch (static_cast<DType>(stored.type)) {
    case DType::kF32:
      return reinterpret_cast<const float*>(tile)[at];
    case DType::kF16:
      return static_cast<float>(reinterpret_cast<const f16*>(tile)[at]);
    case DType::kBF16:
      return static_cast<float>(reinterpret_cast<const bf16*>(tile)[at]);
    default:
      break;
  }
  return reinterpret_cast<const float*>(tile + kTile * args.width)[position % kTile];
}

// Adds the values from position `first` on that are not finite to the rows that see them.
__device__ __forceinline__ void add_infinities(const Attention& args, const Stored& stored,
                                               const Block& block, int rows, int first) {
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x); at < rows * args.dim; at += kThreads) {
    const int flat = block.row0 + at / args.dim;
    const int element = at % args.dim;
    const int token = flat / args.group;
    if (token >= args.tokens) continue;
    const int64_t sequence = args.sequences[token];
    const int64_t row = sequence * args.kv_heads + block.kv_head;
    const std::byte* const cache =
        stored.values + row * (args.capacity / kTile) * stored.tile_bytes;
    const int last = args.positions[token];
    int key = args.window > 0 && last >= args.window ? last - args.window + 1 : 0;
    key = key > first ? key : first;
    float sum = 0;
#pragma unroll 1
    for (; key <= last; ++key) {
      const float v = read_value(args, stored, cache, key, element);
      if (!(fabsf(v) < INFINITY)) sum += v;
    }
    const int64_t to =
        static_cast<int64_t>(token) * args.heads + block.kv_head * args.group + flat % args.group;
    args.out[to * args.dim + element] += sum;
  }
}

// Block (kv head, rows from the last on: those of most keys first).
template <Route kRoute, int kWidth>
__global__ void __launch_bounds__(kThreads)
    prefill_kernel(const Attention args, const Stored stored) {
  using S = Shape<kRoute, kWidth>;
  SIMT_SHARED(sequences, int[S::kBlockRows + 1]);
  SIMT_SHARED(positions, int[S::kBlockRows + 1]);
  SIMT_SHARED(views, RowView[S::kBlockRows]);
  SIMT_SHARED(infinite, int[2]);  // whether this block of keys has some; the first such block
  SIMT_SHARED(walk, Walk);
  std::byte* const queries = dynamic_shared<std::byte>();
  std::byte* const keys = queries + S::kPlanes * S::kQueryPlane;
  std::byte* const values = keys + S::kPlanes * S::kKeyPlane;
  std::byte* const key_stage = values + S::kPlanes * S::kKeyPlane;
  std::byte* const value_stage = key_stage + S::kStage;
  start_next();

  {  // what follows reads it from shared memory
    const Block block = block_of(args, S::kBlockRows);
    for (int t = static_cast<int>(threadIdx.x); t < block.tokens; t += kThreads) {
      sequences[t] = args.sequences[block.token0 + t];
      positions[t] = args.positions[block.token0 + t];
    }
    if (threadIdx.x == 0) {
      infinite[0] = 0;
      infinite[1] = kNowhere;
      walk.block = block;
    }
    wait_for_previous();
    read_queries<kRoute, kWidth>(args, block, queries);
  }

  const RowView* const my_views = views + warp_id() * 16 * S::kRowTiles + lane_id() / 4;
  Sums<kRoute, kWidth> sums = {};
#pragma unroll
  for (auto& tile : sums.largest) tile[0] = tile[1] = -INFINITY;
  sync_block();
  for (int begin = 0; begin < walk.block.tokens;) {
    {
      const Run run = find_run(args, sequences, positions, begin, walk.block.tokens);
      view_rows(args, walk.block, run, positions, S::kBlockRows, views);
      if (threadIdx.x == 0) enter_run(args, stored, run, sequences[run.begin], walk);
    }
    sync_block();
    int first = walk.run.first / S::kKeys * S::kKeys;
    ask_for_rows<kRoute, kWidth>(args, stored, walk, stored.keys, first, keys, key_stage);
    if constexpr (S::kStaged) {
      ask_for_rows<kRoute, kWidth>(args, stored, walk, stored.values, first, values, value_stage);
    }
#pragma unroll 1
    for (; first <= walk.run.highest; first += S::kKeys) {
      const int next = first + S::kKeys;
      // Keys.
      if constexpr (S::kStaged) {
        cp_async_wait<1>();
        convert_rows<kRoute, kWidth>(args, stored, walk, stored.keys, first, key_stage, keys);
        ask_for_rows<kRoute, kWidth>(args, stored, walk, stored.keys, next, keys, key_stage);
      } else {
        cp_async_wait<0>();
      }
      sync_block();  // keys are there; values are no longer read
      if constexpr (!S::kStaged) {
        ask_for_rows<kRoute, kWidth>(args, stored, walk, stored.values, first, values, value_stage);
      }
      Scores<kRoute, kWidth> s = {};
      multiply_keys<kRoute, kWidth>(queries, keys, s);
      float scale = args.scale;
      if constexpr (S::kStaged) {
        if (args.slopes || !(scale > 0)) {
          add_slopes<kRoute, kWidth>(scale, my_views, first, s);
          scale = 1;
        }
      }
      const bool masked = next - 1 > walk.open_until || first < walk.open_from;
      if (masked) mask<kRoute, kWidth>(args.window, my_views, first, s);
      soften<kRoute, kWidth>(scale, s, sums);
      Weights<kRoute, kWidth> weights;
      pack_weights<kRoute, kWidth>(s, weights);

      // Values.
      if constexpr (S::kStaged) {
        cp_async_wait<1>();
        convert_rows<kRoute, kWidth>(args, stored, walk, stored.values, first, value_stage, values);
        ask_for_rows<kRoute, kWidth>(args, stored, walk, stored.values, next, values, value_stage);
      } else {
        cp_async_wait<0>();
      }
      sync_block();  // values are there; keys are no longer read
      if constexpr (!S::kStaged) {
        ask_for_rows<kRoute, kWidth>(args, stored, walk, stored.keys, next, keys, key_stage);
      }
      if (masked || S::kExact) {  // an infinity times a low half of 0 is not a number either
        if (has_infinities<kRoute, kWidth>(values)) atomic_max(&infinite[0], 1);
        sync_block();
        if (infinite[0]) {
          take_out_infinities<kRoute, kWidth>(values);
          sync_block();
          if (threadIdx.x == 0) {
            infinite[0] = 0;
            infinite[1] = first < infinite[1] ? first : infinite[1];
          }
        }
      }
      multiply_values<kRoute, kWidth>(values, weights, sums);
    }
    cp_async_wait<0>();
    begin = walk.run.end;
    sync_block();
  }
  write_out<kRoute, kWidth>(args, walk.block, sums);
  if (infinite[1] == kNowhere) return;
  sync_block();
  add_infinities(args, stored, walk.block, S::kBlockRows, infinite[1]);
}

// False where the device has too little shared memory.
template <Route kRoute, int kWidth>
bool launch_prefill(Context& context, const AttentionArgs& args) {
  using S = Shape<kRoute, kWidth>;
  if (S::kBytes + S::kStatic > static_cast<int64_t>(context.device.shared_bytes)) return false;
  const int64_t bytes = info(args.type).block_bytes;
  const Stored stored = {.keys = args.keys,
                         .values = args.values,
                         .type = static_cast<int>(args.type),
                         .log_element = bytes == 4 ? 2 : static_cast<int>(bytes - 1),
                         .tile_bytes = static_cast<int>(kv_tile_bytes(args.type, args.head_dim))};
  const int64_t rows = args.tokens * (args.heads / args.kv_heads);
  const Dim3 grid = {static_cast<unsigned>(args.kv_heads),
                     static_cast<unsigned>((rows + S::kBlockRows - 1) / S::kBlockRows)};
  launch(prefill_kernel<kRoute, kWidth>, grid, {kThreads}, static_cast<size_t>(S::kBytes),
         context.stream, attention_of(args), stored);
  return true;
}

template <Route kRoute>
bool choose_width(Context& context, const AttentionArgs& args) {
  if (args.head_dim <= 64) return launch_prefill<kRoute, 64>(context, args);
  if (args.head_dim <= 128) return launch_prefill<kRoute, 128>(context, args);
  return launch_prefill<kRoute, 256>(context, args);
}

}  // namespace

bool prefill_attention(Context& context, const AttentionArgs& args) {
  if (args.type == DType::kF32 || context.exact) return choose_width<Route::kExact>(context, args);
  if (args.type == DType::kF16 && !args.alibi_slopes && args.scale > 0)
    return choose_width<Route::kDirect>(context, args);
  return choose_width<Route::kConverted>(context, args);
}

}  // namespace hone::cuda
