// Rows of a table, by token id: a thread for 16 bytes of a row.
#include "kernels/check.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/placed.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/sparse.h"

namespace hone::cuda {
namespace {

struct Table {
  const std::byte* payload;
  int64_t row_stride;
  int64_t columns;
  Scales scales;
};

// Writes kCount values from `column` on, as far as the row goes.
template <int kCount>
__device__ __forceinline__ void write(float* row, int64_t column, int64_t columns, bool wide,
                                      const float (&v)[kCount]) {
  if (wide && kCount % 4 == 0 && column + kCount <= columns) {
#pragma unroll
    for (int i = 0; i < kCount; i += 4) {
      simt::store(row + column + i, simt::Vec<float, 4>{v[i], v[i + 1], v[i + 2], v[i + 3]});
    }
    return;
  }
  for (int i = 0; i < kCount && column + i < columns; ++i) row[column + i] = v[i];
}

template <PlacedForm kForm>
__global__ void __launch_bounds__(kRowThreads)
    embed_kernel(const int32_t* ids, Table table, float* out, unsigned blocks, bool wide) {
  constexpr int kElements = word_elements(kForm);
  simt::start_next();
  simt::wait_for_previous();
  const auto [token, chunk] = row_place(blocks, 1);
  if (chunk * 16 >= table.row_stride) return;
  const int64_t row = ids[token];
  const auto words = simt::load_nc<4>(
      reinterpret_cast<const uint32_t*>(table.payload + row * table.row_stride) + 4 * chunk);
  float* const to = out + token * table.columns;
  if constexpr (has_scales(kForm)) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int64_t column = column_of_word<kForm>(chunk, j);
      if (column >= table.columns) continue;
      const float scale = table.scales.scale(row, column), zero = table.scales.zero(row, column);
      float values[kElements];
      decode_word<kForm>(words[j], values);
#pragma unroll
      for (int e = 0; e < kElements; ++e) values[e] = (values[e] - zero) * scale;
      write(to, column, table.columns, wide, values);
    }
  } else {
    float values[4 * kElements];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      float of_word[kElements];
      decode_word<kForm>(words[j], of_word);
#pragma unroll
      for (int e = 0; e < kElements; ++e) values[j * kElements + e] = of_word[e];
    }
    write(to, chunk * 4 * kElements, table.columns, wide, values);
  }
}

template <PlacedForm kForm>
void run(Context& context, const EmbedArgs& args) {
  const unsigned blocks = blocks_per_row(args.table.row_stride / 16, 1);
  const Table table{args.table.payload, args.table.row_stride, args.table.columns,
                    scales_of(args.table)};
  const bool wide = args.table.columns % 4 == 0 && aligned16(args.out);
  simt::launch(embed_kernel<kForm>, {static_cast<unsigned>(args.tokens * blocks)}, {kRowThreads}, 0,
               context.stream, args.ids, table, args.out, blocks, wide);
}

}  // namespace

void embed(BackendContext& opaque, const EmbedArgs& args) {
  if (args.tokens == 0 || args.table.columns == 0) return;
  Context& context = own(opaque);
  if (args.table.index) return embed_sparse(context, args);
  switch (placed_form(args.table)) {
    case PlacedForm::kF32:
      return run<PlacedForm::kF32>(context, args);
    case PlacedForm::kF16:
      return run<PlacedForm::kF16>(context, args);
    case PlacedForm::kBF16:
      return run<PlacedForm::kBF16>(context, args);
    case PlacedForm::kI8:
      return run<PlacedForm::kI8>(context, args);
    case PlacedForm::kI4:
      return run<PlacedForm::kI4>(context, args);
    case PlacedForm::kF8:
      return run<PlacedForm::kF8>(context, args);
  }
}

}  // namespace hone::cuda
