// A warp's stream of weights, through a ring of stages in shared memory. Each lane copies what it
// will read itself, 16 bytes of two rows; only scales are for others.
#pragma once

#include "kernels/cuda/matvec_args.cuh"

namespace hone::cuda::matvec_detail {

// Of one segment: what scales 16 rows, so many words of each.
template <int kWords>
struct StageScales {
  static constexpr int kScaleWords = kWords;
  static constexpr int kZeroWords = (kScaleWords + 1) / 2;
  uint32_t scales[kTileRows][kScaleWords];
  uint32_t zeros[kTileRows][kZeroWords];
};
template <>
struct StageScales<0> {};
constexpr int scale_words(Form form, Scaling scaling) {
  if (scaling == Scaling::kWord) return form == Form::kSparseI4 ? 8 : 4;
  return is_scaled(scaling);
}

// Where the kept elements of its 16 rows stand: a word of each 64 columns for each lane.
template <int kUnits>
struct StageIndex {
  uint32_t index[kWarpSize][kUnits];
};
template <>
struct StageIndex<0> {};
constexpr int index_units(Form form) { return is_sparse(form) ? segment_columns(form) / 64 : 0; }

// What a warp has in flight of one segment.
template <Form F, Scaling kScaling>
struct alignas(16) Stage : StageIndex<index_units(F)>, StageScales<scale_words(F, kScaling)> {
  uint32_t elements[2][kWarpSize][4];
};

// Where segments of a strip are in the groups of their rows. A segment begins inside the row, so
// that its first group is one.
template <Form F, Scaling kScaling>
struct GroupPlace {
  int column;  // within its group

  // The next segment; returns how many groups further it begins.
  __device__ __forceinline__ int advance(int group) {
    if constexpr (!is_scaled(kScaling)) return 0;
    column += segment_columns(F);
    if constexpr (kScaling == Scaling::kSegment) {
      if (column < group) return 0;
      column = 0;
      return 1;
    } else {
      int groups = 0;
      for (; column >= group; column -= group) ++groups;
      return groups;
    }
  }
};

// Copies segments to the ring, in order, tile after tile. kL2: bytes that the L2 cache brings in
// around each copy.
template <Form F, Scaling kScaling, int kL2>
struct Loader {
  static constexpr int kScaleLanes = kScaling == Scaling::kSegment ? 1 : 2;  // of a row
  // The addresses of several words take registers, of which 2:4 has none left.
  static constexpr int kScalesAtOnce = is_sparse(F) ? 1 : 4;

  const std::byte* elements[2];  // this lane's, of its two rows
  const std::byte* scales;       // of the matrix
  const int8_t* zeros;           // of the matrix, or null
  int group;                     // of all rows' groups: this lane's row, the segment's first
  const uint32_t* index;         // 2:4: this lane's words
  int tile;
  int pair;
  int segment;
  GroupPlace<F, kScaling> place;

  __device__ __forceinline__ void begin(const MatvecArgs& args, const Strip& strip) {
    tile = strip.count > 0 ? strip.first_tile : strip.end_tile;
    pair = 0;
    find_rows(args, strip);
  }

  __device__ __forceinline__ void find_rows(const MatvecArgs& args, const Strip& strip) {
    segment = 0;
    place.column = strip.column;
    if (tile >= strip.end_tile) return;
    const Rows rows = rows_of(args, tile, pair);
    const MatvecMatrix& matrix = args.matrix[rows.matrix];
    const int in_row = strip.first * kSegmentBytes + lane_id() % 4 * 16;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = clamped(rows.first + lane_id() / 4 + 8 * half, matrix.rows);
      elements[half] = matrix.payload + (row * args.row_stride + in_row);
    }
    if constexpr (is_sparse(F)) {
      const int64_t segments = args.row_stride / kSegmentBytes;
      const int64_t segment_of_all = rows.first / kTileRows * segments + strip.first;
      index = matrix.index + (segment_of_all * kWarpSize + lane_id()) * index_units(F);
    }
    if constexpr (is_scaled(kScaling)) {
      const int row = clamped(rows.first + lane_id() / kScaleLanes % kTileRows, matrix.rows);
      group = row * args.groups + strip.group;
      scales = matrix.scales;
      zeros = matrix.zeros;
    }
  }

  // The word of 4 bytes that holds a byte.
  template <class T>
  __device__ __forceinline__ static const std::byte* word(const T* at) {
    const auto* const byte = reinterpret_cast<const std::byte*>(at);
    return byte - (reinterpret_cast<uintptr_t>(byte) & 3);
  }

  __device__ __forceinline__ void load_scales(const MatvecArgs& args,
                                              Stage<F, kScaling>& stage) const {
    using S = Stage<F, kScaling>;
    const int r = lane_id() / kScaleLanes, part = lane_id() % kScaleLanes;
    if (r >= kTileRows) return;
#pragma unroll kScalesAtOnce
    for (int i = part; i < S::kScaleWords; i += kScaleLanes) {
      cp_async<4>(&stage.scales[r][i], word(scales + int64_t{group} * args.scale_bytes) + 4 * i);
    }
    if (!zeros) return;
#pragma unroll
    for (int i = part; i < S::kZeroWords; i += kScaleLanes) {
      cp_async<4>(&stage.zeros[r][i], word(zeros + group) + 4 * i);
    }
  }

  __device__ __forceinline__ void issue(const MatvecArgs& args, const Strip& strip,
                                        Stage<F, kScaling>& stage) {
    if (tile < strip.end_tile) {
      cp_async_ahead<kL2>(stage.elements[0][lane_id()], elements[0]);
      cp_async_ahead<kL2>(stage.elements[1][lane_id()], elements[1]);
      if constexpr (is_scaled(kScaling)) load_scales(args, stage);
      if constexpr (is_sparse(F)) cp_async<4 * index_units(F)>(stage.index[lane_id()], index);
      advance(args, strip);
    }
    cp_async_commit();
  }

  __device__ __forceinline__ void advance(const MatvecArgs& args, const Strip& strip) {
    if (++segment < strip.count) {
      elements[0] += kSegmentBytes;
      elements[1] += kSegmentBytes;
      if constexpr (is_sparse(F)) index += kWarpSize * index_units(F);
      if constexpr (is_scaled(kScaling)) group += place.advance(args.group);
      return;
    }
    if (args.gated && pair == 0) {
      pair = 1;
    } else {
      pair = 0;
      tile += strip.tile_step;
    }
    find_rows(args, strip);
  }
};

// Asks the L2 cache for what the loads of the first tile come to after `ahead` segments: work for
// memory while the kernel ahead ends and activations are prepared.
__device__ __forceinline__ void prefetch(const MatvecArgs& args, const Strip& strip, int ahead) {
  if (strip.first_tile >= strip.end_tile || lane_id() >= kTileRows) return;
  const int wanted = strip.count - ahead < args.prefetch ? strip.count - ahead : args.prefetch;
  if (wanted <= 0) return;
  const Rows rows = rows_of(args, strip.first_tile, 0);
  const MatvecMatrix& matrix = args.matrix[rows.matrix];
  const int row = clamped(rows.first + lane_id(), matrix.rows);
  prefetch_l2(matrix.payload + (row * args.row_stride + (strip.first + ahead) * kSegmentBytes),
              static_cast<unsigned>(wanted * kSegmentBytes));
}

}  // namespace hone::cuda::matvec_detail
