// Attention of few tokens over long caches (Dao et al. 2023, Flash-Decoding): the cache is read
// once, at the speed of memory, by as many blocks as the device runs at a time. A block takes a
// range of one token's positions and up to 8 query heads of one kv head; each of its warps streams
// tiles of 16 positions through shared memory of its own and keeps a softmax of its own. The warps
// of a block, then the blocks of a token, are merged in a fixed order, the latter by the block that
// arrives last. How positions are cut depends on the token's own length and the device alone, so a
// token's bytes do not depend on the others.
#include <algorithm>

#include "kernels/check.h"
#include "kernels/cuda/attention.cuh"

namespace hone::cuda {
namespace {

constexpr int kMaxWarps = 8;
constexpr int kMaxThreads = kMaxWarps * kWarpSize;
constexpr int kRows = 8;          // query heads of a block: rows of high parts in a product
constexpr int kInFlight = 24576;  // bytes of a warp's ring of tiles, about

struct Split {
  int blocks;      // ranges of a token, at most
  int row_blocks;  // blocks of kRows heads in a group
  float* sums;     // [token, kv head, row block, range, kRows, width]: unless there is one range
  Vec<float, 2>* stats;  // [.., kRows]: largest score and sum of weights of each
  unsigned* arrived;     // [token, kv head, row block]
  int64_t first_token;   // of the launch
};

template <DType kType, int kWidth>
struct Ring {
  using Rows = KvRows<kType, kWidth>;
  static constexpr int kStageBytes = 2 * (Rows::kTileBytes + Rows::kScaleBytes);
  static constexpr int kStages = std::clamp(kInFlight / kStageBytes, 2, 8);
  static constexpr int kBytes = kStages * kStageBytes;
  static constexpr int kQueryBytes = kWidth / 16 * kWarpSize * 16;  // once for all warps
  // For the merge: a row's sums, with padding against bank conflicts.
  static constexpr int kSumStride = kWidth + 8;
  static_assert(kBytes >= kRows * kSumStride * 4);
};

// The tiles of a block and of a warp.
struct Range {
  int position;    // of the token
  int first;       // position it attends to
  int first_tile;  // of this warp; kWarps apart
  int count;       // of this warp
  int used;        // ranges of this token
};

__device__ __forceinline__ Range range_of(const Attention& args, const Split& split,
                                          int64_t token) {
  const int warps = static_cast<int>(blockDim.x) / kWarpSize;
  Range range;
  range.position = args.positions[token];
  const bool cut = args.window > 0 && range.position >= args.window;
  range.first = cut ? range.position - args.window + 1 : 0;
  const int begin = range.first / kTile;
  const int tiles = range.position / kTile - begin + 1;
  const int share = (tiles + split.blocks - 1) / split.blocks;
  const int each = share > warps ? share : warps;
  range.used = (tiles + each - 1) / each;
  const int from = static_cast<int>(blockIdx.x) * each + warp_id();
  const int until = tiles < from - warp_id() + each ? tiles : from - warp_id() + each;
  range.first_tile = begin + from;
  range.count = from < until ? (until - from + warps - 1) / warps : 0;
  return range;
}

// The first position of the token's sequence that this step stores.
__device__ __forceinline__ int first_of_step(const Attention& args, int64_t token) {
  const int sequence = args.sequences[token];
  int first = args.positions[token];
  for (int t = lane_id(); t < args.tokens; t += kWarpSize) {
    if (args.sequences[t] == sequence && args.positions[t] < first) first = args.positions[t];
  }
#pragma unroll
  for (int m = kWarpSize / 2; m; m /= 2) {
    const int other = shfl_xor(first, m);
    first = other < first ? other : first;
  }
  return first;
}

// Asks for one tile of keys and values; positions beyond the token's become zeros.
template <DType kType, int kWidth>
__device__ __forceinline__ void ask_for_tile(const Attention& args, int64_t tile_index, int rows,
                                             std::byte* stage) {
  using Rows = KvRows<kType, kWidth>;
  // Of long rows a few at a time: all places at once would stay in registers from tile to tile.
  constexpr int kCopies = kTile * Rows::kRowChunks / kWarpSize;
  const int row_chunks = args.width * Rows::kElement / 16;
  const int64_t offset = tile_index * (kTile * row_chunks * 16 + Rows::kScaleBytes);
#pragma unroll
  for (int side = 0; side < 2; ++side) {
    const std::byte* const from = (side ? args.values : args.keys) + offset;
    std::byte* const to = stage + side * Rows::kTileBytes;
#pragma unroll(kCopies > 8 ? 4 : kCopies)
    for (int i = 0; i < kCopies; ++i) {
      const int at = i * kWarpSize + lane_id();
      const int row = at / Rows::kRowChunks;
      const int chunk = at % Rows::kRowChunks;
      cp_async<16>(to + Rows::place(row, chunk), from + (row * row_chunks + chunk) * 16,
                   chunk < row_chunks && row < rows);
    }
    if constexpr (Rows::kScaleBytes > 0) {
      if (lane_id() < 4) {
        cp_async<16>(stage + 2 * Rows::kTileBytes + side * Rows::kScaleBytes + lane_id() * 16,
                     from + kTile * args.width + lane_id() * 16);
      }
    }
  }
}

// Queries as operands A, [kWidth / 16][lane]: row g < 8 has the high parts of head g, row g + 8 the
// low ones.
template <DType kType, int kWidth>
__device__ __forceinline__ void read_queries(const Attention& args, int64_t first_row, int rows,
                                             Vec<uint32_t, 4>* queries) {
  using Rows = KvRows<kType, kWidth>;
  for (int at = static_cast<int>(threadIdx.x); at < kWidth / 16 * kWarpSize;
       at += static_cast<int>(blockDim.x)) {
    const int lane = at % kWarpSize;
    const int row = lane / 4;
    const float* const q = args.q + (first_row + row) * args.dim;
    float x[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int element = Rows::query_element(at / kWarpSize, lane % 4, i);
      x[i] = row < rows && element < args.dim ? q[element] : 0.0f;
    }
    const SplitPair first = split_pair(x[0], x[1]);
    const SplitPair second = split_pair(x[2], x[3]);
    Vec<uint32_t, 4> fragment;
    fragment[0] = first.high;
    fragment[1] = first.low;
    fragment[2] = second.high;
    fragment[3] = second.low;
    store(&queries[at][0], fragment);
  }
}

// A warp's softmax: head lane / 4; columns as the products leave them.
template <int kWidth>
struct Sums {
  float largest = -INFINITY;
  float weights = 0;  // of this lane's keys
  float o[kWidth / 8][4] = {};
};

// Raises the largest score, and brings what was summed to it. Scores are exponents of 2.
template <int kWidth>
__device__ __forceinline__ float raise(Sums<kWidth>& sums, float largest) {
  largest = fmaxf(largest, shfl_xor(largest, 1));
  largest = fmaxf(largest, shfl_xor(largest, 2));
  largest = fmaxf(largest, sums.largest);
  const float reference = largest == -INFINITY ? 0.0f : largest;
  if (warp_ballot(largest != sums.largest)) {
    const float shrink = fast_exp2(sums.largest - reference);
    sums.weights *= shrink;
#pragma unroll
    for (auto& column : sums.o) {
#pragma unroll
      for (float& x : column) x *= shrink;
    }
    sums.largest = largest;
  }
  return reference;
}

template <DType kType, int kWidth>
__device__ __forceinline__ void attend_to_tile(const std::byte* stage,
                                               const Vec<uint32_t, 4>* queries, const Range& range,
                                               int tile, float scale, float slope,
                                               Sums<kWidth>& sums) {
  using Rows = KvRows<kType, kWidth>;
  const int quad_lane = lane_id() % 4;
  uint32_t high[2][2], low[2][2];

  // Scores of 16 keys: [n][0..1] of high, [n][2..3] of low parts.
  float s[2][4] = {};
#pragma unroll(Rows::kSplit ? 2 : kWidth / 16)
  for (int step = 0; step < kWidth / 16; ++step) {
    const auto fragment = load<4>(&queries[step * kWarpSize + lane_id()][0]);
    const uint32_t a[4] = {fragment[0], fragment[1], fragment[2], fragment[3]};
    Rows::keys(stage, step, high, low);
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      mma<f16>(s[n], a, high[n]);
      if constexpr (Rows::kSplit) mma<f16>(s[n], a, low[n]);
    }
  }

  // Softmax. I8: a value's scale goes into its weight, as an exponent, so that no weight exceeds 1.
  const auto* const scales = reinterpret_cast<const float*>(stage + 2 * Rows::kTileBytes);
  float score[2][2], exponent[2][2];
  float largest = -INFINITY;
#pragma unroll
  for (int n = 0; n < 2; ++n) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int key = 8 * n + 2 * quad_lane + i;
      const int position = tile * kTile + key;
      float x = join_parts(s[n][i], s[n][i + 2]);
      if constexpr (kType == DType::kI8) x *= scales[key];
      x = x * scale + slope * static_cast<float>(position - range.position);
      const bool seen = position >= range.first && position <= range.position;
      score[n][i] = seen ? x : -INFINITY;
      exponent[n][i] = score[n][i];
      if constexpr (kType == DType::kI8) {
        const float steps = log2f(scales[kTile + key]);
        exponent[n][i] = seen ? x + (steps < -100.0f ? -100.0f : steps) : -INFINITY;
      }
      largest = fmaxf(largest, exponent[n][i]);
    }
  }
  const float reference = raise(sums, largest);
  uint32_t weights[4];
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    float w[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      w[i] = fast_exp2(exponent[n][i] - reference);
      sums.weights += kType == DType::kI8 ? fast_exp2(score[n][i] - reference) : w[i];
    }
    const SplitPair pair = split_pair(w[0], w[1]);
    weights[2 * n] = pair.high;
    weights[2 * n + 1] = pair.low;
  }

  // Weighted sums of 16 values.
#pragma unroll
  for (int step = 0; step < kWidth / 16; ++step) {
    Rows::values(stage + Rows::kTileBytes, step, high, low);
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      mma<f16>(sums.o[2 * step + n], weights, high[n]);
      if constexpr (Rows::kSplit) mma<f16>(sums.o[2 * step + n], weights, low[n]);
    }
  }
}

// What one warp, or one block, found for a row.
struct Found {
  const Vec<float, 2>* stats;  // of each, stats_stride apart
  int stats_stride;
  const float* sums;
  int64_t sums_stride;
  int count;
};

// Four sums of all, and the statistics that they refer to.
struct Merged {
  float largest = -INFINITY;
  float weights = 0;
  Vec<float, 4> sums = {};
};

__device__ __forceinline__ Merged merge(const Found& found) {
  Merged all;
  for (int i = 0; i < found.count; ++i) {
    all.largest = fmaxf(all.largest, load<2>(&found.stats[i * found.stats_stride][0])[0]);
  }
  const float reference = all.largest == -INFINITY ? 0.0f : all.largest;
#pragma unroll 8
  for (int i = 0; i < found.count; ++i) {
    const auto stats = load<2>(&found.stats[i * found.stats_stride][0]);
    const auto sums = load<4>(found.sums + i * found.sums_stride);
    const float shrink = fast_exp2(stats[0] - reference);
    all.weights += stats[1] * shrink;
#pragma unroll
    for (int e = 0; e < 4; ++e) all.sums[e] += sums[e] * shrink;
  }
  return all;
}

__device__ __forceinline__ void write_out(const Merged& merged, int element, int dim, float* out) {
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    if (element + e < dim) out[element + e] = merged.sums[e] / merged.weights;
  }
}

// A warp's softmax to shared memory, for the merge.
template <DType kType, int kWidth>
__device__ __forceinline__ void leave_sums(const Sums<kWidth>& sums, float* rows,
                                           Vec<float, 2>* stats) {
  using Rows = KvRows<kType, kWidth>;
  const int row = lane_id() / 4;
  float weights = sums.weights;
  weights += shfl_xor(weights, 1);
  weights += shfl_xor(weights, 2);
  if (lane_id() % 4 == 0) stats[row] = {{sums.largest, weights}};
  float* const out = rows + row * Ring<kType, kWidth>::kSumStride;
#pragma unroll
  for (int n = 0; n < kWidth / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      out[Rows::value_element(n / 2, n % 2, 2 * (lane_id() % 4) + i)] =
          join_parts(sums.o[n][i], sums.o[n][i + 2]);
    }
  }
}

// Block (range, kv head and block of its rows, token).
template <DType kType, int kWidth>
__global__ void __launch_bounds__(kMaxThreads, 1)
    decode_kernel(const Attention args, const Split split) {
  using R = Ring<kType, kWidth>;
  SIMT_SHARED(stats, Vec<float, 2>[kMaxWarps][kRows]);
  SIMT_SHARED(last, int);
  start_next();
  const int64_t token = split.first_token + blockIdx.z;
  const Range range = range_of(args, split, token);
  if (static_cast<int>(blockIdx.x) >= range.used) {
    wait_for_previous();
    return;
  }
  const int warps = static_cast<int>(blockDim.x) / kWarpSize;
  const int kv_head = static_cast<int>(blockIdx.y) / split.row_blocks;
  const int row_block = static_cast<int>(blockIdx.y) % split.row_blocks;
  const int rows = args.group - row_block * kRows < kRows ? args.group - row_block * kRows : kRows;
  const int head = kv_head * args.group + row_block * kRows;
  const int64_t first_row = token * args.heads + head;
  auto* const queries = dynamic_shared<Vec<uint32_t, 4>>();
  std::byte* const rings = reinterpret_cast<std::byte*>(queries) + R::kQueryBytes;
  std::byte* const ring = rings + warp_id() * R::kBytes;
  const int64_t tiles = (args.sequences[token] * args.kv_heads + kv_head) * (args.capacity / kTile);
  const auto ask = [&](int i) {
    const int tile = range.first_tile + i * warps;
    if (i < range.count) {
      ask_for_tile<kType, kWidth>(args, tiles + tile, range.position + 1 - tile * kTile,
                                  ring + i % R::kStages * R::kStageBytes);
    }
    cp_async_commit();
  };

  // Positions that earlier steps stored do not wait for the kernel ahead, which stores this step's.
  const int older = args.tokens == 1 ? range.position : first_of_step(args, token);
  int asked = 0;
  while (asked < R::kStages - 1 && (range.first_tile + asked * warps + 1) * kTile <= older) {
    ask(asked++);
  }
  wait_for_previous();
  while (asked < R::kStages - 1) ask(asked++);
  read_queries<kType, kWidth>(args, first_row, rows, queries);
  sync_block();

  // This warp's tiles.
  const int my_row = lane_id() / 4 < rows ? lane_id() / 4 : 0;
  const float slope = args.slopes ? args.slopes[head + my_row] * kLog2E : 0.0f;
  Sums<kWidth> sums;
  for (int i = 0; i < range.count; ++i) {
    cp_async_wait<R::kStages - 2>();
    sync_warp();  // the tile is there for every lane, and no lane still reads the one before
    ask(i + R::kStages - 1);
    attend_to_tile<kType, kWidth>(ring + i % R::kStages * R::kStageBytes, queries, range,
                                  range.first_tile + i * warps, args.scale, slope, sums);
  }
  cp_async_wait<0>();
  sync_warp();

  // The warps of the block.
  leave_sums<kType>(sums, reinterpret_cast<float*>(ring), stats[warp_id()]);
  sync_block();
  const int64_t place = int64_t{blockIdx.z} * gridDim.y + blockIdx.y;
  for (int at = static_cast<int>(threadIdx.x); at < rows * (kWidth / 4);
       at += static_cast<int>(blockDim.x)) {
    const int row = at / (kWidth / 4);
    const int element = at % (kWidth / 4) * 4;
    const auto* const left = reinterpret_cast<const float*>(rings) + row * R::kSumStride + element;
    const Merged merged = merge({&stats[0][row], kRows, left, R::kBytes / 4, warps});
    if (range.used == 1) {
      write_out(merged, element, args.dim, args.out + (first_row + row) * args.dim);
      continue;
    }
    const int64_t to = (place * split.blocks + blockIdx.x) * kRows + row;
    store(split.sums + to * kWidth + element, merged.sums);
    if (element == 0) split.stats[to] = {{merged.largest, merged.weights}};
  }
  if (range.used == 1) return;

  // The blocks of the token.
  sync_block();
  if (threadIdx.x == 0) {
    thread_fence();  // what the block wrote, before the count
    last = atomic_add(&split.arrived[place], 1u) + 1 == static_cast<unsigned>(range.used);
  }
  sync_block();
  if (!last) return;
  thread_fence();
  if (threadIdx.x == 0) split.arrived[place] = 0;
  for (int at = static_cast<int>(threadIdx.x); at < rows * (kWidth / 4);
       at += static_cast<int>(blockDim.x)) {
    const int row = at / (kWidth / 4);
    const int element = at % (kWidth / 4) * 4;
    const int64_t from = place * split.blocks * kRows + row;
    write_out(merge({&split.stats[from], kRows, split.sums + from * kWidth + element,
                     kRows * kWidth, range.used}),
              element, args.dim, args.out + (first_row + row) * args.dim);
  }
}

// Ranges of a token, so that the blocks of one token fill the device nearly whole, once or a few
// times.
int ranges(int multiprocessors, int64_t blocks_of_a_range) {
  int best = 1;
  double best_use = 0;
  for (int times = 1; times <= 4; ++times) {
    const auto count = static_cast<int>(times * multiprocessors / blocks_of_a_range);
    const double use = static_cast<double>(count * blocks_of_a_range) / (times * multiprocessors);
    if (use > best_use + 0.05) {
      best = count;
      best_use = use;
    }
  }
  return best;
}

template <DType kType, int kWidth>
void launch_decode(Context& context, const AttentionArgs& args, Split split) {
  using R = Ring<kType, kWidth>;
  const auto room = static_cast<int>(context.device.shared_bytes) - R::kQueryBytes - 1024;
  const int warps = std::clamp(room / R::kBytes, 1, std::min(decode_cut.warps, kMaxWarps));
  const int64_t rows = args.kv_heads * split.row_blocks;
  const int64_t most = (args.capacity / kTile + warps - 1) / warps;
  split.blocks = ranges(context.device.multiprocessors * decode_cut.times, rows);
  const auto grid_blocks = static_cast<unsigned>(std::min<int64_t>(split.blocks, most));
  const int64_t parts_of_token = rows * split.blocks * kRows;
  const int64_t tokens = std::clamp<int64_t>(
      decode_cut.sum_bytes / (parts_of_token * (kWidth + 2) * 4), 1, args.tokens);
  const auto parts = static_cast<size_t>(tokens * parts_of_token);
  split.sums = reinterpret_cast<float*>(context.scratch.reserve(parts * (kWidth + 2) * 4));
  split.stats = reinterpret_cast<Vec<float, 2>*>(split.sums + parts * kWidth);
  split.arrived = reinterpret_cast<unsigned*>(
      context.counters.reserve(static_cast<size_t>(tokens * rows) * sizeof(unsigned)));
  for (int64_t first = 0; first < args.tokens; first += tokens) {
    split.first_token = first;
    launch(decode_kernel<kType, kWidth>,
           {grid_blocks, static_cast<unsigned>(rows),
            static_cast<unsigned>(std::min(tokens, args.tokens - first))},
           {static_cast<unsigned>(warps * kWarpSize)},
           static_cast<size_t>(R::kQueryBytes + warps * R::kBytes), context.stream,
           attention_of(args), split);
  }
}

template <DType kType>
void choose_width(Context& context, const AttentionArgs& args, const Split& split) {
  if (args.head_dim <= 64) return launch_decode<kType, 64>(context, args, split);
  if (args.head_dim <= 128) return launch_decode<kType, 128>(context, args, split);
  launch_decode<kType, 256>(context, args, split);
}

}  // namespace

void decode_attention(Context& context, const AttentionArgs& args) {
  const auto group = static_cast<int>(args.heads / args.kv_heads);
  Split split = {};
  split.row_blocks = (group + kRows - 1) / kRows;
  switch (args.type) {
    case DType::kF32:
      return choose_width<DType::kF32>(context, args, split);
    case DType::kF16:
      return choose_width<DType::kF16>(context, args, split);
    case DType::kBF16:
      return choose_width<DType::kBF16>(context, args, split);
    case DType::kI8:
      return choose_width<DType::kI8>(context, args, split);
    default:
      CHECK(!"type of a cache");
  }
}

}  // namespace hone::cuda
