// What the device can do, measured: how fast its memory is read, and the rate of the library's bf16
// product. The figures that shares of bandwidth and of peak refer to.
#include "kernels/cuda/probe.h"

#include <algorithm>

namespace hone::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kUnrolled = 4;
constexpr int kBlocksPerMultiprocessor = 8;
constexpr size_t kArrayBytes = size_t{4} << 30;  // many times any L2 cache
constexpr int64_t kProductSize = 8192;
constexpr int kPasses = 5;

// Sums all words, so that no load can be left out. words: a multiple of 4.
__global__ void __launch_bounds__(kThreads)
    read_kernel(const uint32_t* array, int64_t words, uint32_t* sum) {
  simt::start_next();
  simt::wait_for_previous();
  const int64_t step = int64_t{4} * kThreads * gridDim.x;
  uint32_t total = 0;
  int64_t i = 4 * (int64_t{blockIdx.x} * kThreads + threadIdx.x);
  for (; i + (kUnrolled - 1) * step < words; i += kUnrolled * step) {
    simt::Vec<uint32_t, 4> v[kUnrolled];
#pragma unroll
    for (int u = 0; u < kUnrolled; ++u) v[u] = simt::load_nc<4>(array + i + u * step);
#pragma unroll
    for (int u = 0; u < kUnrolled; ++u) total += v[u][0] + v[u][1] + v[u][2] + v[u][3];
  }
  for (; i < words; i += step) total += simt::load_nc<4>(array + i)[0];
  total = simt::warp_sum(total);
  if (simt::lane_id() == 0) simt::atomic_add(sum, total);
}

// The best of several passes of what `body` gives to the stream.
template <typename Body>
double best_seconds(simt::Stream stream, const Body& body) {
  double best = 1e30;
  for (int pass = 0; pass < kPasses; ++pass) best = std::min(best, seconds_of(stream, body));
  return best;
}

double product_rate(Context& context, std::byte* memory) {
  const auto n = static_cast<size_t>(kProductSize);
  const GemmLibrary::Product product = {.type = DType::kBF16,
                                        .x = memory,
                                        .weight = memory + 2 * n * n,
                                        .out = reinterpret_cast<float*>(memory + 4 * n * n),
                                        .tokens = kProductSize,
                                        .rows = kProductSize,
                                        .columns = kProductSize,
                                        .x_stride = kProductSize,
                                        .weight_stride = kProductSize,
                                        .out_stride = kProductSize};
  if (!context.gemm || !context.gemm->multiply(context.stream, product)) return 0;
  const double seconds =
      best_seconds(context.stream, [&] { context.gemm->multiply(context.stream, product); });
  return 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n) / seconds;
}

}  // namespace

bool may_overlap(const DeviceInfo& device) {
  constexpr int kFirst = 90;
  return device.architecture >= kFirst && simt::compiled_for(read_kernel) >= kFirst;
}

MachinePeaks measure_peaks(Context& context) {
  constexpr size_t kSum = 256;
  const size_t bytes = std::min(kArrayBytes, free_device_bytes() / 2 / 256 * 256);
  if (bytes < 2 * kSum) return {};
  Scratch scratch;
  std::byte* const memory = scratch.reserve(bytes);
  auto* const sum = reinterpret_cast<uint32_t*>(memory);
  auto* const array = reinterpret_cast<uint32_t*>(memory + kSum);
  const auto words = static_cast<int64_t>((bytes - kSum) / sizeof(uint32_t));
  const auto blocks =
      static_cast<unsigned>(kBlocksPerMultiprocessor * context.device.multiprocessors);
  const double seconds = best_seconds(context.stream, [&] {
    simt::launch(read_kernel, {blocks}, {kThreads}, 0, context.stream, array, words, sum);
  });
  MachinePeaks peaks = {.read_bytes_per_second = static_cast<double>(4 * words) / seconds};
  const auto n = static_cast<size_t>(kProductSize);
  if (8 * n * n <= bytes) peaks.flops_per_second = product_rate(context, memory);
  return peaks;
}

}  // namespace hone::cuda
