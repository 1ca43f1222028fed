// See sparse.h. A thread takes 16 bytes of a placed row: 8 kept elements, 16 columns.
#include "kernels/cuda/sparse.h"

#include "kernels/check.h"
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

int64_t dense_stride(const WeightView& w) {
  return (2 * w.columns + kSegmentBytes - 1) / kSegmentBytes * kSegmentBytes;
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
  const unsigned blocks = blocks_per_row(dense.row_stride / (2 * kColumns), 1);
  simt::launch(expand_kernel, {static_cast<unsigned>(sparse.rows) * blocks}, {kRowThreads}, 0,
               context.stream, sparse_of(sparse), memory, dense.row_stride, blocks);
  return dense;
}

void embed_sparse(Context& context, const EmbedArgs& args) {
  const unsigned blocks = blocks_per_row(args.table.row_stride / 16, 1);
  const auto kernel = args.table.type == DType::kF16 ? embed_sparse_kernel<simt::f16>
                                                     : embed_sparse_kernel<simt::bf16>;
  simt::launch(kernel, {static_cast<unsigned>(args.tokens) * blocks}, {kRowThreads}, 0,
               context.stream, args.ids, sparse_of(args.table), args.out, blocks);
}

}  // namespace hone::cuda
