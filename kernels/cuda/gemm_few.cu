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
#include "kernels/cuda/gemm_few_sums.cuh"
#include "kernels/cuda/rows.cuh"

namespace hone::cuda {
namespace {

using namespace simt;
using namespace gemm_few_detail;
using matvec_detail::fragment_column;
using matvec_detail::pair_element;

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
  SegmentLoader<F, kScaling, kTokenTiles> loader(args, place, rows);

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
