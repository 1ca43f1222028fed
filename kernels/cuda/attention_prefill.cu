// Attention of many tokens (Dao 2023, FlashAttention-2): a block takes neighbouring tokens with all
// query heads of one kv head, row = (token, head), and walks over the keys that they see, 64 at a
// time; scores and sums stay in the registers of tensor cores' products. While keys are multiplied
// values arrive, and the other way round. Keys that some row does not see are masked; blocks that
// no row sees are left out. Tokens of several sequences follow one another as runs.
//
// F16 caches go straight into products with queries and weights rounded to f16. BF16 and I8 become
// f16 on the way through shared memory; so do caches of ALiBi models, whose slopes would not fit
// into the registers of the straight route. Exactly (F32 caches, or Context::exact), every operand
// is a high and a low half: three products in place of one.
#include "kernels/check.h"
#include "kernels/cuda/attention.cuh"

namespace hone::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kNowhere = 0x7fffffff;

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
  static constexpr int kBytes = kPlanes * (kQueryPlane + 2 * kKeyPlane) + 2 * kStage;
};

struct Stored {
  const std::byte* keys;  // of one sequence and kv head
  const std::byte* values;
  int type;         // DType
  int log_element;  // log2 of its bytes
  int tile_bytes;
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

// Asks for kKeys rows from position `first` on; those beyond `last` become zeros. Direct: to their
// places; else as they are stored, and a thread converts what it asked for.
template <Route kRoute, int kWidth>
__device__ __forceinline__ void ask_for_rows(const Attention& args, const Stored& stored,
                                             const std::byte* cache, int first, int last,
                                             std::byte* plane, std::byte* stage) {
  using S = Shape<kRoute, kWidth>;
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
                                             const std::byte* cache, int first, int last,
                                             const std::byte* stage, std::byte* plane) {
  using S = Shape<kRoute, kWidth>;
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

// A warp's rows: softmax and sums, as products leave them: lane / 4 and 8 further down.
template <Route kRoute, int kWidth>
struct Sums {
  static constexpr int kRowTiles = Shape<kRoute, kWidth>::kRowTiles;
  float largest[kRowTiles][2];
  float weights[kRowTiles][2];
  float o[kRowTiles][kWidth / 8][4];
};
template <Route kRoute, int kWidth>
using Scores = float[Shape<kRoute, kWidth>::kRowTiles][Shape<kRoute, kWidth>::kKeys / 8][4];

template <Route kRoute, int kWidth>
__device__ __forceinline__ void multiply_keys(const std::byte* queries, const std::byte* keys,
                                              Scores<kRoute, kWidth>& s) {
  using S = Shape<kRoute, kWidth>;
  const int lane = lane_id();
  const int row0 = warp_id() * 16 * S::kRowTiles;
#pragma unroll 2
  for (int step = 0; step < kWidth / 16; ++step) {
    uint32_t a[S::kPlanes][S::kRowTiles][4];
#pragma unroll
    for (int tile = 0; tile < S::kRowTiles; ++tile) {
      const int at = S::Rows::place(row0 + 16 * tile + lane % 16, 2 * step + lane / 16);
#pragma unroll
      for (int plane = 0; plane < S::kPlanes; ++plane) {
        ldmatrix(a[plane][tile], queries + plane * S::kQueryPlane + at);
      }
    }
#pragma unroll
    for (int k = 0; k < S::kKeys / 16; ++k) {
      uint32_t b[2][2], low[2][2];
      S::Rows::keys(keys + k * 16 * S::kRowBytes, step, b, low);
      if constexpr (S::kExact) {
        S::Rows::keys(keys + S::kKeyPlane + k * 16 * S::kRowBytes, step, low, low);
      }
#pragma unroll
      for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          mma<f16>(s[tile][2 * k + n], a[0][tile], b[n]);
          if constexpr (S::kExact) {
            mma<f16>(s[tile][2 * k + n], a[1][tile], b[n]);
            mma<f16>(s[tile][2 * k + n], a[0][tile], low[n]);
          }
        }
      }
    }
  }
}

// Adds ALiBi's slopes: scores become exponents of 2.
template <Route kRoute, int kWidth>
__device__ __forceinline__ void add_slopes(float scale, const RowView* views, int first,
                                           Scores<kRoute, kWidth>& s) {
  using S = Shape<kRoute, kWidth>;
#pragma unroll
  for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const RowView view = views[16 * tile + 8 * half];
      const auto key = static_cast<float>(first + 2 * (lane_id() % 4) - view.last);
#pragma unroll
      for (int n = 0; n < S::kKeys / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& x = s[tile][n][2 * half + i];
          x = x * scale + view.slope * (key + static_cast<float>(8 * n + i));
        }
      }
    }
  }
}

// Keys that a row does not see get the score -inf.
template <Route kRoute, int kWidth>
__device__ __forceinline__ void mask(int window, const RowView* views, int first,
                                     Scores<kRoute, kWidth>& s) {
  using S = Shape<kRoute, kWidth>;
#pragma unroll
  for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int last = views[16 * tile + 8 * half].last;
      const int key = first + 2 * (lane_id() % 4) - last;  // 0: the last one seen
      const int before = window > 0 && last >= 0 ? -window : -last - 1;
#pragma unroll
      for (int n = 0; n < S::kKeys / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int at = key + 8 * n + i;
          if (at > 0 || at <= before) s[tile][n][2 * half + i] = -INFINITY;
        }
      }
    }
  }
}

// Scores to weights; what was summed before is brought to the new largest score.
template <Route kRoute, int kWidth>
__device__ __forceinline__ void soften(float scale, Scores<kRoute, kWidth>& s,
                                       Sums<kRoute, kWidth>& sums) {
  using S = Shape<kRoute, kWidth>;
  float shrink[S::kRowTiles][2];
#pragma unroll
  for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float largest = sums.largest[tile][half];
#pragma unroll
      for (int n = 0; n < S::kKeys / 8; ++n) {
        largest = fmaxf(largest, fmaxf(s[tile][n][2 * half], s[tile][n][2 * half + 1]));
      }
      largest = fmaxf(largest, shfl_xor(largest, 1));
      largest = fmaxf(largest, shfl_xor(largest, 2));
      const float reference = largest == -INFINITY ? 0.0f : largest * scale;
      shrink[tile][half] = fast_exp2(sums.largest[tile][half] * scale - reference);
      sums.largest[tile][half] = largest;
      float weights = 0;
#pragma unroll
      for (int n = 0; n < S::kKeys / 8; ++n) {
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          s[tile][n][i] = fast_exp2(s[tile][n][i] * scale - reference);
          weights += s[tile][n][i];
        }
      }
      sums.weights[tile][half] = sums.weights[tile][half] * shrink[tile][half] + weights;
    }
  }
#pragma unroll
  for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
    for (int n = 0; n < kWidth / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sums.o[tile][n][i] *= shrink[tile][i / 2];
    }
  }
}

template <Route kRoute, int kWidth>
__device__ __forceinline__ void multiply_values(const std::byte* values,
                                                const Scores<kRoute, kWidth>& s,
                                                Sums<kRoute, kWidth>& sums) {
  using S = Shape<kRoute, kWidth>;
#pragma unroll
  for (int k = 0; k < S::kKeys / 16; ++k) {
    uint32_t a[S::kPlanes][S::kRowTiles][4];
#pragma unroll
    for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* const w = &s[tile][2 * k + i / 2][i % 2 * 2];
        if constexpr (S::kExact) {
          const SplitPair pair = split_pair(w[0], w[1]);
          a[0][tile][i] = pair.high;
          a[1][tile][i] = pair.low;
        } else {
          a[0][tile][i] = f16x2_pack(w[0], w[1]);
        }
      }
    }
#pragma unroll
    for (int step = 0; step < kWidth / 16; ++step) {
      uint32_t b[2][2], low[2][2];
      S::Rows::values(values + k * 16 * S::kRowBytes, step, b, low);
      if constexpr (S::kExact) {
        S::Rows::values(values + S::kKeyPlane + k * 16 * S::kRowBytes, step, low, low);
      }
#pragma unroll
      for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
        for (int n = 0; n < 2; ++n) {
          mma<f16>(sums.o[tile][2 * step + n], a[0][tile], b[n]);
          if constexpr (S::kExact) {
            mma<f16>(sums.o[tile][2 * step + n], a[1][tile], b[n]);
            mma<f16>(sums.o[tile][2 * step + n], a[0][tile], low[n]);
          }
        }
      }
    }
  }
}

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

template <Route kRoute, int kWidth>
__device__ __forceinline__ void write_out(const Attention& args, const Block& block,
                                          Sums<kRoute, kWidth>& sums) {
  using S = Shape<kRoute, kWidth>;
  const int rows = args.tokens * args.group;
#pragma unroll
  for (int tile = 0; tile < S::kRowTiles; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float weights = sums.weights[tile][half];
      weights += shfl_xor(weights, 1);
      weights += shfl_xor(weights, 2);
      const int flat =
          block.row0 + (warp_id() * S::kRowTiles + tile) * 16 + half * 8 + lane_id() / 4;
      if (flat >= rows) continue;
      const int64_t to = static_cast<int64_t>(flat / args.group) * args.heads +
                         block.kv_head * args.group + flat % args.group;
      float* const out = args.out + to * args.dim;
      const float part = 1 / weights;
#pragma unroll
      for (int n = 0; n < kWidth / 8; ++n) {
        const int e = 8 * n + 2 * (lane_id() % 4);
        const float a = sums.o[tile][n][2 * half] * part;
        const float b = sums.o[tile][n][2 * half + 1] * part;
        if (args.dim % 2 == 0 && e < args.dim) {
          store(out + e, Vec<float, 2>{{a, b}});
        } else {
          if (e < args.dim) out[e] = a;
          if (e + 1 < args.dim) out[e + 1] = b;
        }
      }
    }
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
  std::byte* const queries = dynamic_shared<std::byte>();
  std::byte* const keys = queries + S::kPlanes * S::kQueryPlane;
  std::byte* const values = keys + S::kPlanes * S::kKeyPlane;
  std::byte* const key_stage = values + S::kPlanes * S::kKeyPlane;
  std::byte* const value_stage = key_stage + S::kStage;
  start_next();

  const Block block = block_of(args, S::kBlockRows);
  for (int t = static_cast<int>(threadIdx.x); t < block.tokens; t += kThreads) {
    sequences[t] = args.sequences[block.token0 + t];
    positions[t] = args.positions[block.token0 + t];
  }
  if (threadIdx.x == 0) {
    infinite[0] = 0;
    infinite[1] = kNowhere;
  }
  wait_for_previous();
  read_queries<kRoute, kWidth>(args, block, queries);

  const RowView* const my_views = views + warp_id() * 16 * S::kRowTiles + lane_id() / 4;
  Sums<kRoute, kWidth> sums = {};
#pragma unroll
  for (auto& tile : sums.largest) tile[0] = tile[1] = -INFINITY;
  sync_block();
  for (int begin = 0; begin < block.tokens;) {
    const Run run = find_run(args, sequences, positions, begin, block.tokens);
    begin = run.end;
    view_rows(args, block, run, positions, S::kBlockRows, views);
    const int64_t row = static_cast<int64_t>(sequences[run.begin]) * args.kv_heads + block.kv_head;
    const int64_t offset = row * (args.capacity / kTile) * stored.tile_bytes;
    const std::byte* const key_cache = stored.keys + offset;
    const std::byte* const value_cache = stored.values + offset;
    // Blocks of keys that every row sees whole need no mask.
    const bool whole = run.end - run.begin == block.tokens;
    const int open_from = args.window > 0 ? run.highest - args.window + 1 : 0;
    const int open_until = whole ? run.lowest : -1;

    int first = run.first / S::kKeys * S::kKeys;
    ask_for_rows<kRoute, kWidth>(args, stored, key_cache, first, run.highest, keys, key_stage);
    if constexpr (S::kStaged) {
      ask_for_rows<kRoute, kWidth>(args, stored, value_cache, first, run.highest, values,
                                   value_stage);
    }
#pragma unroll 1
    for (; first <= run.highest; first += S::kKeys) {
      const int next = first + S::kKeys;
      // Keys.
      if constexpr (S::kStaged) {
        cp_async_wait<1>();
        convert_rows<kRoute, kWidth>(args, stored, key_cache, first, run.highest, key_stage, keys);
        ask_for_rows<kRoute, kWidth>(args, stored, key_cache, next, run.highest, keys, key_stage);
      } else {
        cp_async_wait<0>();
      }
      sync_block();  // keys are there; values are no longer read
      if constexpr (!S::kStaged) {
        ask_for_rows<kRoute, kWidth>(args, stored, value_cache, first, run.highest, values,
                                     value_stage);
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
      const bool masked = next - 1 > open_until || first < open_from;
      if (masked) mask<kRoute, kWidth>(args.window, my_views, first, s);
      soften<kRoute, kWidth>(scale, s, sums);

      // Values.
      if constexpr (S::kStaged) {
        cp_async_wait<1>();
        convert_rows<kRoute, kWidth>(args, stored, value_cache, first, run.highest, value_stage,
                                     values);
        ask_for_rows<kRoute, kWidth>(args, stored, value_cache, next, run.highest, values,
                                     value_stage);
      } else {
        cp_async_wait<0>();
      }
      sync_block();  // values are there; keys are no longer read
      if constexpr (!S::kStaged) {
        ask_for_rows<kRoute, kWidth>(args, stored, key_cache, next, run.highest, keys, key_stage);
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
      multiply_values<kRoute, kWidth>(values, s, sums);
    }
    cp_async_wait<0>();
    sync_block();
  }
  write_out<kRoute, kWidth>(args, block, sums);
  if (infinite[1] == kNowhere) return;
  sync_block();
  add_infinities(args, stored, block, S::kBlockRows, infinite[1]);
}

// False where the device has too little shared memory.
template <Route kRoute, int kWidth>
bool launch_prefill(Context& context, const AttentionArgs& args) {
  using S = Shape<kRoute, kWidth>;
  if (S::kBytes + 2048 > static_cast<int64_t>(context.device.shared_bytes)) return false;
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
