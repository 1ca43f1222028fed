// Linked where the CUDA backend is not built.
#include "kernels/open_cuda.h"

namespace hone {

std::unique_ptr<Backend> open_cuda_backend(int, std::string* why) {
  *why = "cuda: this build has no CUDA backend";
  return nullptr;
}

}  // namespace hone
