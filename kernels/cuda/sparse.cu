// See sparse.h. Floats: a thread takes 16 bytes of a placed row: 8 kept elements, 16 columns.
// Integers: 16 bytes of the dense row.
#include "kernels/cuda/sparse.h"

#include "kernels/check.h"
#include "kernels/cuda/placed.cuh"
#include "kernels/cuda/rows.cuh"

namespace hone::cuda {
namespace {

constexpr int kTileRows = 16;  // of the index
constexpr int kSegmentBytes = 64;
constexpr int kColumns = 16;  // of a thread

struct Sparse {
  const std::byte* payload;
  const uint32_t* index;
  int64_t row_stride;
  int64_t columns;
};

Sparse sparse_of(const WeightView& w) {
  return {w.payload, reinterpret_cast<const uint32_t*>(w.index), w.row_stride, w.columns};
}

// Elements of 16 columns of a row, as their bits.
__device__ __forceinline__ void expand_chunk(const Sparse& from, int64_t row, int64_t chunk,
                                             uint16_t (&out)[kColumns]) {
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
      out[4 * q + i] = static_cast<uint16_t>(value);
    }
  }
}

__global__ void __launch_bounds__(kRowThreads)
    expand_kernel(Sparse from, std::byte* out, int64_t out_stride, unsigned blocks) {
  simt::start_next();
  simt::wait_for_previous();
  const auto [row, chunk] = row_place(blocks, 1);
  if (chunk * 2 * kColumns >= out_stride) return;
  uint16_t values[kColumns] = {};
  if (chunk * 16 < from.row_stride) expand_chunk(from, row, chunk, values);
  auto* const to = reinterpret_cast<uint16_t*>(out + row * out_stride) + chunk * kColumns;
#pragma unroll
  for (int i = 0; i < kColumns; i += 8) {
    simt::Vec<uint16_t, 8> eight;
#pragma unroll
    for (int e = 0; e < 8; ++e) eight[e] = values[i + e];
    simt::store(to + i, eight);
  }
}

template <class T>
__global__ void __launch_bounds__(kRowThreads)
    embed_sparse_kernel(const int32_t* ids, Sparse table, float* out, unsigned blocks) {
  simt::start_next();
  simt::wait_for_previous();
  const auto [token, chunk] = row_place(blocks, 1);
  if (chunk * 16 >= table.row_stride) return;
  uint16_t values[kColumns];
  expand_chunk(table, ids[token], chunk, values);
#pragma unroll
  for (int i = 0; i < kColumns; ++i) {
    const int64_t column = chunk * kColumns + i;
    if (column < table.columns) {
      out[token * table.columns + column] = static_cast<float>(simt::bits<T>(values[i]));
    }
  }
}

// ---- Integers.

struct SparseIntegers {
  Sparse matrix;
  Scales scales;
};

SparseIntegers integers_of(const WeightView& w) { return {sparse_of(w), scales_of(w)}; }

// A quadruple of columns: its codes, those that were not kept `dropped`.
struct Quadruple {
  int code[4];
};
template <PlacedForm kForm>
__device__ __forceinline__ Quadruple quadruple(const Sparse& from, int64_t row, int64_t column,
                                               int dropped) {
  constexpr int kUnits = kForm == PlacedForm::kI4 ? 4 : 2;  // of 64 columns, in a segment
  const int64_t unit = column / 64, segment = unit / kUnits;
  const int u = static_cast<int>(unit % kUnits), quad = static_cast<int>(column % 64 / 4);
  const int pair = quad % 4, in_tile = static_cast<int>(row % kTileRows);
  const auto* const words =
      reinterpret_cast<const uint32_t*>(from.payload + row * from.row_stride) + 16 * segment +
      quad / 4 * 4;
  const int64_t segments = row / kTileRows * (from.row_stride / kSegmentBytes) + segment;
  const uint32_t index =
      from.index[(segments * simt::kWarpSize + in_tile % 8 * 4 + pair) * kUnits + u];
  const uint32_t positions = index >> (in_tile / 8 * 16 + quad / 4 * 4);
  int kept[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    if constexpr (kForm == PlacedForm::kI4) {
      kept[i] = static_cast<int>(words[u] >> 4 * (pair + 4 * i) & 15) - 8;
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
    expand_integers_kernel(SparseIntegers from, std::byte* out, int64_t out_stride,
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
    embed_integers_kernel(const int32_t* ids, SparseIntegers table, float* out, unsigned blocks) {
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
    const float value = static_cast<float>(all.code[i] - zero) * scale;
    out[token * table.matrix.columns + column + i] = all.code[i] == kDropped ? 0.0f : value;
  }
}

// ---- Either.

bool is_integer(const WeightView& w) { return w.packed_bits == 4 || w.type == DType::kI8; }

int64_t dense_stride(const WeightView& w) {
  const int64_t bits = w.packed_bits == 4 ? 4 : w.type == DType::kI8 ? 8 : 16;
  return (w.columns * bits + 8 * kSegmentBytes - 1) / (8 * kSegmentBytes) * kSegmentBytes;
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
  if (is_integer(sparse)) {
    const unsigned blocks = blocks_per_row(dense.row_stride / 16, 1);
    const auto kernel = sparse.packed_bits == 4 ? expand_integers_kernel<PlacedForm::kI4>
                                                : expand_integers_kernel<PlacedForm::kI8>;
    simt::launch(kernel, {static_cast<unsigned>(sparse.rows) * blocks}, {kRowThreads}, 0,
                 context.stream, integers_of(sparse), memory, dense.row_stride, blocks);
    return dense;
  }
  const unsigned blocks = blocks_per_row(dense.row_stride / (2 * kColumns), 1);
  simt::launch(expand_kernel, {static_cast<unsigned>(sparse.rows) * blocks}, {kRowThreads}, 0,
               context.stream, sparse_of(sparse), memory, dense.row_stride, blocks);
  return dense;
}

void embed_sparse(Context& context, const EmbedArgs& args) {
  if (is_integer(args.table)) {
    const unsigned blocks = blocks_per_row(args.table.columns / 4, 1);
    const auto kernel = args.table.packed_bits == 4 ? embed_integers_kernel<PlacedForm::kI4>
                                                    : embed_integers_kernel<PlacedForm::kI8>;
    simt::launch(kernel, {static_cast<unsigned>(args.tokens) * blocks}, {kRowThreads}, 0,
                 context.stream, args.ids, integers_of(args.table), args.out, blocks);
    return;
  }
  const unsigned blocks = blocks_per_row(args.table.row_stride / 16, 1);
  const auto kernel = args.table.type == DType::kF16 ? embed_sparse_kernel<simt::f16>
                                                     : embed_sparse_kernel<simt::bf16>;
  simt::launch(kernel, {static_cast<unsigned>(args.tokens) * blocks}, {kRowThreads}, 0,
               context.stream, args.ids, sparse_of(args.table), args.out, blocks);
}

}  // namespace hone::cuda
