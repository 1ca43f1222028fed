// See sparse.h. Floats: a thread takes 16 bytes of a placed row: 8 kept elements, 16 columns.
// Codes, which are integers and fp8: 16 bytes of the dense row.
#include "kernels/cuda/sparse.h"

#include "kernels/cuda/placed.cuh"
#include "kernels/cuda/rows.cuh"

namespace hone::cuda {
namespace {

constexpr int kTileRows = 16;  // of the index
constexpr int kSegmentBytes = 64;
constexpr int kRun = 8, kRuns = 2;  // columns of a thread

struct Sparse {
  const std::byte* payload;
  const uint32_t* index;
  int64_t row_stride;
  int64_t columns;
};

Sparse sparse_of(const WeightView& w) {
  return {w.payload, reinterpret_cast<const uint32_t*>(w.index), w.row_stride, w.columns};
}

// The first column of a run of a thread.
__device__ __forceinline__ int64_t run_column(int64_t chunk, int run) {
  return chunk / 4 * 64 + run * 32 + chunk % 4 * kRun;
}

// Elements of a chunk's runs, as their bits.
__device__ __forceinline__ void expand_chunk(const Sparse& from, int64_t row, int64_t chunk,
                                             simt::Vec<uint16_t, kRun> (&out)[kRuns]) {
  const auto words = simt::load_nc<4>(
      reinterpret_cast<const uint32_t*>(from.payload + row * from.row_stride) + 4 * chunk);
  const int64_t segment = chunk / 4;
  const int in_tile = static_cast<int>(row % kTileRows), lane = static_cast<int>(chunk % 4);
  const uint32_t* const index =
      from.index +
      (row / kTileRows * (from.row_stride / kSegmentBytes) + segment) * simt::kWarpSize +
      in_tile % 8 * 4;
#pragma unroll
  for (int q = 0; q < 4; ++q) {
    const uint32_t positions = index[q] >> (in_tile / 8 * 16 + 4 * lane);
    const uint32_t first = positions & 3, second = positions >> 2 & 3;
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t value = i == first ? words[q] & 0xffff : i == second ? words[q] >> 16 : 0;
      out[q / 2][q % 2 * 4 + static_cast<int>(i)] = static_cast<uint16_t>(value);
    }
  }
}

__global__ void __launch_bounds__(kRowThreads)
    expand_kernel(Sparse from, std::byte* out, int64_t out_stride, unsigned blocks) {
  simt::start_next();
  simt::wait_for_previous();
  const auto [row, chunk] = row_place(blocks, 1);
  if (chunk * 16 >= from.row_stride) return;
  simt::Vec<uint16_t, kRun> runs[kRuns];
  expand_chunk(from, row, chunk, runs);
  auto* const to = reinterpret_cast<uint16_t*>(out + row * out_stride);
#pragma unroll
  for (int i = 0; i < kRuns; ++i) {
    const int64_t column = run_column(chunk, i);
    if (column * 2 < out_stride) simt::store(to + column, runs[i]);
  }
}

template <class T>
__global__ void __launch_bounds__(kRowThreads)
    embed_sparse_kernel(const int32_t* ids, Sparse table, float* out, unsigned blocks) {
  simt::start_next();
  simt::wait_for_previous();
  const auto [token, chunk] = row_place(blocks, 1);
  if (chunk * 16 >= table.row_stride) return;
  simt::Vec<uint16_t, kRun> runs[kRuns];
  expand_chunk(table, ids[token], chunk, runs);
#pragma unroll
  for (int i = 0; i < kRuns; ++i) {
    const int64_t column = run_column(chunk, i);
    if (column >= table.columns) continue;  // which are whole runs
    float* const to = out + token * table.columns + column;
#pragma unroll
    for (int e = 0; e < kRun; ++e) to[e] = static_cast<float>(simt::bits<T>(runs[i][e]));
  }
}

// ---- Codes.

struct SparseCodes {
  Sparse matrix;
  Scales scales;
};

SparseCodes codes_of(const WeightView& w) { return {sparse_of(w), scales_of(w)}; }

// A quadruple of columns: its codes, those that were not kept `dropped`.
struct Quadruple {
  int code[4];
};
template <PlacedForm kForm>
__device__ __forceinline__ Quadruple quadruple(const Sparse& from, int64_t row, int64_t column,
                                               int dropped) {
  constexpr int kUnits = kForm == PlacedForm::kI4 ? 4 : 2;  // of 64 columns, in a segment
  const int64_t unit = column / 64, segment = unit / kUnits;
  const int u = static_cast<int>(unit % kUnits), lane = static_cast<int>(column % 32 / 8);
  const int pair = static_cast<int>(column % 64 / 32 * 2 + column % 8 / 4);  // of the lane's four
  const int in_tile = static_cast<int>(row % kTileRows);
  const auto* const words =
      reinterpret_cast<const uint32_t*>(from.payload + row * from.row_stride) + 16 * segment +
      lane * 4;
  const int64_t segments = row / kTileRows * (from.row_stride / kSegmentBytes) + segment;
  const uint32_t index =
      from.index[(segments * simt::kWarpSize + in_tile % 8 * 4 + pair) * kUnits + u];
  const uint32_t positions = index >> (in_tile / 8 * 16 + lane * 4);
  int kept[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if constexpr (kForm == PlacedForm::kI4) {
      kept[i] = static_cast<int>(words[u] >> 4 * (pair + 4 * i) & 15) - 8;
    } else if constexpr (kForm == PlacedForm::kF8) {
      kept[i] = static_cast<int>(words[2 * u + pair / 2] >> 8 * (pair % 2 * 2 + i) & 255);
    } else {
      kept[i] = static_cast<int8_t>(words[2 * u + pair / 2] >> 8 * (pair % 2 + 2 * i) & 255);
    }
  }
  Quadruple all;
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) {
    all.code[i] = i == (positions & 3) ? kept[0] : i == (positions >> 2 & 3) ? kept[1] : dropped;
  }
  return all;
}

// The dense row as weights.h places it: codes that were not kept are the group's zero point.
template <PlacedForm kForm>
__global__ void __launch_bounds__(kRowThreads)
    expand_codes_kernel(SparseCodes from, std::byte* out, int64_t out_stride,
                           unsigned blocks) {
  constexpr int kElements = word_elements(kForm), kBits = 32 / kElements;
  constexpr int kOffset = kForm == PlacedForm::kI4 ? 8 : 0;
  simt::start_next();
  simt::wait_for_previous();
  const auto [row, chunk] = row_place(blocks, 1);
  if (chunk * 16 >= out_stride) return;
  simt::Vec<uint32_t, 4> words;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    words[j] = 0;
#pragma unroll
    for (int first = 0; first < kElements; first += 4) {
      const int64_t column = column_of_word<kForm>(chunk, j) + first;
      if (column >= from.matrix.columns) continue;
      const auto zero = static_cast<int>(from.scales.zero(row, column));
      const Quadruple all = quadruple<kForm>(from.matrix, row, column, zero);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const auto code = static_cast<uint32_t>(all.code[i] + kOffset) & ((1u << kBits) - 1);
        words[j] |= code << kBits * (first + i);
      }
    }
  }
  simt::store(reinterpret_cast<uint32_t*>(out + row * out_stride) + 4 * chunk, words);
}

template <PlacedForm kForm>
__global__ void __launch_bounds__(kRowThreads)
    embed_codes_kernel(const int32_t* ids, SparseCodes table, float* out, unsigned blocks) {
  simt::start_next();
  simt::wait_for_previous();
  const auto [token, chunk] = row_place(blocks, 1);
  const int64_t column = 4 * chunk, row = ids[token];
  if (column >= table.matrix.columns) return;
  const float scale = table.scales.scale(row, column);
  const auto zero = static_cast<int>(table.scales.zero(row, column));
  constexpr int kDropped = 1 << 10;  // no code
  const Quadruple all = quadruple<kForm>(table.matrix, row, column, kDropped);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int code = all.code[i];
    const float value = kForm == PlacedForm::kF8 ? fp8_value(static_cast<uint32_t>(code))
                                                 : static_cast<float>(code - zero);
    out[token * table.matrix.columns + column + i] = code == kDropped ? 0.0f : value * scale;
  }
}

// ---- Either.

int64_t dense_stride(const WeightView& w) {
  const int64_t bits = 32 / word_elements(placed_form(w));
  return (w.columns * bits + 8 * kSegmentBytes - 1) / (8 * kSegmentBytes) * kSegmentBytes;
}

template <PlacedForm kForm>
void expand_codes(Context& context, const WeightView& sparse, std::byte* memory, int64_t stride) {
  const unsigned blocks = blocks_per_row(stride / 16, 1);
  simt::launch(expand_codes_kernel<kForm>, {static_cast<unsigned>(sparse.rows) * blocks},
               {kRowThreads}, 0, context.stream, codes_of(sparse), memory, stride, blocks);
}

template <PlacedForm kForm>
void embed_codes(Context& context, const EmbedArgs& args) {
  const unsigned blocks = blocks_per_row(args.table.columns / 4, 1);
  simt::launch(embed_codes_kernel<kForm>, {static_cast<unsigned>(args.tokens) * blocks},
               {kRowThreads}, 0, context.stream, args.ids, codes_of(args.table), args.out, blocks);
}

template <class T>
void embed_floats(Context& context, const EmbedArgs& args) {
  const unsigned blocks = blocks_per_row(args.table.row_stride / 16, 1);
  simt::launch(embed_sparse_kernel<T>, {static_cast<unsigned>(args.tokens) * blocks},
               {kRowThreads}, 0, context.stream, args.ids, sparse_of(args.table), args.out, blocks);
}

}  // namespace

int64_t dense_bytes(const WeightView& sparse) {
  return (sparse.rows * dense_stride(sparse) + 255) / 256 * 256;
}

WeightView expand(Context& context, const WeightView& sparse, std::byte* memory) {
  WeightView dense = sparse;
  dense.payload = memory;
  dense.index = nullptr;
  dense.row_stride = dense_stride(sparse);
  const int64_t stride = dense.row_stride;
  switch (placed_form(sparse)) {
    case PlacedForm::kI4:
      expand_codes<PlacedForm::kI4>(context, sparse, memory, stride);
      break;
    case PlacedForm::kI8:
      expand_codes<PlacedForm::kI8>(context, sparse, memory, stride);
      break;
    case PlacedForm::kF8:
      expand_codes<PlacedForm::kF8>(context, sparse, memory, stride);
      break;
    default:
      const unsigned blocks = blocks_per_row(sparse.row_stride / 16, 1);
      simt::launch(expand_kernel, {static_cast<unsigned>(sparse.rows) * blocks}, {kRowThreads}, 0,
                   context.stream, sparse_of(sparse), memory, stride, blocks);
  }
  return dense;
}

void embed_sparse(Context& context, const EmbedArgs& args) {
  switch (placed_form(args.table)) {
    case PlacedForm::kI4:
      return embed_codes<PlacedForm::kI4>(context, args);
    case PlacedForm::kI8:
      return embed_codes<PlacedForm::kI8>(context, args);
    case PlacedForm::kF8:
      return embed_codes<PlacedForm::kF8>(context, args);
    case PlacedForm::kF16:
      return embed_floats<simt::f16>(context, args);
    default:
      return embed_floats<simt::bf16>(context, args);
  }
}

}  // namespace hone::cuda
