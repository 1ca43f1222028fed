// Speed of the products of few tokens, kernel by kernel, on a GPU: random weights in enough copies
// that none is in the L2 cache when its turn comes, many launches in a graph, events around it.
// Built by tests/cuda/device:
//
//   matvec_bench [words to find in the names of cases, or "variants"]
//
// Prints microseconds, bytes of stored weights per second, and these as part of what a kernel that
// only reads reaches in the same run.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/cuda/matvec.cuh"

using namespace hone;
using namespace hone::cuda;
using namespace hone::cuda::matvec_detail;
using simt::cuda_check;

namespace {

constexpr size_t kPoolBytes = size_t{4} << 30;
constexpr size_t kScaleBytes = size_t{1} << 30;
constexpr int64_t kCold = 400 << 20;  // bytes between two uses of a copy: L2 has 50 or 60 MB

// ---- What to multiply.

struct Format {
  const char* name;
  DType type;
  int packed_bits;
  int64_t group;  // 0: no scales; -1: one per row
  DType scale_type;
  int units = 0;  // of 64 columns that 64 bytes of a 2:4 row stand for; 0: dense
};
constexpr Format kFormats[] = {
    {"bf16", DType::kBF16, 0, 0, DType::kF32},
    {"int8-row", DType::kI8, 0, -1, DType::kBF16},
    {"int8-128", DType::kI8, 0, 128, DType::kF16},
    {"q8_0", DType::kI8, 0, 32, DType::kF16},
    {"int4-128", DType::kI32, 4, 128, DType::kF16},
    {"q4_0", DType::kI32, 4, 32, DType::kF16},
    {"fp8-row", DType::kF8E4M3, 0, -1, DType::kF32},
    {"f16", DType::kF16, 0, 0, DType::kF32},
    {"bf16-2:4", DType::kBF16, 0, 0, DType::kF32, 1},
    {"int8-2:4", DType::kI8, 0, 128, DType::kF16, 2},
    {"int4-2:4", DType::kI32, 4, 128, DType::kF16, 4},
    {"fp8-2:4", DType::kF8E4M3, 0, -1, DType::kF32, 2},
};

struct Shape {
  const char* name;
  int64_t rows[3];
  int matrices;
  bool gated;
  int64_t columns;
  bool norm, residual;
};
constexpr Shape kShapes[] = {
    {"8b-qkv", {4096, 1024, 1024}, 3, false, 4096, true, false},
    {"8b-o", {4096}, 1, false, 4096, false, true},
    {"8b-gate-up", {14336, 14336}, 2, true, 4096, true, false},
    {"8b-down", {4096}, 1, false, 14336, false, true},
    {"8b-head", {128256}, 1, false, 4096, false, false},
    {"1b-qkv", {2048, 512, 512}, 3, false, 2048, true, false},
    {"1b-o", {2048}, 1, false, 2048, false, true},
    {"1b-gate-up", {8192, 8192}, 2, true, 2048, true, false},
    {"1b-down", {2048}, 1, false, 8192, false, true},
};

// ---- Memory.

__device__ uint32_t mixed(uint64_t i) {
  i = (i ^ (i >> 30)) * 0xbf58476d1ce4e5b9ull;
  i = (i ^ (i >> 27)) * 0x94d049bb133111ebull;
  return static_cast<uint32_t>(i ^ (i >> 31));
}

// Random bits; where 16-bit floats are wanted, those of numbers in (-2, 2).
__global__ void fill(uint32_t* words, size_t count, uint32_t keep, uint32_t set) {
  for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < count;
       i += size_t{gridDim.x} * blockDim.x) {
    words[i] = (mixed(i + 1) & keep) | set;
  }
}
__global__ void fill_floats(float* x, size_t count) {
  const size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x;
  if (i < count) x[i] = static_cast<float>(static_cast<int>(mixed(i + 7))) * 0x1p-31f;
}

__global__ void __launch_bounds__(512) read_all(const uint4* from, size_t count, uint32_t* out) {
  uint32_t sum = 0;
  const size_t step = size_t{gridDim.x} * blockDim.x;
  size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x;
  for (; i + 7 * step < count; i += 8 * step) {
    uint4 v[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) v[j] = __ldg(from + i + j * step);
#pragma unroll
    for (int j = 0; j < 8; ++j) sum ^= v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
  }
  if (sum == 12345) *out = sum;
}

struct Memory {
  std::byte* pool;
  std::byte* scales;
  float *x, *norm, *residual, *out;
};

Memory allocate() {
  Memory m;
  const auto take = [](size_t bytes) {
    void* p;
    cuda_check(cudaMalloc(&p, bytes), "cudaMalloc");
    return p;
  };
  m.pool = static_cast<std::byte*>(take(kPoolBytes));
  m.scales = static_cast<std::byte*>(take(kScaleBytes));
  constexpr size_t kFloats = size_t{16} * 131072;
  for (float** p : {&m.x, &m.norm, &m.residual, &m.out}) {
    *p = static_cast<float*>(take(4 * kFloats));
    fill_floats<<<kFloats / 256, 256>>>(*p, kFloats);
  }
  return m;
}

void fill_pool(const Memory& m, const Format& format) {
  uint32_t keep = 0xffffffff;
  uint32_t set = 0;
  if (format.type == DType::kBF16) keep = 0xbf7fbf7f, set = 0x3c003c00;
  if (format.type == DType::kF16) keep = 0xb3ffb3ff, set = 0x20002000;
  if (format.type == DType::kF8E4M3) keep = 0xf7f7f7f7;
  fill<<<2048, 512>>>(reinterpret_cast<uint32_t*>(m.pool), kPoolBytes / 4, keep, set);
  // Scales from 2^-7 to 2^-6.
  keep = format.scale_type == DType::kF32   ? 0x007fffff
         : format.scale_type == DType::kF16 ? 0x03ff03ff
                                            : 0x007f007f;
  if (format.units) {  // the scales' memory holds positions, too: any, in order
    keep = 0;
    set = 0xe4d89c84;
  } else {
    set = format.scale_type == DType::kF32   ? 0x3c000000
          : format.scale_type == DType::kF16 ? 0x20002000
                                             : 0x3c003c00;
  }
  fill<<<2048, 512>>>(reinterpret_cast<uint32_t*>(m.scales), kScaleBytes / 4, keep, set);
}

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// Copy after copy of a product's matrices.
struct Copies {
  std::vector<Product> products;
  int64_t bytes = 0;  // stored, of one
};

Copies copies_of(const Memory& m, const Format& format, const Shape& shape, int64_t tokens) {
  Copies copies;
  const int64_t bytes_of_row =
      format.packed_bits ? shape.columns / 2 : row_bytes(format.type, shape.columns);
  const int64_t stride = round_up(format.units ? bytes_of_row / 2 : bytes_of_row, 64);
  const int64_t index_bytes = stride / 8 * format.units;
  const int64_t group = format.group < 0 ? shape.columns : format.group;
  const int64_t scale_bytes =
      format.group ? row_bytes(format.scale_type, shape.columns / group) : 0;
  int64_t rows = 0;
  for (int i = 0; i < shape.matrices; ++i) rows += shape.rows[i];
  copies.bytes = rows * (stride + index_bytes + scale_bytes);
  const int64_t count = std::max<int64_t>(2, (kCold + copies.bytes - 1) / copies.bytes);
  int64_t at = 0, scale_at = 0;
  for (int64_t c = 0; c < count; ++c) {
    Product p = {.x = m.x,
                 .tokens = tokens,
                 .columns = shape.columns,
                 .norm = {.weight = shape.norm ? m.norm : nullptr, .eps = 1e-5},
                 .matrices = shape.matrices,
                 .gated = shape.gated,
                 .activation = shape.gated ? Activation::kSilu : Activation::kNone,
                 .residual = shape.residual ? m.residual : nullptr};
    int64_t out = 0;
    for (int i = 0; i < shape.matrices; ++i) {
      WeightView& w = p.weight[i];
      w.payload = m.pool + at;
      w.type = format.type;
      w.packed_bits = format.packed_bits;
      w.rows = shape.rows[i];
      w.columns = shape.columns;
      w.row_stride = stride;
      at += round_up(w.rows * stride, 256);
      if (format.units) {
        w.index = m.scales + scale_at;
        scale_at += round_up(w.rows * index_bytes, 256);
      }
      if (format.group) {
        w.scales = m.scales + scale_at;
        w.scale_type = format.scale_type;
        w.scale_rows = w.rows;
        w.group = group;
        scale_at += round_up(w.rows * scale_bytes, 256);
      }
      p.out[i] = m.out + out;
      p.out_stride[i] = w.rows;
      out += tokens * w.rows;
    }
    copies.products.push_back(p);
  }
  if (at > static_cast<int64_t>(kPoolBytes) || scale_at > static_cast<int64_t>(kScaleBytes)) {
    std::printf("pool too small for %s\n", shape.name);
    std::abort();
  }
  return copies;
}

// ---- Time.

// Microseconds of one of `launches` that `record` puts into a graph: the median of several runs.
template <class Record>
double time_of(simt::Stream stream, int launches, Record record) {
  cudaGraph_t graph;
  cudaGraphExec_t run;
  cuda_check(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeRelaxed), "capture");
  record();
  cuda_check(cudaStreamEndCapture(stream.handle, &graph), "capture");
  cuda_check(cudaGraphInstantiate(&run, graph, 0), "instantiate");
  cudaEvent_t begin, end;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  std::vector<float> times;
  for (int i = 0; i < 11; ++i) {
    cudaEventRecord(begin, stream.handle);
    cuda_check(cudaGraphLaunch(run, stream.handle), "launch");
    cudaEventRecord(end, stream.handle);
    cuda_check(cudaStreamSynchronize(stream.handle), "run");
    float ms;
    cudaEventElapsedTime(&ms, begin, end);
    if (i >= 2) times.push_back(ms);
  }
  cudaGraphExecDestroy(run);
  cudaGraphDestroy(graph);
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2] * 1000.0 / launches;
}

double read_rate(const Memory& m, simt::Stream stream) {
  double best = 1e30;
  for (const int blocks : {132 * 2, 132 * 4, 132 * 8, 132 * 16}) {
    best = std::min(best, time_of(stream, 1, [&] {
                      read_all<<<blocks, 512, 0, stream.handle>>>(
                          reinterpret_cast<const uint4*>(m.pool), kPoolBytes / 16,
                          reinterpret_cast<uint32_t*>(m.out));
                    }));
  }
  return static_cast<double>(kPoolBytes) / best / 1e6;  // TB/s
}

struct Bench {
  Context context;
  Memory memory;
  double rate;  // TB/s

  template <class Launch>
  void measure(const std::string& name, const Copies& copies, Launch launch) {
    const int count = static_cast<int>(copies.products.size());
    const double us = time_of(context.stream, count, [&] {
      for (const Product& p : copies.products) launch(p);
    });
    const double rate_here = static_cast<double>(copies.bytes) / us / 1e6;
    std::printf("%-44s %9.2f us %8.1f GB/s %6.1f %%\n", name.c_str(), us, 1000 * rate_here,
                100 * rate_here / rate);
    std::fflush(stdout);
  }
};

bool wanted(const std::string& name, int argc, char** argv) {
  bool any = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "variants") == 0) continue;
    any = true;
    if (name.find(argv[i]) != std::string::npos) return true;
  }
  return !any;
}

void run_all(Bench& bench, int argc, char** argv) {
  for (const Format& format : kFormats) {
    fill_pool(bench.memory, format);
    for (const Shape& shape : kShapes) {
      for (const int64_t tokens : {1, 4, 16}) {
        const std::string name =
            std::string(format.name) + " " + shape.name + " x" + std::to_string(tokens);
        if (!wanted(name, argc, argv)) continue;
        const Copies copies = copies_of(bench.memory, format, shape, tokens);
        bench.measure(name, copies, [&](const Product& p) { matvec(bench.context, p); });
        if (tokens != 1) continue;
        bench.context.stream.overlap = false;
        bench.measure(name + " no-overlap", copies,
                      [&](const Product& p) { matvec(bench.context, p); });
        bench.context.stream.overlap = true;
      }
    }
  }
}

// ---- Other tunings, for one token.

template <Form F, Scaling kScaling, int kStages, int kStrips, int kL2>
void run_variant(Bench& bench, const Format& format, int64_t prefetch_mb, int argc, char** argv) {
  for (const Shape& shape : kShapes) {
    const std::string name = std::string(format.name) + " " + shape.name + " stages " +
                             std::to_string(kStages) + " strips " + std::to_string(kStrips) +
                             " L2 " + std::to_string(kL2) + " prefetch " +
                             std::to_string(prefetch_mb);
    if (!wanted(name, argc, argv)) continue;
    const Copies copies = copies_of(bench.memory, format, shape, 1);
    bench.measure(name, copies, [&](const Product& p) {
      MatvecTuning<kStages, kStrips, kL2>::template launch<F, kScaling, 1>(
          bench.context, matvec_args(p), prefetch_mb << 20);
    });
  }
}

template <Form F, Scaling kScaling>
void run_split(Bench& bench, const Format& format, int argc, char** argv) {
  for (const Shape& shape : kShapes) {
    const std::string name = std::string(format.name) + " " + shape.name + " split";
    if (!wanted(name, argc, argv)) continue;
    const Copies copies = copies_of(bench.memory, format, shape, 1);
    bench.measure(name, copies, [&](const Product& p) {
      MatvecTuning<6, 8, 128>::template launch_split<F, kScaling, 1>(bench.context, matvec_args(p));
    });
  }
}

template <Form F, Scaling kScaling>
void run_variants(Bench& bench, int format, int argc, char** argv) {
  fill_pool(bench.memory, kFormats[format]);
  const Format& f = kFormats[format];
  for (const int mb : {0, 8, 32}) run_variant<F, kScaling, 6, 8, 128>(bench, f, mb, argc, argv);
  for (const int mb : {0, 16}) run_variant<F, kScaling, 6, 8, 0>(bench, f, mb, argc, argv);
  for (const int mb : {0, 16}) run_variant<F, kScaling, 6, 8, 256>(bench, f, mb, argc, argv);
  run_variant<F, kScaling, 4, 8, 128>(bench, f, 16, argc, argv);
  run_variant<F, kScaling, 8, 8, 128>(bench, f, 16, argc, argv);
  run_variant<F, kScaling, 12, 8, 128>(bench, f, 16, argc, argv);
  run_variant<F, kScaling, 4, 16, 128>(bench, f, 16, argc, argv);
  run_variant<F, kScaling, 8, 4, 128>(bench, f, 16, argc, argv);
  run_split<F, kScaling>(bench, f, argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  DeviceInfo device;
  cudaDeviceProp properties;
  cuda_check(cudaGetDeviceProperties(&properties, 0), "device");
  device.multiprocessors = properties.multiProcessorCount;
  device.shared_bytes = properties.sharedMemPerBlockOptin;
  Bench bench{.context = {.device = device}, .memory = allocate(), .rate = 0};
  cuda_check(cudaStreamCreateWithFlags(&bench.context.stream.handle, cudaStreamNonBlocking),
             "stream");
  bench.context.stream.overlap = true;
  fill_pool(bench.memory, kFormats[0]);
  bench.context.scratch.reserve(1);  // not while a graph is recorded
  bench.context.counters.reserve(1);
  cuda_check(cudaDeviceSynchronize(), "fill");
  bench.rate = read_rate(bench.memory, bench.context.stream);
  std::printf("%s, reads %.3f TB/s\n", properties.name, bench.rate);
  bool variants = false;
  for (int i = 1; i < argc; ++i) variants |= std::strcmp(argv[i], "variants") == 0;
  run_all(bench, argc, argv);
  if (variants) {
    run_variants<Form::kBF16, Scaling::kRow>(bench, 0, argc, argv);
    run_variants<Form::kI4, Scaling::kSegment>(bench, 4, argc, argv);
  }
  cuda_check(cudaDeviceSynchronize(), "end");
  return 0;
}
