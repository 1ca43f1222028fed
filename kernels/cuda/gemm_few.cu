// Products of tens of tokens: too many for matvec, too few to pay for decoding a matrix. Weights
// are read once and become f16 in registers (BF16 stays), the A operand of mma.m16n8k16;
// activations, rounded to 16 bits by a kernel of their own, are B (E. Frantar et al., "MARLIN",
// 2024, does the same with a layout of its own).
//
// A block takes 128 rows (gated: 64 of each matrix), 32 or 64 tokens, and a split of the columns,
// of which the block that ends last adds all, in order. Each of its 4 warps has 32 rows; all read
// the same activations. Stages of one 64-byte segment of columns wait in shared memory.
//
// Which column meets which k of an mma is free: a lane loads 16 bytes of a row and multiplies them
// where they are; activations are stored in the order that this gives, as fragments: 16 bytes for
// each lane, two mma in a row:  [blocks of 32 columns][tokens][4 lanes][4 pairs].
#include "kernels/cuda/gemm_few.h"

#include <algorithm>

#include "kernels/check.h"
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/half_range.cuh"
#include "kernels/cuda/matvec_input.cuh"
#include "kernels/cuda/rows.cuh"

namespace hone::cuda {
namespace {

using namespace simt;
using matvec_detail::fragment_column;
using matvec_detail::pair_element;

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kWarpRows = 32;  // two mma
constexpr int kTileRows = kWarps * kWarpRows;
constexpr int kSegmentBytes = 64;
constexpr int kBlockColumns = 32;
constexpr int kMmaTokens = 8;

// Activations are so much smaller than they were.
constexpr float input_factor(Form form) { return form == Form::kBF16 ? 1 : 1 / kF16Factor; }
constexpr bool has_codes(Form form) { return form != Form::kBF16 && form != Form::kF16; }
constexpr int blocks_of_segment(Form form) { return segment_columns(form) / kBlockColumns; }

// ---- Activations as fragments.

struct FragmentArgs {
  const float* x;
  const float* norm;  // or null
  double eps;
  int64_t columns;
  int64_t blocks;  // of 32 columns
  int64_t tokens;  // padded: the array's second size
  uint32_t* out;
};

// Four neighbours, zero beyond the row. kWide: they can be read at once.
template <bool kWide>
__device__ __forceinline__ Vec<float, 4> load_four(const float* row, int64_t column,
                                                   int64_t columns) {
  if (kWide && column < columns) return load<4>(row + column);
  Vec<float, 4> four;
#pragma unroll
  for (int i = 0; i < 4; ++i) four[i] = column + i < columns ? row[column + i] : 0.0f;
  return four;
}

template <bool kWide>
__device__ __forceinline__ float norm_factor(const FragmentArgs& args, const float* row,
                                             double (&scratch)[kWarpSize]) {
  double square = 0;
#pragma unroll 4
  for (int64_t c = threadIdx.x * 4; c < args.columns; c += kRowThreads * 4) {
    const auto four = load_four<kWide>(row, c, args.columns);
#pragma unroll
    for (int i = 0; i < 4; ++i) square += static_cast<double>(four[i]) * four[i];
  }
  square = block_sum(square, scratch) / static_cast<double>(args.columns);
  return static_cast<float>(1 / sqrt(square + args.eps));
}

// A block a token.
template <Form F, bool kWide>
__global__ void __launch_bounds__(kRowThreads) fragments_kernel(FragmentArgs args) {
  SIMT_SHARED(scratch, double[kWarpSize]);
  start_next();
  wait_for_previous();
  const float* const row = args.x + int64_t{blockIdx.x} * args.columns;
  const float factor = args.norm ? norm_factor<kWide>(args, row, scratch) : 1;
  for (int64_t unit = threadIdx.x; unit < args.blocks * 4; unit += kRowThreads) {
    const int64_t block = unit / 4;
    const int t = static_cast<int>(unit % 4);
    float values[8];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int64_t column = block * kBlockColumns + fragment_column<F>(t, i);
      auto four = load_four<kWide>(row, column, args.columns);
      Vec<float, 4> weight{1, 1, 1, 1};
      if (args.norm) weight = load_four<kWide>(args.norm, column, args.columns);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (args.norm) four[e] *= factor * weight[e];
        values[4 * i + e] = four[e] * input_factor(F);
      }
    }
    Vec<uint32_t, 4> pairs;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float a = values[pair_element<F>(i, 0)], b = values[pair_element<F>(i, 1)];
      pairs[i] = F == Form::kBF16 ? bf16x2_pack(a, b) : f16x2_pack(saturated(a), saturated(b));
    }
    store(args.out + ((block * args.tokens + blockIdx.x) * 4 + t) * 4, pairs);
  }
}

// ---- The product.

struct FewMatrix {
  const std::byte* payload;
  const std::byte* scales;
  const int8_t* zeros;
  const float* bias;
  float* out;
  int64_t out_stride;
  int64_t rows;
  int64_t first_tile;  // where tiles of all matrices are counted through
};

// No byte is padding.
struct FewArgs {
  const uint32_t* x;  // fragments
  const float* token_scale;
  const float* residual;
  float* partial;     // [tiles and slices][splits][2 * tokens / 8][threads][4]
  unsigned* arrived;  // [tiles and slices], zero
  int64_t row_stride;
  int64_t padded_tokens;
  int tokens;
  int segments;  // of a row
  int splits;
  int slices;  // of the tokens
  int matrices;
  int gated;
  int group;   // columns
  int groups;  // a row
  DType scale_type;
  Activation activation;
  uint8_t unused[6];
  FewMatrix matrix[3];
};

// The aligned words that hold the scales of one row and segment.
template <Scaling kScaling>
struct ScaleWords {
  static constexpr int kScales = kScaling == Scaling::kSegment ? 1 : 4;
  static constexpr int kZeros = (kScales + 1) / 2;
  uint32_t scales[kScales];
  uint32_t zeros[kZeros];
};

template <Form F, Scaling kScaling, int kTokenTiles>
struct alignas(16) Stage {
  uint32_t weights[kWarps][4][kWarpSize][4];  // rows lane / 4 + 8 i; words as they lie
  uint32_t x[blocks_of_segment(F)][kTokenTiles][kWarpSize][4];
  ScaleWords<kScaling> scales[kScaling == Scaling::kRow ? 1 : kTileRows];
};

// What a block works on.
struct Place {
  int64_t tile;
  int split, slice;
  int first_segment, end_segment;
};

__device__ __forceinline__ Place place_of(const FewArgs& args) {
  Place p;
  const unsigned tile_and_split = blockIdx.x / static_cast<unsigned>(args.slices);
  p.slice = static_cast<int>(blockIdx.x % static_cast<unsigned>(args.slices));
  p.tile = tile_and_split / static_cast<unsigned>(args.splits);
  p.split = static_cast<int>(tile_and_split % static_cast<unsigned>(args.splits));
  p.first_segment = args.segments * p.split / args.splits;
  p.end_segment = args.segments * (p.split + 1) / args.splits;
  return p;
}

// The rows of this warp: 16 of each mma; gated: of the gate and of up. In registers, by value: an
// index into kernel arguments would send them all through memory.
struct WarpRows {
  FewMatrix matrix[2];
  int64_t first[2];

  __device__ __forceinline__ WarpRows(const FewArgs& args, int64_t tile) {
    if (args.gated) {
      matrix[0] = args.matrix[0];
      matrix[1] = args.matrix[1];
      first[0] = first[1] = tile * (kTileRows / 2) + warp_id() * 16;
      return;
    }
    matrix[0] = args.matrix[0];
    if (args.matrices > 1 && tile >= args.matrix[1].first_tile) matrix[0] = args.matrix[1];
    if (args.matrices > 2 && tile >= args.matrix[2].first_tile) matrix[0] = args.matrix[2];
    matrix[1] = matrix[0];
    first[0] = (tile - matrix[0].first_tile) * kTileRows + warp_id() * kWarpRows;
    first[1] = first[0] + 16;
  }
  // Rows 8 i + lane / 4 of the warp; the last row of the matrix for those beyond it.
  __device__ __forceinline__ int64_t row(int i) const {
    return first[i / 2] + i % 2 * 8 + lane_id() / 4;
  }
  __device__ __forceinline__ bool exists(int i) const { return row(i) < matrix[i / 2].rows; }
  __device__ __forceinline__ int64_t clamped(int i) const {
    return exists(i) ? row(i) : matrix[i / 2].rows - 1;
  }
};

// Loads of stages, one segment each.
template <Form F, Scaling kScaling, int kTokenTiles>
struct Loader {
  using StageT = Stage<F, kScaling, kTokenTiles>;
  const std::byte* weights[4];
  const uint32_t* x;
  const std::byte* scales;  // and zeros: of the matrix of row `lane` of the warp
  const int8_t* zeros;
  int64_t row, rows;

  __device__ __forceinline__ Loader(const FewArgs& args, const Place& place,
                                    const WarpRows& warp_rows) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      weights[i] = warp_rows.matrix[i / 2].payload + warp_rows.clamped(i) * args.row_stride +
                   lane_id() % 4 * 16;
    }
    const bool second = lane_id() >= 16;
    scales = second ? warp_rows.matrix[1].scales : warp_rows.matrix[0].scales;
    zeros = second ? warp_rows.matrix[1].zeros : warp_rows.matrix[0].zeros;
    rows = second ? warp_rows.matrix[1].rows : warp_rows.matrix[0].rows;
    row = (second ? warp_rows.first[1] : warp_rows.first[0]) + lane_id() % 16;
    row = row < rows ? row : rows - 1;
    x = args.x + int64_t{place.slice} * kTokenTiles * kMmaTokens * 16;
  }

  __device__ __forceinline__ static const std::byte* word(const void* array, int64_t at, int words,
                                                          int64_t bytes) {
    const int64_t from = (at & ~int64_t{3}) + 4 * words;
    return static_cast<const std::byte*>(array) + (from < bytes ? from : at & ~int64_t{3});
  }

  // What no kernel writes.
  __device__ __forceinline__ void load_weights(const FewArgs& args, StageT& stage, int segment) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      cp_async<16>(stage.weights[warp_id()][i][lane_id()],
                   weights[i] + int64_t{segment} * kSegmentBytes);
    }
    if constexpr (kScaling != Scaling::kRow) {
      using Words = ScaleWords<kScaling>;
      const int group = segment * segment_columns(F) / args.group;
      const int64_t at = row * args.groups + (group < args.groups ? group : args.groups - 1);
      const int64_t count = rows * args.groups;
      const int size = args.scale_type == DType::kF32 ? 4 : 2;
      Words& to = stage.scales[threadIdx.x];
#pragma unroll
      for (int i = 0; i < Words::kScales; ++i) {
        cp_async<4>(&to.scales[i], word(scales, at * size, i, count * size));
      }
      if (!zeros) return;
#pragma unroll
      for (int i = 0; i < Words::kZeros; ++i) {
        cp_async<4>(&to.zeros[i], word(zeros, at, i, count));
      }
    }
  }

  __device__ __forceinline__ void load_x(const FewArgs& args, StageT& stage, int segment) {
    constexpr int kUnits = kTokenTiles * kWarpSize;  // of 16 bytes, of one block of columns
#pragma unroll
    for (int i = 0; i < blocks_of_segment(F) * kUnits / kThreads; ++i) {
      const int unit = i * kThreads + static_cast<int>(threadIdx.x);
      const int block = unit / kUnits, in_block = unit % kUnits;
      const int64_t column_block = int64_t{segment} * blocks_of_segment(F) + block;
      cp_async<16>(&stage.x[block][0][0][0] + in_block * 4,
                   x + column_block * args.padded_tokens * 16 + in_block * 4);
    }
  }
};

// Scales of one row, as f16 pairs and offsets of codes.
template <Form F>
struct RowScale {
  uint32_t scale;  // both halves
  CodeOffset offset;
};

// start: where the row's scales start in their array, or its low bits.
template <Form F, Scaling kScaling>
__device__ __forceinline__ RowScale<F> read_scale(const FewArgs& args,
                                                  const ScaleWords<kScaling>& words, int start,
                                                  int segment, int column) {
  const int first = segment * segment_columns(F) / args.group;  // group of the segment's start
  int group = 0;
  if constexpr (kScaling == Scaling::kWord) {
    group = (segment * segment_columns(F) + column) / args.group - first;
    const int last = args.groups - 1 - first;
    group = group < last ? group : last;
  }
  const int at = start + first;
  float scale;
  if (args.scale_type == DType::kF32) {
    scale = bits<float>(words.scales[group]);
  } else {
    const auto* const halves = reinterpret_cast<const uint16_t*>(words.scales);
    const uint32_t raw = halves[(at & 1) + group];
    scale = args.scale_type == DType::kBF16 ? bits<float>(raw << 16)
                                            : detail::f16_to_float(static_cast<uint16_t>(raw));
  }
  float zero = 0;
  if (args.matrix[0].zeros) zero = reinterpret_cast<const int8_t*>(words.zeros)[(at & 3) + group];
  return {both_halves(f16(scale * kF16Factor)), code_offset<F>(zero)};
}

// Half of an A fragment, of one row: 32 columns, 4 pairs, from words 32 columns cover.
template <Form F, bool kScaled>
__device__ __forceinline__ void decode_row(const uint32_t* words, int block, const RowScale<F>& of,
                                           uint32_t (&out)[4]) {
  if constexpr (!has_codes(F)) {
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = words[i];
  } else if constexpr (F == Form::kI4) {
    decode_i4(words[block], of.offset, out);
  } else {
    uint32_t low[2], high[2];
    if constexpr (F == Form::kI8) {
      decode_i8(words[2 * block], of.offset, low);
      decode_i8(words[2 * block + 1], of.offset, high);
    } else {
      decode_f8(words[2 * block], low);
      decode_f8(words[2 * block + 1], high);
    }
    out[0] = low[0], out[1] = low[1], out[2] = high[0], out[3] = high[1];
  }
  if constexpr (kScaled) {
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = f16x2_fma(out[i], of.scale, 0x80008000u);
  }
}

template <int kTokenTiles>
struct Sums {
  float v[2][kTokenTiles][4];  // [rows 16 m ..][tokens 8 n ..]
};

template <Form F, Scaling kScaling, int kTokenTiles>
__device__ __forceinline__ void multiply_segment(const FewArgs& args,
                                                 const Stage<F, kScaling, kTokenTiles>& stage,
                                                 int segment, const int (&start)[4],
                                                 RowScale<F> (&scale)[4], Sums<kTokenTiles>& sums) {
  constexpr bool kScaled = kScaling != Scaling::kRow;
  using T = std::conditional_t<F == Form::kBF16, bf16, f16>;
  Vec<uint32_t, 4> words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) words[i] = load<4>(stage.weights[warp_id()][i][lane_id()]);
#pragma unroll
  for (int block = 0; block < blocks_of_segment(F); ++block) {
    uint32_t a[4][4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int r = warp_id() * kWarpRows + 8 * i + lane_id() / 4;
      if constexpr (kScaling == Scaling::kSegment) {
        if (block == 0) {
          scale[i] = read_scale<F>(args, stage.scales[r], start[i], segment, 0);
        }
      }
      if constexpr (kScaling == Scaling::kWord && F == Form::kI4) {
        scale[i] = read_scale<F>(args, stage.scales[r], start[i], segment, block * kBlockColumns);
      }
      if constexpr (kScaling == Scaling::kWord && F != Form::kI4) {
        // Groups may be of 16 columns: each half has its own.
        const int column = block * kBlockColumns;
        scale[i] = read_scale<F>(args, stage.scales[r], start[i], segment, column);
        uint32_t low[4], high[4];
        decode_row<F, true>(words[i].v, block, scale[i], low);
        scale[i] = read_scale<F>(args, stage.scales[r], start[i], segment, column + 16);
        decode_row<F, true>(words[i].v, block, scale[i], high);
        a[i][0] = low[0], a[i][1] = low[1], a[i][2] = high[2], a[i][3] = high[3];
      } else {
        decode_row<F, kScaled>(words[i].v, block, scale[i], a[i]);
      }
    }
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      const auto b = load<4>(stage.x[block][n][lane_id()]);
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        const uint32_t* const top = a[2 * m];
        const uint32_t* const low = a[2 * m + 1];
        mma<T>(sums.v[m][n], {top[0], low[0], top[1], low[1]}, {b[0], b[1]});
        mma<T>(sums.v[m][n], {top[2], low[2], top[3], low[3]}, {b[2], b[3]});
      }
    }
  }
}

__device__ __forceinline__ float scale_of_row(const FewArgs& args, const FewMatrix& matrix,
                                              int64_t row) {
  if (args.scale_type == DType::kF32) return reinterpret_cast<const float*>(matrix.scales)[row];
  const uint16_t raw = reinterpret_cast<const uint16_t*>(matrix.scales)[row];
  return args.scale_type == DType::kF16 ? detail::f16_to_float(raw)
                                        : bits<float>(static_cast<uint32_t>(raw) << 16);
}

// A sum with its scales and bias.
template <Form F, Scaling kScaling>
__device__ __forceinline__ float finished(const FewArgs& args, const FewMatrix& matrix, int64_t row,
                                          int token, float sum) {
  if constexpr (kScaling == Scaling::kRow) sum *= 1 / input_factor(F);
  if constexpr (kScaling == Scaling::kRow && has_codes(F)) sum *= scale_of_row(args, matrix, row);
  if (args.token_scale) sum *= args.token_scale[token];
  return matrix.bias ? sum + matrix.bias[row] : sum;
}

template <Form F, Scaling kScaling, int kTokenTiles>
__device__ __forceinline__ void write_results(const FewArgs& args, const Place& place,
                                              const WarpRows& rows, const Sums<kTokenTiles>& sums) {
  const auto write = [&](const FewMatrix& matrix, int64_t row, int token, float value,
                         float gated_with) {
    value = activate(args.activation, value);
    if (args.gated) value *= gated_with;
    if (args.residual) value += args.residual[token * matrix.rows + row];
    matrix.out[token * matrix.out_stride + row] = value;
  };
#pragma unroll
  for (int n = 0; n < kTokenTiles; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int token = (place.slice * kTokenTiles + n) * kMmaTokens + lane_id() % 4 * 2 + e % 2;
      if (token >= args.tokens) continue;
      float value[2] = {};
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        const int i = 2 * m + e / 2;
        if (!rows.exists(i)) continue;
        value[m] = finished<F, kScaling>(args, rows.matrix[m], rows.row(i), token, sums.v[m][n][e]);
      }
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        const int i = 2 * m + e / 2;
        if (!rows.exists(i) || (args.gated && m == 1)) continue;
        write(rows.matrix[m], rows.row(i), token, value[m], value[1]);
      }
    }
  }
}

// Leaves the sums of this split; true in the block that finds all splits there, and has their sum.
template <int kTokenTiles>
__device__ __forceinline__ bool add_splits(const FewArgs& args, const Place& place,
                                           Sums<kTokenTiles>& sums) {
  SIMT_SHARED(last, int);
  constexpr int kVectors = 2 * kTokenTiles;
  const int64_t unit = place.tile * args.slices + place.slice;
  float* const all = args.partial + unit * args.splits * kVectors * kThreads * 4;
  const auto vector = [&](int split, int i) {
    return all + ((int64_t{split} * kVectors + i) * kThreads + threadIdx.x) * 4;
  };
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const float(&v)[4] = sums.v[i / kTokenTiles][i % kTokenTiles];
    store(vector(place.split, i), Vec<float, 4>{v[0], v[1], v[2], v[3]});
  }
  thread_fence();
  sync_block();
  if (threadIdx.x == 0) {
    last = atomic_add(args.arrived + unit, 1u) == static_cast<unsigned>(args.splits) - 1;
    if (last) args.arrived[unit] = 0;
  }
  sync_block();
  if (!last) return false;
  thread_fence();
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    Vec<float, 4> sum = load<4>(vector(0, i));
    for (int split = 1; split < args.splits; ++split) {
      const auto more = load<4>(vector(split, i));
#pragma unroll
      for (int e = 0; e < 4; ++e) sum[e] += more[e];
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) sums.v[i / kTokenTiles][i % kTokenTiles][e] = sum[e];
  }
  return true;
}

// Of a block; two share the 227 KB of a multiprocessor.
constexpr size_t kSharedBytes = 108 * 1024;
template <class StageT>
constexpr int stages_of() {
  return static_cast<int>(kSharedBytes / sizeof(StageT));
}

template <Form F, Scaling kScaling, int kTokenTiles>
__global__ void __launch_bounds__(kThreads, 2) few_kernel(FewArgs args) {
  using StageT = Stage<F, kScaling, kTokenTiles>;
  constexpr int kStages = stages_of<StageT>();
  StageT* const ring = dynamic_shared<StageT>();
  const Place place = place_of(args);
  const WarpRows rows(args, place.tile);
  Loader<F, kScaling, kTokenTiles> loader(args, place, rows);

  // Weights are constant: their loads start while the kernel ahead still runs.
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) {
    const int segment = place.first_segment + i;
    if (segment < place.end_segment) loader.load_weights(args, ring[i], segment);
  }
  start_next();
  wait_for_previous();
#pragma unroll
  for (int i = 0; i < kStages - 1; ++i) {
    const int segment = place.first_segment + i;
    if (segment < place.end_segment) loader.load_x(args, ring[i], segment);
    cp_async_commit();
  }

  RowScale<F> scale[4];
  int start[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    start[i] = static_cast<int>(rows.clamped(i) * args.groups % 4);
    scale[i] = {0, code_offset<F>(0)};
    if (kScaling == Scaling::kRow && rows.matrix[i / 2].zeros) {
      scale[i].offset = code_offset<F>(rows.matrix[i / 2].zeros[rows.clamped(i)]);
    }
  }
  Sums<kTokenTiles> sums{};
  int slot = 0;
  for (int segment = place.first_segment; segment < place.end_segment; ++segment) {
    cp_async_wait<kStages - 2>();
    sync_block();  // all see the stage, and none reads the one that is filled next
    const int ahead = segment + kStages - 1;
    StageT& free = ring[slot == 0 ? kStages - 1 : slot - 1];
    if (ahead < place.end_segment) {
      loader.load_weights(args, free, ahead);
      loader.load_x(args, free, ahead);
    }
    cp_async_commit();
    multiply_segment<F, kScaling, kTokenTiles>(args, ring[slot], segment, start, scale, sums);
    if (++slot == kStages) slot = 0;
  }
  cp_async_wait<0>();
  if (args.splits > 1 && !add_splits(args, place, sums)) return;
  write_results<F, kScaling>(args, place, rows, sums);
}

// ---- Launches.

template <Form F, Scaling kScaling, int kTokenTiles>
void launch_tokens(Context& context, FewArgs args, int64_t tiles) {
  using StageT = Stage<F, kScaling, kTokenTiles>;
  const int64_t slots = 2 * context.device.multiprocessors;
  const int64_t units = tiles * args.slices;
  const int64_t most = std::max(1, args.segments / 2);
  args.splits =
      static_cast<int>(std::clamp<int64_t>(slots / units, 1, std::min<int64_t>(most, 16)));
  if (args.splits > 1) {
    args.partial = reinterpret_cast<float*>(context.scratch.reserve(
        static_cast<size_t>(units * args.splits * 2 * kTokenTiles * kThreads * 16)));
    args.arrived = reinterpret_cast<unsigned*>(
        context.counters.reserve(sizeof(unsigned) * static_cast<size_t>(units)));
  }
  simt::launch(few_kernel<F, kScaling, kTokenTiles>, {static_cast<unsigned>(units * args.splits)},
               {kThreads}, sizeof(StageT) * stages_of<StageT>(), context.stream, args);
}

template <Form F, Scaling kScaling>
void launch_scaling(Context& context, const FewArgs& args, int64_t tiles) {
  args.padded_tokens == 4 * kMmaTokens ? launch_tokens<F, kScaling, 4>(context, args, tiles)
                                       : launch_tokens<F, kScaling, 8>(context, args, tiles);
}

template <Form F>
void launch_form(Context& context, const Product& product, FewArgs args, int64_t tiles) {
  const int64_t blocks = int64_t{args.segments} * blocks_of_segment(F);
  auto* const fragments = reinterpret_cast<uint32_t*>(
      context.input.reserve(static_cast<size_t>(blocks * args.padded_tokens * 64)));
  args.x = fragments;
  const FragmentArgs of{product.x, product.norm.weight, product.norm.eps, product.columns,
                        blocks,    args.padded_tokens,  fragments};
  const bool wide =
      product.columns % 4 == 0 && aligned16(product.x) && aligned16(product.norm.weight);
  simt::launch(wide ? fragments_kernel<F, true> : fragments_kernel<F, false>,
               {static_cast<unsigned>(product.tokens)}, {kRowThreads}, 0, context.stream, of);
  if (!has_codes(F) || args.groups == 1)
    return launch_scaling<F, Scaling::kRow>(context, args, tiles);
  if constexpr (has_codes(F)) {
    if (args.group % segment_columns(F) == 0) {
      launch_scaling<F, Scaling::kSegment>(context, args, tiles);
    } else {
      launch_scaling<F, Scaling::kWord>(context, args, tiles);
    }
  }
}

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

}  // namespace

bool suits_gemm_few(const Context& context, const Product& product) {
  if (context.device.shared_bytes < kSharedBytes) return false;
  const WeightView& first = product.weight[0];
  if (first.type == DType::kF32 && first.packed_bits == 0) return false;
  if (product.tokens > (first.scales ? kFewTokens : kFewTokensOfFloats)) return false;
  for (int i = 1; i < product.matrices; ++i) {
    const WeightView& w = product.weight[i];
    if (w.type != first.type || w.packed_bits != first.packed_bits || w.group != first.group ||
        w.scale_type != first.scale_type || w.row_stride != first.row_stride ||
        !w.zeros != !first.zeros) {
      return false;
    }
  }
  return true;
}

void gemm_few(Context& context, const Product& product) {
  const WeightView& first = product.weight[0];
  FewArgs args{};
  args.token_scale = product.token_scale;
  args.residual = product.residual;
  args.row_stride = first.row_stride;
  const int64_t slice = product.tokens <= 4 * kMmaTokens ? 4 * kMmaTokens : 8 * kMmaTokens;
  args.padded_tokens = round_up(product.tokens, slice);
  args.tokens = static_cast<int>(product.tokens);
  args.segments = static_cast<int>(first.row_stride / kSegmentBytes);
  args.slices = static_cast<int>(args.padded_tokens / slice);
  args.matrices = product.matrices;
  args.gated = product.gated;
  args.group = static_cast<int>(first.group);
  args.groups = first.group ? static_cast<int>(first.columns / first.group) : 1;
  args.scale_type = first.scale_type;
  args.activation = product.activation;
  int64_t tiles = 0;
  for (int i = 0; i < product.matrices; ++i) {
    const WeightView& w = product.weight[i];
    args.matrix[i] = {.payload = w.payload,
                      .scales = w.scales,
                      .zeros = w.zeros,
                      .bias = product.bias[i],
                      .out = product.out[i],
                      .out_stride = product.out_stride[i],
                      .rows = w.rows,
                      .first_tile = tiles};
    if (!product.gated) tiles += (w.rows + kTileRows - 1) / kTileRows;
  }
  if (product.gated) tiles = (first.rows + kTileRows / 2 - 1) / (kTileRows / 2);
  if (tiles == 0) return;
  if (first.packed_bits == 4) return launch_form<Form::kI4>(context, product, args, tiles);
  switch (first.type) {
    case DType::kI8:
      return launch_form<Form::kI8>(context, product, args, tiles);
    case DType::kF8E4M3:
      return launch_form<Form::kF8>(context, product, args, tiles);
    case DType::kF16:
      return launch_form<Form::kF16>(context, product, args, tiles);
    case DType::kBF16:
      return launch_form<Form::kBF16>(context, product, args, tiles);
    default:
      CHECK(!"a matrix that suits_gemm_few refuses");
  }
}

}  // namespace hone::cuda
