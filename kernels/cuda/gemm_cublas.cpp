// GemmLibrary by cuBLASLt. Its matrices are column-major: a row-major [tokens, rows] is its
// [rows, tokens], so that out = x * weight^T becomes out' = op(weight') * x' with op = transpose,
// the form it has the fastest kernels for.
#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "kernels/cuda/runtime.h"

namespace hone::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;

void must(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw std::runtime_error(std::string(what) + ": " + cublasLtGetStatusString(status));
}

cudaDataType_t type_of(DType type) {
  switch (type) {
    case DType::kF16:
      return CUDA_R_16F;
    case DType::kBF16:
      return CUDA_R_16BF;
    case DType::kI8:
      return CUDA_R_8I;
    case DType::kF8E4M3:
      return CUDA_R_8F_E4M3;
    default:
      return CUDA_R_32F;
  }
}

// Largest power of two, up to 256, that divides an address and the bytes between columns.
uint32_t alignment(const void* p, int64_t stride_bytes) {
  const uint64_t both = reinterpret_cast<uint64_t>(p) | static_cast<uint64_t>(stride_bytes) | 256;
  return static_cast<uint32_t>(both & (~both + 1));
}

// A product as the library is asked for it.
struct Call {
  DType type;  // of x and weight; I8: sums and out are int32, else f32
  int64_t tokens, rows, columns;
  int64_t x_stride, weight_stride, out_stride, add_stride;
  const void* x;
  const void* weight;
  void* out;
  const float* bias;
  const float* add;
  float factor;
};

// What its choice of a kernel depends on.
using Key = std::array<int64_t, 14>;

Key key_of(const Call& c) {
  const int64_t size = info(c.type).block_bytes;
  return {static_cast<int64_t>(c.type),
          c.tokens,
          c.rows,
          c.columns,
          c.x_stride,
          c.weight_stride,
          c.out_stride,
          c.add ? c.add_stride : 0,
          c.bias != nullptr,
          alignment(c.x, c.x_stride * size),
          alignment(c.weight, c.weight_stride * size),
          alignment(c.out, c.out_stride * 4),
          c.add ? alignment(c.add, c.add_stride * 4) : 256,
          c.add == c.out};
}

// Everything that describes a call but its pointers.
class Plan {
 public:
  explicit Plan(const Call& c) {
    const bool integers = c.type == DType::kI8;
    const cudaDataType_t in = type_of(c.type), out = integers ? CUDA_R_32I : CUDA_R_32F;
    must(cublasLtMatmulDescCreate(&operation_, integers ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F,
                                  out),
         "cublasLtMatmulDescCreate");
    const cublasOperation_t transpose = CUBLAS_OP_T;
    set(CUBLASLT_MATMUL_DESC_TRANSA, transpose);
    if (c.bias) {
      const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    }
    layout(&weight_, in, c.columns, c.rows, c.weight_stride);
    layout(&x_, in, c.columns, c.tokens, c.x_stride);
    layout(&out_, out, c.rows, c.tokens, c.out_stride);
    layout(&add_, out, c.rows, c.tokens, c.add ? c.add_stride : c.out_stride);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    cublasLtMatrixLayoutDestroy(weight_);
    cublasLtMatrixLayoutDestroy(x_);
    cublasLtMatrixLayoutDestroy(out_);
    cublasLtMatrixLayoutDestroy(add_);
    cublasLtMatmulDescDestroy(operation_);
  }

  // False where the library has no kernel.
  bool choose(cublasLtHandle_t handle, const Call& c) {
    const int64_t size = info(c.type).block_bytes;
    cublasLtMatmulPreferenceOpaque_t preference;
    must(cublasLtMatmulPreferenceInit(&preference), "cublasLtMatmulPreferenceInit");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t which, auto value) {
      must(cublasLtMatmulPreferenceSetAttribute(&preference, which, &value, sizeof value),
           "cublasLtMatmulPreferenceSetAttribute");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(c.weight, c.weight_stride * size));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(c.x, c.x_stride * size));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
           c.add ? alignment(c.add, c.add_stride * 4) : alignment(c.out, c.out_stride * 4));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(c.out, c.out_stride * 4));
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        handle, operation_, weight_, x_, add_, out_, &preference, 1, &found, &count);
    if (status != CUBLAS_STATUS_SUCCESS || count == 0) return false;
    if (found.state != CUBLAS_STATUS_SUCCESS) return false;
    algorithm_ = found.algo;
    return true;
  }

  void run(cublasLtHandle_t handle, simt::Stream stream, const Call& c, void* workspace) {
    if (c.bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, c.bias);
    const float factor = c.factor, beta = c.add ? 1 : 0;
    const int32_t one = 1, zero = 0;
    const bool integers = c.type == DType::kI8;
    const void* const alpha = integers ? static_cast<const void*>(&one) : &factor;
    const void* const keep = integers ? static_cast<const void*>(&zero) : &beta;
    must(cublasLtMatmul(handle, operation_, alpha, c.weight, weight_, c.x, x_, keep,
                        c.add ? c.add : c.out, add_, c.out, out_, &algorithm_, workspace,
                        kWorkspaceBytes, stream.handle),
         "cublasLtMatmul");
  }

 private:
  template <class T>
  void set(cublasLtMatmulDescAttributes_t which, const T& value) {
    must(cublasLtMatmulDescSetAttribute(operation_, which, &value, sizeof value),
         "cublasLtMatmulDescSetAttribute");
  }
  static void layout(cublasLtMatrixLayout_t* to, cudaDataType_t type, int64_t rows, int64_t columns,
                     int64_t stride) {
    must(cublasLtMatrixLayoutCreate(to, type, static_cast<uint64_t>(rows),
                                    static_cast<uint64_t>(columns), stride),
         "cublasLtMatrixLayoutCreate");
  }

  cublasLtMatmulDesc_t operation_ = nullptr;
  cublasLtMatrixLayout_t weight_ = nullptr, x_ = nullptr, out_ = nullptr, add_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_{};
};

struct CloseHandle {
  void operator()(cublasLtHandle_t handle) const { cublasLtDestroy(handle); }
};
using Handle = std::unique_ptr<std::remove_pointer_t<cublasLtHandle_t>, CloseHandle>;

class Cublas final : public GemmLibrary {
 public:
  Cublas(const DeviceInfo& device, Handle handle)
      : handle_(std::move(handle)),
        workspace_(allocate_device(kWorkspaceBytes)),
        fp8_(device.architecture >= kFirstWithFp8) {}
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;
  ~Cublas() override { release_device(workspace_); }

  bool multiply(simt::Stream stream, const Product& p) override {
    return multiply(stream,
                    {p.type, p.tokens, p.rows, p.columns, p.x_stride, p.weight_stride, p.out_stride,
                     p.add_stride, p.x, p.weight, p.out, p.bias, p.add, p.factor});
  }
  bool multiplies_fp8() const override { return fp8_; }
  bool multiply(simt::Stream stream, const IntegerProduct& p) override {
    return multiply(stream, {DType::kI8, p.tokens, p.rows, p.columns, p.x_stride, p.weight_stride,
                             p.out_stride, 0, p.x, p.weight, p.out, nullptr, nullptr, 1});
  }

 private:
  bool multiply(simt::Stream stream, const Call& call) {
    Plan* const plan = plan_for(call);
    if (plan) plan->run(handle_.get(), stream, call, workspace_);
    return plan != nullptr;
  }

  // Null where the library has no kernel.
  Plan* plan_for(const Call& call) {
    const Key key = key_of(call);
    const auto known = plans_.find(key);
    if (known != plans_.end()) return known->second.get();
    auto plan = std::make_unique<Plan>(call);
    if (!plan->choose(handle_.get(), call)) plan.reset();
    return plans_.emplace(key, std::move(plan)).first->second.get();
  }

  static constexpr int kFirstWithFp8 = 89;

  Handle handle_;
  void* workspace_;
  bool fp8_;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace

std::unique_ptr<GemmLibrary> open_gemm_library(const DeviceInfo& device, std::string* why) {
  cublasLtHandle_t handle = nullptr;
  const cublasStatus_t status = cublasLtCreate(&handle);
  if (status != CUBLAS_STATUS_SUCCESS) {
    *why = std::string("cuBLASLt does not open: ") + cublasLtGetStatusString(status);
    return nullptr;
  }
  return std::make_unique<Cublas>(device, Handle(handle));
}

}  // namespace hone::cuda
