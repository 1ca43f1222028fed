// Rows that lie in device memory as a file stores them, made rows of weights.h.
#pragma once

#include "kernels/cuda/cuda_ops.h"

namespace hone::cuda {

// Where placed rows begin: 2:4 ones with a tile of the index.
struct PlacedArrays {
  std::byte* payload;
  std::byte* index;
  std::byte* scales;
  std::byte* zeros;
};

// `stored`: some rows of a matrix, pointers in device memory; rows of the payload are filled up
// with zeros to multiples of 64 bytes, and scales are of each row. `placed`: what the matrix
// becomes; of its pointers it only matters which are null.
void place_rows(simt::Stream stream, const WeightView& stored, const WeightView& placed,
                const PlacedArrays& to);

}  // namespace hone::cuda
