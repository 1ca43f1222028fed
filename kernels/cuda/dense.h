// Products of dense matrices whose elements are ready for the tensor cores: the library's where
// it has a kernel for them, else own kernels (dense.cu).
#pragma once

#include "kernels/cuda/cuda_ops.h"

namespace hone::cuda {

// The elements of x and weight start at multiples of 16 bytes, strides are multiples of 16 bytes
// and columns of 64 bytes, except with F32.
void multiply(Context& context, const GemmLibrary::Product& product);
void multiply(Context& context, const GemmLibrary::IntegerProduct& product);

}  // namespace hone::cuda
