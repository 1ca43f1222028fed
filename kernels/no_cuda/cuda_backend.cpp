// Linked where the CUDA backend is not built.
#include "kernels/no_cuda/cuda_backend.h"

namespace hone {

std::unique_ptr<Backend> open_cuda_backend(std::string* why) {
  *why = "cuda: this build has no CUDA backend";
  return nullptr;
}

}  // namespace hone
