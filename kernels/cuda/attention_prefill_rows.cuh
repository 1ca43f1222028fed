// Queries, keys and values of prefill attention on their way into shared memory, as f16 operands of
// tensor cores, by one of three routes:
//
// F16 caches go straight into products with queries and weights rounded to f16. BF16 and I8 become
// f16 on the way through shared memory; so do caches of ALiBi models, whose slopes would not fit
// into the registers of the straight route. Exactly (F32 caches, or Context::exact), every operand
// is a high and a low half: three products in place of one.
#pragma once

#include "kernels/cuda/attention.cuh"

namespace hone::cuda::prefill_detail {

inline constexpr int kWarps = 4;
inline constexpr int kThreads = kWarps * kWarpSize;

enum class Route { kDirect, kConverted, kExact };

template <Route kRoute, int kWidth>
struct Shape {
  using Rows = KvRows<DType::kF16, kWidth>;  // of queries, keys and values in shared memory
  static constexpr bool kExact = kRoute == Route::kExact;
  static constexpr bool kStaged = kRoute != Route::kDirect;
  static constexpr int kPlanes = kExact ? 2 : 1;                     // high and low halves
  static constexpr int kRowTiles = kStaged || kWidth > 128 ? 1 : 2;  // of 16 rows, to a warp
  static constexpr int kBlockRows = kWarps * 16 * kRowTiles;
  static constexpr int kKeys = kExact ? 32 : 64;
  static constexpr int kRowBytes = kWidth * 2;
  static constexpr int kQueryPlane = kBlockRows * kRowBytes;
  static constexpr int kKeyPlane = kKeys * kRowBytes;
  static constexpr int kStage = kStaged ? kKeys * kWidth * (kExact ? 4 : 2) : 0;  // as stored
  static constexpr int kStatic = 16 * (kBlockRows + 1) + 256;  // what has a name of its own
  static constexpr int kBytes = kPlanes * (kQueryPlane + 2 * kKeyPlane) + 2 * kStage;
};

struct Stored {
  const std::byte* keys;  // of one sequence and kv head
  const std::byte* values;
  int type;         // DType
  int log_element;  // log2 of its bytes
  int tile_bytes;
  int unused = 0;  // no byte is padding
};

// Tokens of one sequence, and the keys that some of them see.
struct Run {
  int begin, end;  // tokens
  int lowest;      // position that all of them see, unless the window hides it
  int highest;     // position
  int first;       // that one of them sees
};

// What a block works on.
struct Block {
  int row0;    // of tokens * group rows
  int token0;  // of its first row
  int tokens;
  int kv_head;
};

// Where a block is on its walk over keys. In shared memory: sums need the registers.
struct Walk {
  Block block;
  Run run;
  int open_from;  // keys from here until open_until are seen by every row: they need no mask
  int open_until;
  int64_t offset;  // bytes, of the run's keys and values in the cache
};

// Finds the run that begins at `begin`; every warp does so for itself.
__device__ __forceinline__ Run find_run(const Attention& args, const int* sequences,
                                        const int* positions, int begin, int tokens) {
  Run run = {begin, tokens, positions[begin], positions[begin], 0};
  for (int t0 = begin; t0 < run.end; t0 += kWarpSize) {
    const int t = t0 + lane_id();
    const bool other = t < tokens && sequences[t] != sequences[begin];
    const unsigned others = warp_ballot(other);
    if (others) {
      int first = 0;
      while (!(others >> first & 1)) ++first;
      run.end = t0 + first;
    }
    if (t < run.end && t < tokens) {
      run.lowest = positions[t] < run.lowest ? positions[t] : run.lowest;
      run.highest = positions[t] > run.highest ? positions[t] : run.highest;
    }
  }
  run.highest = warp_max(run.highest);
  run.lowest = -warp_max(-run.lowest);
  if (args.window > 0 && run.lowest >= args.window) run.first = run.lowest - args.window + 1;
  return run;
}

__device__ __forceinline__ void enter_run(const Attention& args, const Stored& stored,
                                          const Run& run, int sequence, Walk& walk) {
  const int64_t row = static_cast<int64_t>(sequence) * args.kv_heads + walk.block.kv_head;
  walk.offset = row * (args.capacity / kTile) * stored.tile_bytes;
  walk.run = run;
  walk.open_from = args.window > 0 ? run.highest - args.window + 1 : 0;
  walk.open_until = run.end - run.begin == walk.block.tokens ? run.lowest : -1;
}

// What each row of a block sees of the run under way.
struct RowView {
  int last;     // position; -1: of another run, sees nothing
  float slope;  // of ALiBi, for exponents of 2
};

__device__ __forceinline__ Block block_of(const Attention& args, int rows) {
  Block block;
  block.row0 = static_cast<int>(gridDim.y - 1 - blockIdx.y) * rows;
  block.token0 = block.row0 / args.group;
  const int end = (block.row0 + rows - 1) / args.group + 1;
  block.tokens = (end < args.tokens ? end : args.tokens) - block.token0;
  block.kv_head = static_cast<int>(blockIdx.x);
  return block;
}

__device__ __forceinline__ void view_rows(const Attention& args, const Block& block, const Run& run,
                                          const int* positions, int rows, RowView* views) {
  for (int row = static_cast<int>(threadIdx.x); row < rows; row += kThreads) {
    const int token = (block.row0 + row) / args.group - block.token0;
    const int head = block.kv_head * args.group + (block.row0 + row) % args.group;
    views[row].last = token >= run.begin && token < run.end ? positions[token] : -1;
    views[row].slope = args.slopes ? args.slopes[head] * kLog2E : 0.0f;
  }
}

// Four elements of a query, zeros beyond its end.
__device__ __forceinline__ Vec<float, 4> read_four(const float* q, int dim, int element) {
  if (dim % 4 == 0 && element < dim) return load<4>(q + element);
  Vec<float, 4> out;
#pragma unroll
  for (int i = 0; i < 4; ++i) out[i] = element + i < dim ? q[element + i] : 0.0f;
  return out;
}

// Queries of the block's rows, in halves; rows that do not exist are zeros.
template <Route kRoute, int kWidth>
__device__ __forceinline__ void read_queries(const Attention& args, const Block& block,
                                             std::byte* queries) {
  using S = Shape<kRoute, kWidth>;
  constexpr int kFours = kWidth / 4;
  const int rows = args.tokens * args.group - block.row0;
#pragma unroll 8
  for (int i = 0; i < S::kBlockRows * kFours / kThreads; ++i) {
    const int at = i * kThreads + static_cast<int>(threadIdx.x);
    const int row = at / kFours;
    const int e = at % kFours * 4;
    const unsigned flat = static_cast<unsigned>(block.row0 + row);
    const unsigned token = flat / static_cast<unsigned>(args.group);
    const unsigned head = flat % static_cast<unsigned>(args.group) +
                          static_cast<unsigned>(block.kv_head * args.group);
    const int64_t from = static_cast<int64_t>(token) * args.heads + head;
    const auto x =
        read_four(args.q + (row < rows ? from * args.dim : 0), row < rows ? args.dim : 0, e);
    std::byte* const to = queries + S::Rows::place(row, e / 8) + e % 8 * 2;
    if constexpr (S::kExact) {
      const SplitPair first = split_pair(x[0], x[1]);
      const SplitPair second = split_pair(x[2], x[3]);
      store(reinterpret_cast<uint32_t*>(to), Vec<uint32_t, 2>{{first.high, second.high}});
      store(reinterpret_cast<uint32_t*>(to + S::kQueryPlane),
            Vec<uint32_t, 2>{{first.low, second.low}});
    } else {
      store(reinterpret_cast<uint32_t*>(to),
            Vec<uint32_t, 2>{{f16x2_pack(x[0], x[1]), f16x2_pack(x[2], x[3])}});
    }
  }
}

// Asks for kKeys rows from position `first` on; those beyond the run's last become zeros. Direct:
// to their places; else as they are stored, and a thread converts what it asked for.
template <Route kRoute, int kWidth>
__device__ __forceinline__ void ask_for_rows(const Attention& args, const Stored& stored,
                                             const Walk& walk, const std::byte* cache, int first,
                                             std::byte* plane, std::byte* stage) {
  using S = Shape<kRoute, kWidth>;
  const int last = walk.run.highest;
  cache += walk.offset;
  if constexpr (!S::kStaged) {
    constexpr int kRowChunks = S::kRowBytes / 16;
    constexpr int kStep = kThreads / kRowChunks;  // rows between a thread's chunks
    static_assert(kStep % 8 == 0 || kRowChunks == 32);
    const int row_bytes = args.width * 2;
    const int row0 = static_cast<int>(threadIdx.x) / kRowChunks;
    const int chunk = static_cast<int>(threadIdx.x) % kRowChunks;
    const std::byte* from = cache + static_cast<int64_t>(first + row0) * row_bytes + chunk * 16;
    const int rows = chunk * 16 < row_bytes ? last + 1 - first : 0;
#pragma unroll 2
    for (int i = 0; i < S::kKeys / kStep; ++i) {
      const int row = row0 + i * kStep;
      cp_async<16>(plane + S::Rows::place(row, chunk), from, row < rows);
      from += kStep * row_bytes;
    }
  } else {
    const int row_bytes = args.width << stored.log_element;
    const int chunks = kWidth << stored.log_element >> 4;  // of a row, a power of 2
    for (int at = static_cast<int>(threadIdx.x); at < S::kKeys * chunks; at += kThreads) {
      const int chunk = at & (chunks - 1);
      const int position = first + at / chunks;
      const int64_t from = static_cast<int64_t>(position / kTile) * stored.tile_bytes +
                           position % kTile * row_bytes + chunk * 16;
      cp_async<16>(stage + at * 16, cache + from, chunk * 16 < row_bytes && position <= last);
    }
  }
  cp_async_commit();
}

// Pairs of elements to the planes at byte `at`.
template <Route kRoute, int kWidth>
__device__ __forceinline__ void put_pair(float a, float b, std::byte* to) {
  using S = Shape<kRoute, kWidth>;
  if constexpr (S::kExact) {
    const SplitPair pair = split_pair(a, b);
    *reinterpret_cast<uint32_t*>(to) = pair.high;
    *reinterpret_cast<uint32_t*>(to + S::kKeyPlane) = pair.low;
  } else {
    *reinterpret_cast<uint32_t*>(to) = f16x2_pack(a, b);
  }
}

// One 16-byte chunk as stored, `element` the first of its row.
template <Route kRoute, int kWidth>
__device__ __forceinline__ void convert_chunk(int type, const Vec<uint32_t, 4>& words, float scale,
                                              int row, int element, std::byte* plane) {
  using S = Shape<kRoute, kWidth>;
  const auto place = [&](int e) {
    return plane + S::Rows::place(row, (element + e) / 8) + (element + e) % 8 * 2;
  };
  if (type == static_cast<int>(DType::kI8)) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const auto q = bits<Vec<int8_t, 4>>(words[i]);
      put_pair<kRoute, kWidth>(scale * q[0], scale * q[1], place(4 * i));
      put_pair<kRoute, kWidth>(scale * q[2], scale * q[3], place(4 * i + 2));
    }
    return;
  }
  if constexpr (S::kExact) {
    if (type == static_cast<int>(DType::kF32)) {
#pragma unroll
      for (int i = 0; i < 4; i += 2) {
        put_pair<kRoute, kWidth>(bits<float>(words[i]), bits<float>(words[i + 1]), place(i));
      }
      return;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const auto h = bits<Vec<f16, 2>>(words[i]);
      const bool half = type == static_cast<int>(DType::kF16);
      put_pair<kRoute, kWidth>(
          half ? static_cast<float>(h[0]) : bits<float>(words[i] << 16),
          half ? static_cast<float>(h[1]) : bits<float>(words[i] & 0xffff0000u), place(2 * i));
    }
  } else {
    Vec<uint32_t, 4> out = words;
    if (type == static_cast<int>(DType::kBF16)) {
#pragma unroll
      for (int i = 0; i < 4; ++i) out[i] = f16x2_from_bf16x2(words[i]);
    }
    store(reinterpret_cast<uint32_t*>(place(0)), out);
  }
}

// What this thread asked for, from its stage to the planes.
template <Route kRoute, int kWidth>
__device__ __forceinline__ void convert_rows(const Attention& args, const Stored& stored,
                                             const Walk& walk, const std::byte* cache, int first,
                                             const std::byte* stage, std::byte* plane) {
  using S = Shape<kRoute, kWidth>;
  const int last = walk.run.highest;
  cache += walk.offset;
  const int chunks = kWidth << stored.log_element >> 4;
  for (int at = static_cast<int>(threadIdx.x); at < S::kKeys * chunks; at += kThreads) {
    const int row = at / chunks;
    const int position = first + row;
    float scale = 0;
    if (stored.type == static_cast<int>(DType::kI8) && position <= last) {
      const std::byte* const tile =
          cache + static_cast<int64_t>(position / kTile) * stored.tile_bytes;
      scale = reinterpret_cast<const float*>(tile + kTile * args.width)[position % kTile];
    }
    const auto words = load<4>(reinterpret_cast<const uint32_t*>(stage + at * 16));
    convert_chunk<kRoute, kWidth>(stored.type, words, scale, row,
                                  (at & (chunks - 1)) * 16 >> stored.log_element, plane);
  }
}

}  // namespace hone::cuda::prefill_detail
