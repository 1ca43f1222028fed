// See place.h. A thread writes 16 bytes of a placed row, a word of an index, or a scale.
#include "kernels/cuda/place.h"

#include "kernels/check.h"
#include "kernels/cuda/placed.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/stored.cuh"

namespace hone::cuda {
namespace {

constexpr int kSegmentBytes = 64;
constexpr int kTileRows = 16;  // of the index

// ---- The payload.

// Runs of stored neighbours that weights.h turns, as what they count: words or elements. In chunk i
// of 16 bytes, which holds `in_chunk` of those, the p-th is this one in stored order.
__device__ __forceinline__ int64_t stored_order(int64_t chunk, int p, int in_chunk, int run) {
  return chunk / 4 * 4 * in_chunk + (p / run * 4 + chunk % 4) * run + p % run;
}

// Words that are the file's, in another order.
__global__ void __launch_bounds__(kRowThreads)
    turn_words_kernel(const uint32_t* stored, uint32_t* placed, int64_t chunks, int run) {
  simt::start_next();
  simt::wait_for_previous();
  const int64_t chunk = int64_t{blockIdx.x} * kRowThreads + threadIdx.x;
  if (chunk >= chunks) return;
  simt::Vec<uint32_t, 4> words;
#pragma unroll
  for (int j = 0; j < 4; ++j) words[j] = stored[stored_order(chunk, j, 4, run)];
  simt::store(placed + 4 * chunk, words);
}

// The bits of a code.
template <PlacedForm kForm>
__device__ __forceinline__ uint32_t bits_of(int code) {
  return kForm == PlacedForm::kI4 ? static_cast<uint32_t>(code + 8) & 15
                                  : static_cast<uint32_t>(code) & 255;
}

// The bits of element i of a placed row. What a 2:4 row that becomes dense did not keep is zero: as
// a code, the zero point.
template <PlacedForm kForm>
__device__ __forceinline__ uint32_t placed_element(const StoredRows& from, int64_t row,
                                                   uint32_t i) {
  const uint32_t place = stored_place(from, row, i);
  if (place == kDropped) return bits_of<kForm>(from.zeros ? zero_of(from, row, i) : 0);
  const int code = stored_code(from, row, place);
  if constexpr (kForm == PlacedForm::kF16) {
    const BlockScale scale = stored_scale(from, row, place);
    return simt::f16(static_cast<float>(code) * scale.factor + scale.minimum).raw;
  } else {
    return bits_of<kForm>(code);
  }
}

struct PlacedRows {
  std::byte* payload;
  int64_t row_stride;
  int64_t elements;  // of a row
};

// Elements of the runs that are turned: words of dense rows of codes, fours of 2:4 ones.
constexpr int turned_run(PlacedForm form, bool sparse) {
  return sparse ? 4 : has_scales(form) ? word_elements(form) : 4 * word_elements(form);
}

// Elements that are taken out of the file's, one by one. kSparse: 2:4, with each word's even
// elements before its odd ones where they are integers.
template <PlacedForm kForm, bool kSparse>
__global__ void __launch_bounds__(kRowThreads)
    place_elements_kernel(StoredRows from, PlacedRows to, unsigned blocks) {
  constexpr int kElements = word_elements(kForm), kHalf = kElements / 2;
  constexpr bool kParted = kSparse && has_scales(kForm);
  simt::start_next();
  simt::wait_for_previous();
  const auto [row, chunk] = row_place(blocks, 1);
  if (chunk * 16 >= to.row_stride) return;
  simt::Vec<uint32_t, 4> words;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    words[j] = 0;
#pragma unroll 1
    for (int e = 0; e < kElements; ++e) {
      const int p = j * kElements + (kParted ? e % kHalf * 2 + e / kHalf : e);
      const int64_t i = stored_order(chunk, p, 4 * kElements, turned_run(kForm, kSparse));
      if (i >= to.elements) continue;
      words[j] |= placed_element<kForm>(from, row, static_cast<uint32_t>(i)) << 32 / kElements * e;
    }
  }
  simt::store(reinterpret_cast<uint32_t*>(to.payload + row * to.row_stride) + 4 * chunk, words);
}

// ---- The index of 2:4 rows, and the scales of blocks.

struct StoredIndex {
  const std::byte* index;
  int64_t rows;
  int64_t columns;
};

// Positions of the kept elements of four quadruples of columns, from the first on, 2 apart.
__device__ __forceinline__ uint32_t positions(const StoredIndex& from, int64_t row, int64_t first) {
  constexpr uint32_t kFirstTwo = 4;  // where there is no row or column: 0 and 1
  uint32_t packed = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int64_t quad = first + 2 * i;
    const bool inside = row < from.rows && quad < from.columns / 4;
    const auto pair =
        inside ? static_cast<uint32_t>(from.index[row * (from.columns / 8) + quad / 2]) : 0;
    packed |= (inside ? pair >> quad % 2 * 4 & 15 : kFirstTwo) << 4 * i;
  }
  return packed;
}

// units: of a segment.
__global__ void __launch_bounds__(kRowThreads)
    place_index_kernel(StoredIndex from, uint32_t* index, int64_t tile_words, unsigned units,
                       unsigned blocks) {
  simt::start_next();
  simt::wait_for_previous();
  const auto [tile, word] = row_place(blocks, 1);
  if (word >= tile_words) return;
  const auto lane = static_cast<int>(word / units % simt::kWarpSize);
  const int64_t unit = word / (units * simt::kWarpSize) * units + word % units;
  const int64_t row = tile * kTileRows + lane / 4;
  const int64_t first = unit * 16 + lane % 4 / 2 * 8 + lane % 2;
  const uint32_t low = positions(from, row, first), high = positions(from, row + 8, first);
  index[tile * tile_words + word] = low | high << 16;
}

// group: stored elements that have a scale in common.
template <class T>
__global__ void __launch_bounds__(kRowThreads)
    place_scales_kernel(StoredRows from, T* scales, int64_t groups, unsigned group,
                        unsigned blocks) {
  simt::start_next();
  simt::wait_for_previous();
  const auto [row, g] = row_place(blocks, 1);
  if (g >= groups) return;
  const auto i = static_cast<uint32_t>(g * group);
  scales[row * groups + g] = T(stored_scale(from, row, i).factor);
}

// ---- Launches.

StoredRows stored_rows(const WeightView& w, bool becomes_dense) {
  return {.payload = w.payload,
          .index = becomes_dense ? w.index : nullptr,
          .zeros = w.zeros,
          .row_stride = w.row_stride,
          .columns = w.columns,
          .group = w.group,
          .type = static_cast<uint32_t>(w.type),
          .packed_bits = static_cast<uint32_t>(w.packed_bits)};
}

void place_elements(simt::Stream stream, const WeightView& stored, const WeightView& placed,
                    std::byte* payload) {
  const PlacedRows to{payload, placed.row_stride, placed.stored_columns()};
  const unsigned blocks = blocks_per_row(placed.row_stride / 16, 1);
  const auto run = [&](auto kernel) {
    simt::launch(kernel, {static_cast<unsigned>(stored.rows) * blocks}, {kRowThreads}, 0, stream,
                 stored_rows(stored, !placed.index), to, blocks);
  };
  const bool sparse = placed.index != nullptr;
  switch (placed_form(placed)) {
    case PlacedForm::kI4:
      return run(sparse ? place_elements_kernel<PlacedForm::kI4, true>
                        : place_elements_kernel<PlacedForm::kI4, false>);
    case PlacedForm::kF16:
      return run(sparse ? place_elements_kernel<PlacedForm::kF16, true>
                        : place_elements_kernel<PlacedForm::kF16, false>);
    default:
      return run(sparse ? place_elements_kernel<PlacedForm::kI8, true>
                        : place_elements_kernel<PlacedForm::kI8, false>);
  }
}

void turn_words(simt::Stream stream, const WeightView& stored, const WeightView& placed,
                std::byte* payload) {
  CHECK(stored.row_stride == placed.row_stride);
  const PlacedForm form = placed_form(placed);
  const int run = turned_run(form, placed.index != nullptr) / word_elements(form);
  const int64_t chunks = stored.rows * placed.row_stride / 16;
  simt::launch(turn_words_kernel, {blocks_per_row(chunks, 1)}, {kRowThreads}, 0, stream,
               reinterpret_cast<const uint32_t*>(stored.payload),
               reinterpret_cast<uint32_t*>(payload), chunks, run);
}

void place_payload(simt::Stream stream, const WeightView& stored, const WeightView& placed,
                   std::byte* payload) {
  const bool same_words = stored.type == placed.type && stored.packed_bits == placed.packed_bits &&
                          !stored.index == !placed.index;
  const bool parted = placed.index && (placed.packed_bits == 4 || placed.type == DType::kI8);
  same_words && !parted ? turn_words(stream, stored, placed, payload)
                        : place_elements(stream, stored, placed, payload);
}

void place_index(simt::Stream stream, const WeightView& stored, const WeightView& placed,
                 std::byte* index) {
  const unsigned units = index_units(placed_form(placed));
  const int64_t tiles = (stored.rows + kTileRows - 1) / kTileRows;
  const int64_t tile_words = placed.row_stride / kSegmentBytes * units * simt::kWarpSize;
  const unsigned blocks = blocks_per_row(tile_words, 1);
  simt::launch(place_index_kernel, {static_cast<unsigned>(tiles) * blocks}, {kRowThreads}, 0,
               stream, StoredIndex{stored.index, stored.rows, stored.columns},
               reinterpret_cast<uint32_t*>(index), tile_words, units, blocks);
}

void place_block_scales(simt::Stream stream, const WeightView& stored, const WeightView& placed,
                        std::byte* scales) {
  const int64_t groups = placed.columns / placed.group;
  const unsigned blocks = blocks_per_row(groups, 1);
  const auto run = [&](auto kernel, auto* to) {
    simt::launch(kernel, {static_cast<unsigned>(stored.rows) * blocks}, {kRowThreads}, 0, stream,
                 stored_rows(stored, false), to, groups,
                 static_cast<unsigned>(stored.stored_columns() / groups), blocks);
  };
  placed.scale_type == DType::kF16
      ? run(place_scales_kernel<simt::f16>, reinterpret_cast<simt::f16*>(scales))
      : run(place_scales_kernel<float>, reinterpret_cast<float*>(scales));
}

void copy(simt::Stream stream, std::byte* to, const void* from, int64_t bytes) {
  copy_on_device(stream, to, from, static_cast<size_t>(bytes));
}

}  // namespace

void place_rows(simt::Stream stream, const WeightView& stored, const WeightView& placed,
                const PlacedArrays& to) {
  place_payload(stream, stored, placed, to.payload);
  if (placed.index) place_index(stream, stored, placed, to.index);
  if (!placed.scales) return;
  const int64_t count = stored.rows * (placed.columns / placed.group);
  stored.scales ? copy(stream, to.scales, stored.scales, row_bytes(placed.scale_type, count))
                : place_block_scales(stream, stored, placed, to.scales);
  if (placed.zeros) copy(stream, to.zeros, stored.zeros, count);
}

}  // namespace hone::cuda
