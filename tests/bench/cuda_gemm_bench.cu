// Speed of the CUDA backend's products of many tokens, its small ops, launches and its placing of
// weights, on the GPU at hand. Products are those of a layer of Llama-3.1-8B; beside each stands
// the library's bare bf16 product of the same shapes, inputs ready. Built by tests/cuda/device:
//
//   gemm_bench [gemm] [small] [launches] [place] [tokens=2048] [tokens=64] [chunk=16]
//
// Each figure is the median of 7 replays of a CUDA graph of several calls.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/weights.h"

namespace hone::cuda {

extern int64_t gemm_chunk_bytes;  // gemm.cu

namespace {

using simt::bits;

// ---- Random data: products of zeros run faster.

__device__ uint32_t noise(uint64_t i) {
  i *= 0x9e3779b97f4a7c15u;
  i ^= i >> 29;
  i *= 0xbf58476d1ce4e5b9u;
  return static_cast<uint32_t>(i >> 32);
}
__device__ float centred(uint64_t i, float scale) {
  return (static_cast<float>(noise(i)) * 0x1p-31f - 1) * scale;
}

enum class Fill { kF32, kF16, kBF16, kBytes };
__global__ void fill_kernel(void* p, int64_t count, Fill fill, float scale) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += step) {
    if (fill == Fill::kF32) static_cast<float*>(p)[i] = centred(i, scale);
    if (fill == Fill::kF16) static_cast<simt::f16*>(p)[i] = simt::f16(centred(i, scale));
    if (fill == Fill::kBF16) static_cast<simt::bf16*>(p)[i] = simt::bf16(centred(i, scale));
    if (fill == Fill::kBytes) static_cast<uint32_t*>(p)[i] = noise(i);
  }
}

std::vector<void*> allocated;

template <class T>
T* random_array(int64_t count, Fill fill, float scale = 1) {
  void* const p = allocate_device(static_cast<size_t>(count) * sizeof(T));
  allocated.push_back(p);
  fill_kernel<<<1024, 256>>>(p, fill == Fill::kBytes ? count * int64_t{sizeof(T)} / 4 : count, fill,
                             scale);
  return static_cast<T*>(p);
}

void free_arrays() {
  cudaDeviceSynchronize();
  for (void* p : allocated) release_device(p);
  allocated.clear();
}

// ---- Time.

struct Bench {
  Context context;
  int64_t tokens = 2048;
};

// Seconds a call, of `calls` recorded calls.
double time_of(Bench& bench, int calls, const std::function<void(int)>& call) {
  const simt::Stream stream = bench.context.stream;
  for (int i = 0; i < 3; ++i) call(i);
  stream.wait();
  const auto recording = record(stream, [&] {
    for (int i = 0; i < calls; ++i) call(i);
  });
  cudaEvent_t begin, end;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  std::vector<double> seconds;
  for (int i = 0; i < 8; ++i) {
    cudaEventRecord(begin, stream.handle);
    recording->run(stream);
    cudaEventRecord(end, stream.handle);
    stream.wait();
    float ms = 0;
    cudaEventElapsedTime(&ms, begin, end);
    if (i > 0) seconds.push_back(ms * 1e-3 / calls);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

// ---- Products.

struct Shape {
  const char* name;
  int matrices;
  int64_t rows[3];
  int64_t columns;
  bool gated, norm, residual;
};
constexpr Shape kShapes[] = {
    {"q k v", 3, {4096, 1024, 1024}, 4096, false, true, false},
    {"output", 1, {4096, 0, 0}, 4096, false, false, true},
    {"gate up", 2, {14336, 14336, 0}, 4096, true, true, false},
    {"down", 1, {4096, 0, 0}, 14336, false, false, true},
};

struct Kind {
  const char* name;
  DType type;
  int packed_bits;
  int64_t group;  // 0: none, -1: a row
  bool quantize_input;
};
constexpr Kind kKinds[] = {
    {"bf16", DType::kBF16, 0, 0, false},       {"f16", DType::kF16, 0, 0, false},
    {"int8 g128", DType::kI8, 0, 128, false},  {"int4 g128", DType::kI32, 4, 128, false},
    {"fp8 row", DType::kF8E4M3, 0, -1, false}, {"W8A8", DType::kI8, 0, -1, true},
    {"W8A8 fp8", DType::kF8E4M3, 0, -1, true},
};

WeightView random_weight(const Kind& kind, int64_t rows, int64_t columns) {
  WeightView w;
  w.type = kind.type;
  w.packed_bits = kind.packed_bits;
  w.rows = rows;
  w.columns = columns;
  w.row_stride = payload_row_bytes(w);
  w.quantize_input = kind.quantize_input;
  const int64_t bytes = rows * w.row_stride;
  if (kind.type == DType::kBF16 || kind.type == DType::kF16) {
    const Fill fill = kind.type == DType::kBF16 ? Fill::kBF16 : Fill::kF16;
    w.payload = reinterpret_cast<std::byte*>(random_array<simt::bf16>(bytes / 2, fill, 0.05f));
    return w;
  }
  w.payload = random_array<std::byte>(bytes, Fill::kBytes);
  w.group = kind.group < 0 ? columns : kind.group;
  w.scale_rows = rows;
  w.scale_type = DType::kF16;
  w.scales = reinterpret_cast<std::byte*>(
      random_array<simt::f16>(rows * (columns / w.group), Fill::kF16, 0.01f));
  return w;
}

// The library alone.
double bare(Bench& bench, const Shape& s) {
  const int64_t t = bench.tokens;
  const auto* const x = random_array<simt::bf16>(t * s.columns, Fill::kBF16);
  const void* weights[3];
  float* outs[3];
  for (int i = 0; i < s.matrices; ++i) {
    weights[i] = random_array<simt::bf16>(s.rows[i] * s.columns, Fill::kBF16, 0.05f);
    outs[i] = random_array<float>(t * s.rows[i], Fill::kF32);
  }
  const double seconds = time_of(bench, 4, [&](int) {
    for (int i = 0; i < s.matrices; ++i) {
      CHECK(bench.context.gemm->multiply(bench.context.stream, {.type = DType::kBF16,
                                                                .x = x,
                                                                .weight = weights[i],
                                                                .out = outs[i],
                                                                .tokens = t,
                                                                .rows = s.rows[i],
                                                                .columns = s.columns,
                                                                .x_stride = s.columns,
                                                                .weight_stride = s.columns,
                                                                .out_stride = s.rows[i]}));
    }
  });
  free_arrays();
  return seconds;
}

// What a caller of the op waits for, rounding of tokens included.
double product(Bench& bench, const Shape& s, const Kind& kind) {
  const int64_t t = bench.tokens;
  Product p;
  p.x = random_array<float>(t * s.columns, Fill::kF32);
  p.tokens = t;
  p.columns = s.columns;
  if (s.norm) p.norm = {random_array<float>(s.columns, Fill::kF32), 1e-5};
  p.matrices = s.matrices;
  p.gated = s.gated;
  p.activation = s.gated ? Activation::kSilu : Activation::kNone;
  for (int i = 0; i < s.matrices; ++i) {
    p.weight[i] = random_weight(kind, s.rows[i], s.columns);
    p.out[i] = random_array<float>(t * s.rows[i], Fill::kF32);
    p.out_stride[i] = s.rows[i];
  }
  if (s.residual) p.residual = p.out[0];
  auto* const values = random_array<float>(t * (s.columns + 1), Fill::kF32);
  const double seconds = time_of(bench, 4, [&](int) {
    Product call = p;
    if (kind.quantize_input && (t <= kMatvecTokens || !gemm_rounds(bench.context, call))) {
      round_tokens(bench.context, {.x = call.x,  // as matmul.cu does
                                   .norm = call.norm,
                                   .values = values,
                                   .steps = values + t * s.columns,
                                   .tokens = t,
                                   .columns = s.columns,
                                   .fp8 = kind.type == DType::kF8E4M3});
      call.x = values;
      call.norm = {};
      call.token_scale = values + t * s.columns;
    }
    t <= kMatvecTokens ? matvec(bench.context, call) : gemm(bench.context, call);
  });
  free_arrays();
  return seconds;
}

void bench_gemm(Bench& bench) {
  std::printf("products of %lld tokens, one layer of Llama-3.1-8B, chunks of %lld MiB\n%-12s",
              static_cast<long long>(bench.tokens), static_cast<long long>(gemm_chunk_bytes >> 20),
              "us, TFLOP/s");
  for (const Shape& s : kShapes) std::printf("%18s", s.name);
  std::printf("%18s  share of bare\n%-12s", "layer", "bare bf16");
  double flops[std::size(kShapes)], alone = 0, all_flops = 0;
  for (size_t i = 0; i < std::size(kShapes); ++i) {
    const Shape& s = kShapes[i];
    flops[i] =
        2e-12 * static_cast<double>(bench.tokens * s.columns * (s.rows[0] + s.rows[1] + s.rows[2]));
    all_flops += flops[i];
    const double seconds = bare(bench, s);
    alone += seconds;
    std::printf("%9.1f %8.1f", seconds * 1e6, flops[i] / seconds);
  }
  std::printf("%9.1f %8.1f\n", alone * 1e6, all_flops / alone);
  for (const Kind& kind : kKinds) {
    std::printf("%-12s", kind.name);
    double layer = 0;
    for (size_t i = 0; i < std::size(kShapes); ++i) {
      const double seconds = product(bench, kShapes[i], kind);
      layer += seconds;
      std::printf("%9.1f %8.1f", seconds * 1e6, flops[i] / seconds);
    }
    std::printf("%9.1f %8.1f  %.3f\n", layer * 1e6, all_flops / layer, alone / layer);
    std::fflush(stdout);
  }
}

// ---- Small ops.

void print_op(const char* name, double seconds, double bytes) {
  std::printf("%-28s %8.2f us %8.1f GB/s\n", name, seconds * 1e6, bytes / seconds * 1e-9);
}

void bench_small(Bench& bench) {
  auto& context = reinterpret_cast<BackendContext&>(bench.context);
  constexpr int64_t kMost = 2048, kDim = 4096, kVocabulary = 128256;
  auto* const x = random_array<float>(kMost * kDim, Fill::kF32);
  auto* const out = random_array<float>(kMost * kDim, Fill::kF32);
  auto* const residual = random_array<float>(kMost * kDim, Fill::kF32);
  auto* const weight = random_array<float>(kDim, Fill::kF32);
  auto* const logits = random_array<float>(kVocabulary, Fill::kF32);
  auto* const ids = random_array<int32_t>(kMost, Fill::kBytes);
  fill_zero(bench.context.stream, ids, kMost * sizeof(int32_t));
  const double row_bytes = kDim * 4;
  for (const int64_t rows : {int64_t{1}, int64_t{16}, kMost}) {
    const int calls = rows > 100 ? 8 : 100;
    const auto many = static_cast<double>(rows);
    const std::string at = " " + std::to_string(rows) + " x 4096";
    const RmsNormArgs norm{
        .x = x, .weight = weight, .out = out, .rows = rows, .dim = kDim, .eps = 1e-5};
    print_op(("rms_norm" + at).c_str(),
             time_of(bench, calls, [&](int) { rms_norm(context, norm); }), 2 * many * row_bytes);
    RmsNormArgs with_sum = norm;
    with_sum.residual = with_sum.sum = residual;
    print_op(("rms_norm, residual" + at).c_str(),
             time_of(bench, calls, [&](int) { rms_norm(context, with_sum); }),
             4 * many * row_bytes);
    print_op(("layer_norm" + at).c_str(),
             time_of(bench, calls,
                     [&](int) {
                       layer_norm(context, {.x = x,
                                            .weight = weight,
                                            .bias = weight,
                                            .out = out,
                                            .rows = rows,
                                            .dim = kDim,
                                            .eps = 1e-5});
                     }),
             2 * many * row_bytes);
    print_op(("round_tokens" + at).c_str(),
             time_of(bench, calls,
                     [&](int) {
                       round_tokens(bench.context, {.x = x,
                                                    .values = out,
                                                    .steps = residual,
                                                    .tokens = rows,
                                                    .columns = kDim,
                                                    .fp8 = false});
                     }),
             2 * many * row_bytes);
    for (const Kind& kind : {kKinds[0], kKinds[3]}) {
      const WeightView table = random_weight(kind, 1000, kDim);
      print_op((std::string("embed ") + kind.name + at).c_str(),
               time_of(bench, calls,
                       [&](int) {
                         embed(context, {.ids = ids, .table = table, .out = out, .tokens = rows});
                       }),
               many * (row_bytes + static_cast<double>(table.row_stride)));
    }
  }
  print_op("argmax 1 x 128256",
           time_of(bench, 100,
                   [&](int) {
                     argmax(context, {.x = logits, .out = ids, .rows = 1, .dim = kVocabulary});
                   }),
           kVocabulary * 4.0);
  const SampleRow row = {.scale = distance_scale(0.8), .top_k = 40, .top_p = 0.9};
  auto* const settings = static_cast<SampleRow*>(allocate_device(sizeof row));
  auto* const drawn = static_cast<Sampled*>(allocate_device(sizeof(Sampled)));
  simt::cuda_check(cudaMemcpyAsync(settings, &row, sizeof row, cudaMemcpyHostToDevice,
                                   bench.context.stream.handle),
                   "copy to the device");
  print_op("sample 1 x 128256, top-k and top-p",
           time_of(bench, 100,
                   [&](int) {
                     sample(context, {.x = logits,
                                      .settings = settings,
                                      .out = drawn,
                                      .log_probabilities = false,
                                      .rows = 1,
                                      .dim = kVocabulary});
                   }),
           kVocabulary * 4.0);
  release_device(settings);
  release_device(drawn);
  free_arrays();
}

// ---- Launches.

// Of a step of many kernels that do next to nothing: what a kernel more costs the device, and a
// step the host.
void bench_launches(Bench& bench) {
  constexpr int kKernels = 200, kSteps = 50;
  auto& context = reinterpret_cast<BackendContext&>(bench.context);
  auto* const x = random_array<float>(1, Fill::kF32);
  const auto kernel = [&](int) { mul(context, {.a = x, .b = x, .out = x, .count = 1}); };
  for (const bool overlap : {true, false}) {
    bench.context.stream.overlap = overlap;
    std::printf("a kernel more in a recorded step%s: %.2f us\n", overlap ? "" : ", no overlap",
                time_of(bench, kKernels, kernel) * 1e6);
  }
  bench.context.stream.overlap = true;
  const auto step = record(bench.context.stream, [&] {
    for (int i = 0; i < kKernels; ++i) kernel(i);
  });
  std::vector<double> seconds;
  for (int i = 0; i < kSteps; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    step->run(bench.context.stream);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    bench.context.stream.wait();
    seconds.push_back(taken.count());
  }
  std::sort(seconds.begin(), seconds.end());
  std::printf("host time of a recorded step of %d kernels: %.2f us\n", kKernels,
              seconds[kSteps / 2] * 1e6);
  free_arrays();
}

// ---- Placing.

// What placing is measured by: a copy from pinned memory.
void bench_pinned_copy(Bench& bench) {
  constexpr size_t kBytes = size_t{256} << 20;
  void* host = nullptr;
  simt::cuda_check(cudaMallocHost(&host, kBytes), "pinned memory");
  std::memset(host, 1, kBytes);
  auto* const device = random_array<std::byte>(kBytes, Fill::kBytes);
  const double seconds = time_of(bench, 1, [&](int) {
    simt::cuda_check(
        cudaMemcpyAsync(device, host, kBytes, cudaMemcpyHostToDevice, bench.context.stream.handle),
        "copy to the device");
  });
  std::printf("a pinned copy: %.1f GB/s\n", static_cast<double>(kBytes) / seconds * 1e-9);
  free_arrays();
  cudaFreeHost(host);
}

void bench_place(Bench& bench) {
  constexpr int64_t kRows = 14336, kColumns = 4096;
  const struct {
    const char* name;
    DType type;
    int packed_bits;
    int64_t group;
  } kinds[] = {{"bf16", DType::kBF16, 0, 0},       {"int8 g128", DType::kI8, 0, 128},
               {"int4 g128", DType::kI32, 4, 128}, {"Q8_0", DType::kQ8_0, 0, 0},
               {"Q4_0", DType::kQ4_0, 0, 0},       {"Q4_K", DType::kQ4_K, 0, 0},
               {"F32", DType::kF32, 0, 0}};
  bench_pinned_copy(bench);
  Loader loader(bench.context.device);
  for (const auto& kind : kinds) {
    WeightView host;
    host.type = kind.type;
    host.packed_bits = kind.packed_bits;
    host.rows = kRows;
    host.columns = kColumns;
    host.row_stride = payload_row_bytes(host);
    std::vector<std::byte> payload(static_cast<size_t>(kRows * host.row_stride), std::byte{0x11});
    std::vector<uint16_t> scales;
    host.payload = payload.data();
    if (kind.group) {
      scales.assign(static_cast<size_t>(kRows * kColumns / kind.group), 0x2000);
      host.scales = reinterpret_cast<const std::byte*>(scales.data());
      host.scale_type = DType::kF16;
      host.scale_rows = kRows;
      host.group = kind.group;
    }
    auto* const memory = static_cast<std::byte*>(allocate_device(loader.placed_bytes(host)));
    std::vector<double> seconds;
    for (int i = 0; i < 4; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      for (int k = 0; k < 4; ++k) loader.place(bench.context.stream, host, memory);
      bench.context.stream.wait();
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
      if (i > 0) seconds.push_back(taken.count() / 4);
    }
    std::sort(seconds.begin(), seconds.end());
    std::printf("placing %s: %.1f GB/s\n", kind.name,
                static_cast<double>(stored_bytes(host)) / seconds[1] * 1e-9);
    std::fflush(stdout);
    release_device(memory);
  }
}

int run(int argc, char** argv) {
  Bench bench;
  std::string why;
  if (!open_device(0, &bench.context.device, &why)) {
    std::fprintf(stderr, "%s\n", why.c_str());
    return 1;
  }
  bench.context.stream = make_stream(true);
  bench.context.gemm = open_gemm_library(bench.context.device, &why);
  std::vector<int64_t> tokens, chunks;
  bool all = true, wants_gemm = false, wants_small = false, wants_launches = false,
       wants_place = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind("tokens=", 0) == 0) {
      tokens.push_back(std::atoll(word.c_str() + 7));
      continue;
    }
    if (word.rfind("chunk=", 0) == 0) {  // MiB
      chunks.push_back(std::atoll(word.c_str() + 6) << 20);
      continue;
    }
    all = false;
    wants_gemm |= word == "gemm";
    wants_small |= word == "small";
    wants_launches |= word == "launches";
    wants_place |= word == "place";
  }
  if (tokens.empty()) tokens = {2048};
  if (chunks.empty()) chunks = {gemm_chunk_bytes};
  for (const int64_t chunk : chunks) {
    gemm_chunk_bytes = chunk;
    for (const int64_t count : tokens) {
      bench.tokens = count;
      if (all || wants_gemm) bench_gemm(bench);
    }
  }
  if (all || wants_small) bench_small(bench);
  if (all || wants_launches) bench_launches(bench);
  if (all || wants_place) bench_place(bench);
  return 0;
}

}  // namespace
}  // namespace hone::cuda

int main(int argc, char** argv) { return hone::cuda::run(argc, argv); }
