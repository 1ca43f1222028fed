// Products of 1 to 16 tokens: weights stream from memory once, in the order they lie there, into
// tensor cores.
//
// A block takes 16 rows of a matrix at a time, a tile; each of its warps takes one strip of the
// columns, from all tiles of the block. A warp's loads run several 64-byte segments ahead, through
// a ring in shared memory, across the ends of tiles: memory never waits for sums.
//
// Within a strip mma.m16n8k16 multiplies 16 rows by 8 columns: for each of 4 tokens two 16-bit
// floats that add up to an activation, to 16 bits of precision with bf16 weights and 22 with the
// others, which are exact in f16. Sums are f32. An f16 has a range of its own: each strip of a
// token is multiplied by a power of two that brings its largest number below 2^15. Which column of
// the segment meets which k of the mma is free as long as weights and activations agree: a lane
// loads 16 bytes of a row and multiplies them where they are.
//
// Each number comes from sums in one order, by strip, then of the strips, which depends on the
// shape of the matrix alone: a token gets the same bytes in any company.
#pragma once

#include <algorithm>

#include "kernels/cuda/matvec_input.cuh"
#include "kernels/cuda/matvec_result.cuh"
#include "kernels/cuda/matvec_sums.cuh"

namespace hone::cuda {
namespace matvec_detail {

// Where things lie in a block's shared memory.
struct Shared {
  int64_t fragments;  // 16-byte units: [32-column blocks][tokens][2 parts][4]
  int64_t partial;    // floats: [2][matrices of a tile][strips][tokens][16]
  int64_t squares;    // floats: [strips][tokens]
  int64_t bytes;
};
constexpr Shared shared_of(int64_t ring_bytes, int64_t row_stride, int columns, int strips,
                           int tokens, int matrices) {
  Shared at{};
  at.fragments = ring_bytes;
  at.partial = at.fragments + row_stride / kSegmentBytes * columns * 4 * tokens;
  at.squares = at.partial + 4 * 2 * matrices * strips * tokens * kTileRows;
  at.bytes = at.squares + 4 * strips * tokens;
  return at;
}

// ---- The kernel for few tokens. Grid: any number of blocks; tiles go around. Block: one warp for
// each strip. kTokenTiles * 4 tokens at most; kStages of the ring.
template <Form F, Scaling kScaling, int kTokenTiles, int kStages, int kStrips, int kL2>
__global__ void __launch_bounds__(kStrips* kWarpSize) matvec_kernel(MatvecArgs args) {
  using StageT = Stage<F, kScaling>;
  std::byte* const memory = dynamic_shared<std::byte>();
  const int pair = args.gated ? 2 : 1, warp = warp_id();
  const Shared at = shared_of(sizeof(StageT) * kStages * kStrips, args.row_stride,
                              segment_columns(F), kStrips, args.tokens, pair);
  float* const partial = reinterpret_cast<float*>(memory + at.partial);
  float* const squares = reinterpret_cast<float*>(memory + at.squares);
  const Strip strip =
      strip_of(args, segment_columns(F), warp, kStrips, static_cast<int>(blockIdx.x), args.tiles,
               static_cast<int>(gridDim.x));
  uint32_t* const fragments =
      reinterpret_cast<uint32_t*>(memory + at.fragments) +
      int64_t{strip.first} * (segment_columns(F) / kBlockColumns) * args.tokens * 32;

  // Weights are constant: their loads start while the kernel ahead still runs.
  Stream<F, kScaling, kTokenTiles, kStages, kL2> stream(
      args, strip, reinterpret_cast<StageT*>(memory) + warp * kStages, fragments);
  start_next();
  wait_for_previous();

  // Activations of this strip. Scales of words leave registers for few loads at once.
  constexpr int kBatch = kScaling == Scaling::kWord ? 2 : 4;
  float inverse[kTokenTiles] = {};
  for (int token = 0; token < args.tokens; ++token) {
    float sum;
    const float undo = prepare<F, kBatch>(args, strip, token, fragments, &sum);
    if (lane_id() == 0) squares[warp * args.tokens + token] = sum;
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      if (lane_id() % 4 + n * kTileTokens == token) inverse[n] = undo;
    }
  }
  sync_warp();

  // Tile after tile.
  static_assert(kStrips * kWarpSize >= kTokenTiles * kTileTokens * kTileRows);
  Result result(args, static_cast<int>(threadIdx.x));
  int parity = 0;
  for (int tile = static_cast<int>(blockIdx.x); tile < args.tiles;
       tile += static_cast<int>(gridDim.x)) {
    result.begin(args, tile, kScaling == Scaling::kRow);
    float* const sums_of_tile = partial + parity * pair * kStrips * args.tokens * kTileRows;
    for (int m = 0; m < pair; ++m) {
      const Sums<kTokenTiles> sums = stream.next(rows_of(args, tile, m));
      store_partial(sums, inverse, args.tokens,
                    sums_of_tile + (m * kStrips + warp) * args.tokens * kTileRows);
    }
    sync_block();
    result.template end<kStrips>(args, sums_of_tile, squares, args.tokens);
    parity ^= 1;
  }
}

// Blocks of the kernel below that share a multiprocessor: scaled sums of 16 tokens take more than
// half of its registers.
constexpr int split_blocks(Scaling scaling, int token_tiles) {
  return is_scaled(scaling) && token_tiles == 4 ? 1 : 2;
}

// ---- The kernel for more tokens, whose activations one block cannot hold: a block takes one strip
// of a share of the tiles, each of its warps other tiles; the last of a tile's strips to be done
// adds them. Sums as above.
//
// Grid: kStrips * shares. partial: [tiles][matrices of a tile][kStrips][tokens][16]; squares:
// [blocks][tokens]; counters: [tiles], zero.
template <Form F, Scaling kScaling, int kTokenTiles, int kStages, int kStrips, int kWarps, int kL2>
__global__ void __launch_bounds__(kWarps* kWarpSize, split_blocks(kScaling, kTokenTiles))
    matvec_split_kernel(MatvecArgs args, float* partial, float* squares, unsigned* counters) {
  using StageT = Stage<F, kScaling>;
  std::byte* const memory = dynamic_shared<std::byte>();
  SIMT_SHARED(inverses, float[kTokenTiles * kTileTokens]);
  const int pair = args.gated ? 2 : 1, warp = warp_id();
  const int index = static_cast<int>(blockIdx.x) % kStrips;
  const int64_t share = blockIdx.x / kStrips, shares = gridDim.x / kStrips;
  const int first_tile = static_cast<int>(args.tiles * share / shares);
  const int end_tile = static_cast<int>(args.tiles * (share + 1) / shares);
  const Strip strip =
      strip_of(args, segment_columns(F), index, kStrips, first_tile + warp, end_tile, kWarps);
  uint32_t* const fragments =
      reinterpret_cast<uint32_t*>(memory + sizeof(StageT) * kStages * kWarps);
  Stream<F, kScaling, kTokenTiles, kStages, kL2> stream(
      args, strip, reinterpret_cast<StageT*>(memory) + warp * kStages, fragments);
  start_next();
  wait_for_previous();

  // Activations of the block's strip: some tokens by each warp.
  for (int token = warp; token < args.tokens; token += kWarps) {
    float sum;
    const float undo = prepare<F, 2>(args, strip, token, fragments, &sum);
    if (lane_id() == 0) {
      inverses[token] = undo;
      squares[blockIdx.x * args.tokens + token] = sum;
    }
  }
  sync_block();
  float inverse[kTokenTiles];
#pragma unroll
  for (int n = 0; n < kTokenTiles; ++n) {
    const int token = n * kTileTokens + lane_id() % 4;
    inverse[n] = token < args.tokens ? inverses[token] : 0.0f;
  }

  // Tile after tile.
  const int numbers = args.tokens * kTileRows;
  for (int tile = strip.first_tile; tile < strip.end_tile; tile += kWarps) {
    float* const sums_of_tile = partial + int64_t{tile} * pair * kStrips * numbers;
    for (int m = 0; m < pair; ++m) {
      const Sums<kTokenTiles> sums = stream.next(rows_of(args, tile, m));
      store_partial(sums, inverse, args.tokens, sums_of_tile + (m * kStrips + index) * numbers);
    }
    thread_fence();
    sync_warp();
    const unsigned done = lane_id() == 0 ? atomic_add(counters + tile, 1u) : 0u;
    if (shfl(done, 0) != kStrips - 1) continue;
    sync_warp();  // what the first lane saw, all have seen: a shuffle orders no memory
    thread_fence();
    for (int i = lane_id(); i < numbers; i += kWarpSize) {
      Result result(args, i);
      result.begin(args, tile, kScaling == Scaling::kRow);
      result.template end<kStrips>(args, sums_of_tile, squares + share * kStrips * args.tokens,
                                   args.tokens);
    }
    if (lane_id() == 0) counters[tile] = 0;
  }
}

// What all blocks together ask the L2 cache for: a part of it.
constexpr int64_t kPrefetchBytes = 16 << 20;

// ---- Launches. kMostStages: of each warp's ring; kStrips: of each row.
template <int kMostStages, int kStrips, int kL2>
struct MatvecTuning {
  // Two blocks shall fit into a multiprocessor with 14336 columns; of 2:4 int4, whose stages hold
  // half as much again, with 8192.
  static constexpr int stages(Form form, Scaling scaling) {
    if (scaling != Scaling::kWord) return kMostStages;
    return form == Form::kSparseI4 ? kMostStages - 2 : kMostStages - 1;
  }

  template <Form F, Scaling kScaling>
  static int64_t shared_bytes(const MatvecArgs& args, int tokens) {
    return shared_of(sizeof(Stage<F, kScaling>) * stages(F, kScaling) * kStrips, args.row_stride,
                     segment_columns(F), kStrips, tokens, args.gated ? 2 : 1)
        .bytes;
  }

  // Blocks that a multiprocessor can hold.
  static int64_t resident(const DeviceInfo& device, int64_t shared) {
    constexpr size_t kReserved = 1024;  // of each block, by the system
    const size_t fit =
        (device.shared_bytes + kReserved) / (static_cast<size_t>(shared) + kReserved);
    return static_cast<int64_t>(std::clamp<size_t>(fit, 1, 2));
  }

  static int prefetch_segments(int64_t bytes, int64_t blocks) {
    return static_cast<int>(bytes / (blocks * kStrips * kTileRows * kSegmentBytes));
  }

  template <Form F, Scaling kScaling, int kTokenTiles>
  static void launch(Context& context, MatvecArgs args, int64_t prefetch_bytes = kPrefetchBytes) {
    const int64_t shared = shared_bytes<F, kScaling>(args, args.tokens);
    const int64_t blocks = std::min<int64_t>(
        args.tiles, resident(context.device, shared) * context.device.multiprocessors);
    args.prefetch = prefetch_segments(prefetch_bytes, blocks);
    simt::launch(matvec_kernel<F, kScaling, kTokenTiles, stages(F, kScaling), kStrips, kL2>,
                 {static_cast<unsigned>(blocks)}, {kStrips * kWarpSize},
                 static_cast<size_t>(shared), context.stream, args);
  }

  // ---- The strips in blocks of their own.
  static constexpr int kWarps = 8;

  template <Form F, Scaling kScaling>
  static int64_t split_shared_bytes(const MatvecArgs& args, int tokens) {
    constexpr int64_t kStatic = 256;  // the factors, which are not part of the launch's
    const int64_t segments = args.row_stride / kSegmentBytes;
    return static_cast<int64_t>(sizeof(Stage<F, kScaling>)) * stages(F, kScaling) * kWarps +
           (segments + kStrips - 1) / kStrips * segment_columns(F) * 4 * tokens + kStatic;
  }

  template <Form F, Scaling kScaling, int kTokenTiles>
  static void launch_split(Context& context, MatvecArgs args,
                           int64_t prefetch_bytes = kPrefetchBytes) {
    const int64_t shared = split_shared_bytes<F, kScaling>(args, args.tokens);
    const int64_t most =
        std::min<int64_t>(resident(context.device, shared), split_blocks(kScaling, kTokenTiles)) *
        context.device.multiprocessors;
    const int64_t useful = (args.tiles + kWarps - 1) / kWarps;
    const int64_t shares = std::clamp<int64_t>(most / kStrips, 1, useful);
    const int64_t blocks = shares * kStrips;
    args.prefetch = prefetch_segments(prefetch_bytes, blocks);
    const int64_t sums =
        int64_t{args.tiles} * (args.gated ? 2 : 1) * kStrips * args.tokens * kTileRows;
    auto* const partial = reinterpret_cast<float*>(
        context.scratch.reserve(sizeof(float) * static_cast<size_t>(sums + blocks * args.tokens)));
    auto* const counters = reinterpret_cast<unsigned*>(
        context.counters.reserve(sizeof(unsigned) * static_cast<size_t>(args.tiles)));
    simt::launch(
        matvec_split_kernel<F, kScaling, kTokenTiles, stages(F, kScaling), kStrips, kWarps, kL2>,
        {static_cast<unsigned>(blocks)}, {kWarps * kWarpSize}, static_cast<size_t>(shared),
        context.stream, args, partial, partial + sums, counters);
  }
};

}  // namespace matvec_detail

// The kernels' form of a product.
MatvecArgs matvec_args(const Product& product);  // matvec.cu

}  // namespace hone::cuda
