// A warp's stream of weights, through a ring of stages in shared memory. Each lane copies what it
// will read itself, 16 bytes of two rows; only scales are for others.
#pragma once

#include "kernels/cuda/matvec_args.cuh"

namespace hone::cuda::matvec_detail {

// Of one segment: what scales 16 rows.
template <Scaling kScaling>
struct StageScales {
  static constexpr int kScaleWords = kScaling == Scaling::kSegment ? 1 : 4;
  static constexpr int kZeroWords = (kScaleWords + 1) / 2;
  uint32_t scales[kTileRows][kScaleWords];
  uint32_t zeros[kTileRows][kZeroWords];
};
template <>
struct StageScales<Scaling::kRow> {};

// What a warp has in flight of one segment.
template <Scaling kScaling>
struct alignas(16) Stage : StageScales<kScaling> {
  uint32_t elements[2][kWarpSize][4];
};

// Moves to the next segment; true where it begins another tile.
template <Form F>
__device__ __forceinline__ bool advance(Place& place, const Strip& strip, const MatvecArgs& args) {
  if (++place.segment < strip.count) {
    place.column += segment_columns(F);
    while (place.column >= args.group && place.group + 1 < args.groups) {
      place.column -= args.group;
      ++place.group;
    }
    return false;
  }
  place.segment = 0;
  place.column = strip.column;
  place.group = strip.group;
  if (args.gated && place.matrix == 0) {
    place.matrix = 1;
  } else {
    place.matrix = 0;
    place.tile += strip.tile_step;
  }
  return true;
}

// Issues loads, in order, one stage at a time.
// kL2: bytes that the L2 cache brings in around each load.
template <Form F, Scaling kScaling, int kL2>
struct Loader {
  const std::byte* elements[2];
  Rows rows;
  Place place;

  __device__ __forceinline__ void find_rows(const MatvecArgs& args, const Strip& strip) {
    if (place.tile >= strip.end_tile) return;
    rows = rows_of(args, place.tile, place.matrix);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t row = clamped(rows.first + lane_id() / 4 + 8 * half, rows.matrix->rows);
      elements[half] = rows.matrix->payload + row * args.row_stride +
                       int64_t{strip.first} * kSegmentBytes + lane_id() % 4 * 16;
    }
  }

  // The word of 4 bytes with byte `at` of an array of `bytes`, and what lies `words` after it.
  __device__ __forceinline__ static const std::byte* word(const void* array, int64_t at, int words,
                                                          int64_t bytes) {
    const int64_t from = (at & ~int64_t{3}) + 4 * words;
    return static_cast<const std::byte*>(array) + (from < bytes ? from : at & ~int64_t{3});
  }

  __device__ __forceinline__ void load_scales(const MatvecArgs& args, Stage<kScaling>& stage) {
    using S = Stage<kScaling>;
    constexpr int kLanes = kScaling == Scaling::kSegment ? 1 : 2;  // of a row
    const int r = lane_id() / kLanes, part = lane_id() % kLanes;
    if (r >= kTileRows) return;
    const int64_t at = clamped(rows.first + r, rows.matrix->rows) * args.groups + place.group;
    const int64_t count = rows.matrix->rows * args.groups;
    const int size = args.scale_type == DType::kF32 ? 4 : 2;
#pragma unroll
    for (int i = part; i < S::kScaleWords; i += kLanes) {
      cp_async<4>(&stage.scales[r][i], word(rows.matrix->scales, at * size, i, count * size));
    }
    if (rows.matrix->zeros) {
#pragma unroll
      for (int i = part; i < S::kZeroWords; i += kLanes) {
        cp_async<4>(&stage.zeros[r][i], word(rows.matrix->zeros, at, i, count));
      }
    }
  }

  __device__ __forceinline__ void issue(const MatvecArgs& args, const Strip& strip,
                                        Stage<kScaling>& stage) {
    if (place.tile < strip.end_tile && strip.count > 0) {
      cp_async_ahead<kL2>(stage.elements[0][lane_id()], elements[0]);
      cp_async_ahead<kL2>(stage.elements[1][lane_id()], elements[1]);
      if constexpr (kScaling != Scaling::kRow) load_scales(args, stage);
      elements[0] += kSegmentBytes;
      elements[1] += kSegmentBytes;
      if (advance<F>(place, strip, args)) find_rows(args, strip);
    }
    cp_async_commit();
  }
};

// Asks the L2 cache for what the loads of the first tile come to after `ahead` segments, and for
// the norm's weight: work for memory while the kernel ahead ends and activations are prepared.
__device__ __forceinline__ void prefetch(const MatvecArgs& args, const Rows& rows,
                                         const Strip& strip, int ahead) {
  if (strip.count == 0 || lane_id() >= kTileRows) return;
  const int wanted = strip.count - ahead < args.prefetch ? strip.count - ahead : args.prefetch;
  if (wanted > 0) {
    const int64_t row = clamped(rows.first + lane_id(), rows.matrix->rows);
    prefetch_l2(
        rows.matrix->payload + row * args.row_stride + int64_t{strip.first + ahead} * kSegmentBytes,
        static_cast<unsigned>(wanted * kSegmentBytes));
  }
}

}  // namespace hone::cuda::matvec_detail
