// Speed of the CUDA backend's attention, rotation and cache on the GPU at hand, beside a probe of
// how fast it reads memory; results of the long shapes are compared with a plain kernel's first.
// Built by tests/cuda/device:
//
//   attention_bench [decode] [prefill] [rope] [cut]
//
// cut: decoding with other numbers of warps and blocks.
//
// Each figure is the median of 9 replays of a CUDA graph in which every launch takes the next of
// several caches, together larger than the L2 cache.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/attention.cuh"
#include "kernels/kv_tile.h"

namespace hone::cuda {

namespace {

using namespace simt;

constexpr size_t kColdBytes = size_t{512} << 20;  // beyond any L2 cache
double read_rate = 0;                             // bytes a second

__device__ float noise(uint64_t i) {
  i *= 0x9e3779b97f4a7c15u;
  i ^= i >> 29;
  i *= 0xbf58476d1ce4e5b9u;
  i ^= i >> 32;
  return static_cast<float>(static_cast<int32_t>(i)) * 0x1p-31f;
}
__global__ void fill_f16(f16* p, int64_t n) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
    p[i] = f16(noise(i) * 2);
  }
}
__global__ void fill_f32(float* p, int64_t n, float scale) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
    p[i] = noise(i + 12345) * scale;
  }
}
__global__ void read_all(const uint4* p, int64_t n, uint32_t* out) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  uint32_t sum = 0;
  int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i + 7 * step < n; i += 8 * step) {
    uint4 v[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) v[j] = __ldcs(p + i + j * step);
#pragma unroll
    for (int j = 0; j < 8; ++j) sum += v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
  }
  if (sum == 0x12345678) *out = sum;
}

// One block to a token and head: f16 rows, sums in double.
__global__ void plain_attention(const AttentionArgs args, int64_t first_token, float* out) {
  extern __shared__ double weights[];
  __shared__ double parts[256];
  const int64_t token = first_token + blockIdx.x;
  const int64_t head = blockIdx.y;
  const int64_t kv_head = head / (args.heads / args.kv_heads);
  const int length = args.positions[token] + 1;
  const int dim = static_cast<int>(args.head_dim);
  const float* const q = args.q + (token * args.heads + head) * dim;
  const int64_t row = (args.sequences[token] * args.kv_heads + kv_head) * args.capacity;
  const auto* const keys = reinterpret_cast<const f16*>(args.keys) + row * dim;
  const auto* const values = reinterpret_cast<const f16*>(args.values) + row * dim;
  double largest = -1e300;
  for (int i = threadIdx.x; i < length; i += blockDim.x) {
    double s = 0;
    for (int e = 0; e < dim; ++e)
      s += static_cast<double>(q[e]) * static_cast<float>(keys[static_cast<int64_t>(i) * dim + e]);
    weights[i] = s * args.scale;
    largest = fmax(largest, weights[i]);
  }
  parts[threadIdx.x] = largest;
  __syncthreads();
  for (int i = 0; i < blockDim.x; ++i) largest = fmax(largest, parts[i]);
  __syncthreads();
  double sum = 0;
  for (int i = threadIdx.x; i < length; i += blockDim.x)
    sum += weights[i] = exp(weights[i] - largest);
  parts[threadIdx.x] = sum;
  __syncthreads();
  sum = 0;
  for (int i = 0; i < blockDim.x; ++i) sum += parts[i];
  for (int e = threadIdx.x; e < dim; e += blockDim.x) {
    double o = 0;
    for (int i = 0; i < length; ++i)
      o += weights[i] * static_cast<float>(values[static_cast<int64_t>(i) * dim + e]);
    out[(blockIdx.x * args.heads + head) * dim + e] = static_cast<float>(o / sum);
  }
}

// Seconds of one launch.
double time_launches(const Stream& stream, int launches,
                     const std::function<void(int)>& launch_one) {
  launch_one(0);  // scratch, attributes of kernels
  stream.wait();
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  cuda_check(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal), "capture");
  for (int i = 0; i < launches; ++i) launch_one(i);
  cuda_check(cudaStreamEndCapture(stream.handle, &graph), "capture");
  cuda_check(cudaGraphInstantiate(&executable, graph, 0), "graph");
  cudaEvent_t begin, end;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  std::vector<float> times;
  for (int i = 0; i < 11; ++i) {
    cudaEventRecord(begin, stream.handle);
    cudaGraphLaunch(executable, stream.handle);
    cudaEventRecord(end, stream.handle);
    cuda_check(cudaEventSynchronize(end), "run");
    float ms;
    cudaEventElapsedTime(&ms, begin, end);
    if (i >= 2) times.push_back(ms);
  }
  std::sort(times.begin(), times.end());
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  return times[times.size() / 2] * 1e-3 / launches;
}

void probe(const Stream& stream) {
  const size_t bytes = size_t{4} << 30;
  Buffer<uint4> buffer(bytes / 16);
  Buffer<uint32_t> out(1);
  fill_f16<<<1024, 256, 0, stream.handle>>>(reinterpret_cast<f16*>(buffer.get()),
                                            static_cast<int64_t>(bytes / 2));
  const double seconds = time_launches(stream, 2, [&](int) {
    read_all<<<132 * 8, 256, 0, stream.handle>>>(buffer.get(), static_cast<int64_t>(bytes / 16),
                                                 out.get());
  });
  read_rate = static_cast<double>(bytes) / seconds;
  std::printf("read probe: %.0f GB/s\n", read_rate * 1e-9);
}

struct Shape {
  int64_t heads, kv_heads, head_dim, length, tokens;
  bool prefill;
  DType type = DType::kF16;
};

struct Bench {
  Shape shape;
  Context context;
  int copies;
  size_t cache_bytes;
  Buffer<std::byte> keys, values;
  Buffer<float> q, out;
  Buffer<int32_t> sequences, positions;

  static std::vector<int32_t> places(const Shape& s, bool sequence) {
    std::vector<int32_t> all;
    for (int64_t t = 0; t < s.tokens; ++t) {
      const auto position = s.prefill ? s.length - s.tokens + t : s.length - 1;
      all.push_back(static_cast<int32_t>(sequence ? (s.prefill ? 0 : t) : position));
    }
    return all;
  }
  static size_t bytes_of(const Shape& s) {
    return static_cast<size_t>(kv_tile_offset(s.type, s.head_dim, kv_capacity(s.length),
                                              (s.prefill ? 1 : s.tokens) * s.kv_heads, 0));
  }
  static int copies_of(const Shape& s) {
    return static_cast<int>(std::clamp<size_t>(kColdBytes / (2 * bytes_of(s)), 2, 64));
  }

  Bench(const Shape& s, const Stream& stream)
      : shape(s),
        copies(copies_of(s)),
        cache_bytes(bytes_of(s)),
        keys(cache_bytes * copies),
        values(cache_bytes * copies),
        q(static_cast<size_t>(s.tokens * s.heads * s.head_dim)),
        out(q.size()),
        sequences(places(s, true)),
        positions(places(s, false)) {
    context.stream = stream;
    cudaDeviceProp properties;
    cudaGetDeviceProperties(&properties, 0);
    context.device.multiprocessors = properties.multiProcessorCount;
    context.device.shared_bytes = properties.sharedMemPerBlockOptin;
    for (auto* cache : {&keys, &values}) {
      if (s.type == DType::kI8 || s.type == DType::kF32) {
        fill_f32<<<1024, 256, 0, stream.handle>>>(reinterpret_cast<float*>(cache->get()),
                                                  static_cast<int64_t>(cache->size() / 4), 1.0f);
      } else {
        fill_f16<<<1024, 256, 0, stream.handle>>>(reinterpret_cast<f16*>(cache->get()),
                                                  static_cast<int64_t>(cache->size() / 2));
      }
    }
    fill_f32<<<1024, 256, 0, stream.handle>>>(q.get(), static_cast<int64_t>(q.size()), 2.0f);
  }

  AttentionArgs args(int i) const {
    const size_t offset = static_cast<size_t>(i % copies) * cache_bytes;
    return {.q = q.get(),
            .keys = keys.get() + offset,
            .values = values.get() + offset,
            .type = shape.type,
            .out = out.get(),
            .sequences = sequences.get(),
            .positions = positions.get(),
            .tokens = shape.tokens,
            .heads = shape.heads,
            .kv_heads = shape.kv_heads,
            .head_dim = shape.head_dim,
            .capacity = kv_capacity(shape.length),
            .scale = 1 / std::sqrt(static_cast<double>(shape.head_dim))};
  }
  void run(int i) { attention(reinterpret_cast<BackendContext&>(context), args(i)); }

  // The largest difference from plain_attention, of up to four tokens.
  double error() {
    const int64_t checked = std::min<int64_t>(shape.tokens, 4);
    const int64_t first = shape.tokens - checked;
    const int64_t width = shape.heads * shape.head_dim;
    Buffer<float> expected(static_cast<size_t>(checked * width));
    cudaFuncSetAttribute(plain_attention, cudaFuncAttributeMaxDynamicSharedMemorySize, 200 * 1024);
    plain_attention<<<dim3(checked, shape.heads), 256, shape.length * 8, context.stream.handle>>>(
        args(1), first, expected.get());
    double worst = 0;
    for (int repeat = 0; repeat < 5; ++repeat) {
      cudaMemset(out.get(), 0xff, out.size() * 4);
      run(1);
      context.stream.wait();
      const auto a = out.to_host(), b = expected.to_host();
      for (size_t i = 0; i < b.size(); ++i) {
        const double d = std::abs(a[first * width + i] - b[i]);
        if (!(d <= worst)) worst = std::isnan(d) ? INFINITY : d;
      }
    }
    return worst;
  }
};

void measure(const Shape& s, Stream stream) {
  Bench bench(s, stream);
  stream.wait();
  const bool checkable = s.type == DType::kF16 && s.length <= 24576;
  const double error = checkable ? bench.error() : NAN;
  const int launches = s.prefill ? 4 : std::max(bench.copies, 20);
  bench.context.stream.overlap = false;
  const double alone = time_launches(stream, launches, [&](int i) { bench.run(i); });
  bench.context.stream.overlap = true;
  const double chained = time_launches(stream, launches, [&](int i) { bench.run(i); });
  const double bytes = 2.0 * static_cast<double>((s.prefill ? 1 : s.tokens) * s.kv_heads *
                                                 s.length * kv_vector_bytes(s.type, s.head_dim));
  const double before = static_cast<double>(s.length - s.tokens);
  const double seen = s.prefill ? static_cast<double>(s.tokens) * (before + (s.tokens + 1) / 2.0)
                                : static_cast<double>(s.tokens * s.length);
  const double flops = 4.0 * static_cast<double>(s.heads * s.head_dim) * seen;
  std::printf(
      "%-7s %-4s %2d/%-2d d%-3d tokens %5d length %6d: %8.1f us  %8.1f us chained  %5.0f GB/s "
      "%5.1f %%  %6.1f TFLOP/s  error %.1e\n",
      s.prefill ? "prefill" : "decode", std::string(name(s.type)).c_str(),
      static_cast<int>(s.heads), static_cast<int>(s.kv_heads), static_cast<int>(s.head_dim),
      static_cast<int>(s.tokens), static_cast<int>(s.length), alone * 1e6, chained * 1e6,
      bytes / alone * 1e-9, 100 * bytes / alone / read_rate, flops / alone * 1e-12, error);
  std::fflush(stdout);
}

void measure_rope(int64_t tokens, Stream stream) {
  Bench bench({32, 8, 128, 4096, tokens, true}, stream);
  std::vector<double> frequencies;
  for (int i = 0; i < 64; ++i) frequencies.push_back(std::pow(500000.0, -i / 64.0));
  Buffer<double> table(frequencies);
  Buffer<float> k(static_cast<size_t>(tokens * 1024)), v(static_cast<size_t>(tokens * 1024));
  fill_f32<<<1024, 256, 0, stream.handle>>>(k.get(), tokens * 1024, 1.0f);
  fill_f32<<<1024, 256, 0, stream.handle>>>(v.get(), tokens * 1024, 1.0f);
  const double seconds = time_launches(stream, 20, [&](int i) {
    const AttentionArgs a = bench.args(i);
    RopeArgs rope{.x = bench.q.get(),
                  .positions = a.positions,
                  .inv_freq = table.get(),
                  .tokens = tokens,
                  .heads = 32,
                  .head_dim = 128,
                  .rotary = 128};
    RopeArgs rope_k = rope;
    rope_k.x = k.get();
    rope_k.heads = 8;
    rope_kv_store(reinterpret_cast<BackendContext&>(bench.context),
                  {.rope_q = rope,
                   .rope_k = rope_k,
                   .store = {.k = k.get(),
                             .v = v.get(),
                             .keys = const_cast<std::byte*>(a.keys),
                             .values = const_cast<std::byte*>(a.values),
                             .type = a.type,
                             .sequences = a.sequences,
                             .positions = a.positions,
                             .tokens = tokens,
                             .kv_heads = 8,
                             .head_dim = 128,
                             .capacity = a.capacity}});
  });
  std::printf("rope_kv_store 32/8 d128 tokens %5d: %.2f us\n", static_cast<int>(tokens),
              seconds * 1e6);
}

}  // namespace
}  // namespace hone::cuda

int main(int count, char** words) {
  using namespace hone;
  using namespace hone::cuda;
  const auto wanted = [&](const char* what) {
    for (int i = 1; i < count; ++i) {
      if (std::strcmp(words[i], what) == 0) return true;
    }
    return count == 1;
  };
  simt::Stream stream;
  simt::cuda_check(cudaStreamCreateWithFlags(&stream.handle, cudaStreamNonBlocking), "stream");
  probe(stream);
  if (wanted("decode")) {
    for (const int64_t length : {128, 512, 2048, 8192, 32768})
      measure({32, 8, 128, length, 1, false}, stream);
    for (const int64_t length : {2048, 8192, 32768}) measure({32, 8, 64, length, 1, false}, stream);
    measure({32, 32, 128, 8192, 1, false}, stream);
    measure({12, 12, 64, 1024, 1, false}, stream);
    measure({32, 8, 128, 8192, 16, false}, stream);
    for (const DType type : {DType::kBF16, DType::kI8, DType::kF32}) {
      measure({32, 8, 128, 8192, 1, false, type}, stream);
      measure({32, 8, 128, 32768, 1, false, type}, stream);
    }
  }
  if (wanted("cut")) {
    for (const DecodeCut cut : {DecodeCut{8, 1}, {4, 1}, {4, 2}, {8, 2}}) {
      decode_cut = cut;
      std::printf("%d warps, %d times the multiprocessors\n", cut.warps, cut.times);
      for (const int64_t length : {512, 2048, 8192, 32768}) {
        measure({32, 8, 128, length, 1, false}, stream);
      }
      measure({32, 8, 64, 8192, 1, false}, stream);
      measure({32, 32, 128, 8192, 1, false}, stream);
      measure({32, 8, 128, 8192, 16, false}, stream);
      measure({32, 8, 128, 8192, 1, false, DType::kI8}, stream);
    }
    decode_cut = {};
  }
  if (wanted("prefill")) {
    for (const int64_t length : {128, 512, 2048, 8192})
      measure({32, 8, 128, length, length, true}, stream);
    measure({32, 8, 128, 8192, 512, true}, stream);
    measure({32, 8, 64, 2048, 2048, true}, stream);
    measure({12, 12, 64, 1024, 1024, true}, stream);
    for (const DType type : {DType::kBF16, DType::kI8, DType::kF32})
      measure({32, 8, 128, 2048, 2048, true, type}, stream);
  }
  if (wanted("rope")) {
    for (const int64_t tokens : {1, 16, 2048}) measure_rope(tokens, stream);
  }
  return 0;
}
