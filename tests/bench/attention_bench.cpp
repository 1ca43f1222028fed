// Attention over a cache far larger than the last-level cache, as a session meets it: layer after
// layer. Beside the time: bytes of keys and values that must be read, multiply-adds, and the share
// of what the machine gives to a bare stream and to bare multiply-adds in this same run.
//
//   attention_bench [--benchmark_filter=decode] [--benchmark_repetitions=7]
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/open.h"
#include "kernels/probe.h"

using namespace hone;

namespace {

struct Shape {
  std::string name;
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
};

const Shape kShapes[] = {
    {.name = "tinyllama", .heads = 32, .kv_heads = 4, .head_dim = 64},
    {.name = "gpt2", .heads = 12, .kv_heads = 12, .head_dim = 64},
    {.name = "llama3-8b", .heads = 32, .kv_heads = 8, .head_dim = 128},
};
constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kI8};
constexpr int64_t kCacheBytes = int64_t{768} << 20;

struct Step {
  int64_t depth;  // positions before the first token
  int64_t tokens;
};

const MachinePeaks& peaks(int threads) {
  static std::map<int, MachinePeaks> measured;
  if (!measured.contains(threads)) measured[threads] = probe_machine(threads);
  return measured[threads];
}

// As many layers as make kCacheBytes, all filled with the same random keys and values.
class Layers {
 public:
  Layers(Backend& backend, const Shape& shape, DType type, int64_t capacity)
      : backend_(backend), shape_(shape), type_(type), capacity_(kv_capacity(capacity)) {
    bytes_ = kv_tile_offset(type, shape.head_dim, capacity_, shape.kv_heads, 0);
    count_ = std::max<int64_t>(2, kCacheBytes / (2 * bytes_));
    memory_ = static_cast<std::byte*>(backend.allocate(static_cast<size_t>(2 * count_ * bytes_)));
    fill_first();
    for (int64_t i = 1; i < count_; ++i) {
      std::memcpy(keys(i), keys(0), static_cast<size_t>(2 * bytes_));
    }
  }
  ~Layers() { backend_.release(memory_); }
  Layers(const Layers&) = delete;
  Layers& operator=(const Layers&) = delete;

  int64_t count() const { return count_; }
  int64_t capacity() const { return capacity_; }
  std::byte* keys(int64_t layer) const { return memory_ + 2 * layer * bytes_; }
  std::byte* values(int64_t layer) const { return keys(layer) + bytes_; }

 private:
  void fill_first() {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    const int64_t width = shape_.kv_heads * shape_.head_dim;
    std::vector<float> k(static_cast<size_t>(width)), v = k;
    const int32_t sequence = 0;
    for (int32_t position = 0; position < capacity_; ++position) {
      for (float& x : k) x = normal(random);
      for (float& x : v) x = normal(random);
      backend_.run.kv_store({.k = k.data(),
                             .v = v.data(),
                             .keys = keys(0),
                             .values = values(0),
                             .type = type_,
                             .sequences = &sequence,
                             .positions = &position,
                             .tokens = 1,
                             .kv_heads = shape_.kv_heads,
                             .head_dim = shape_.head_dim,
                             .capacity = capacity_});
    }
  }

  Backend& backend_;
  Shape shape_;
  DType type_;
  int64_t capacity_;
  int64_t bytes_ = 0;  // of the keys of a layer
  int64_t count_ = 0;
  std::byte* memory_ = nullptr;
};

void report(benchmark::State& state, const Shape& shape, DType type, const Step& step,
            int threads) {
  const auto steps = static_cast<double>(state.iterations());
  const auto tokens = static_cast<double>(step.tokens);
  const double seen = static_cast<double>(step.depth) + (tokens + 1) / 2;  // by a token, on average
  const double pairs = tokens * seen * static_cast<double>(shape.heads);
  const auto vector = static_cast<double>(kv_vector_bytes(type, shape.head_dim));
  const double bytes =
      2 * static_cast<double>((step.depth + step.tokens) * shape.kv_heads) * vector;
  using benchmark::Counter;
  const MachinePeaks& peak = peaks(threads);
  const double flops = 4 * pairs * static_cast<double>(shape.head_dim);
  state.counters["GB/s"] = Counter(steps * bytes / 1e9, Counter::kIsRate);
  state.counters["GFLOP/s"] = Counter(steps * flops / 1e9, Counter::kIsRate);
  state.counters["of_read"] = Counter(steps * bytes / peak.read_bytes_per_second, Counter::kIsRate);
  state.counters["of_peak"] = Counter(steps * flops / peak.flops_per_second, Counter::kIsRate);
}

void attend(benchmark::State& state, const Shape& shape, DType type, const Step& step,
            int threads) {
  std::string why;
  const auto backend = open_backend("cpu", threads, &why);
  const Layers layers(*backend, shape, type, step.depth + step.tokens);
  const auto size = static_cast<size_t>(step.tokens * shape.heads * shape.head_dim);
  std::vector<float> q(size), out(size);
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (float& x : q) x = normal(random);
  std::vector<int32_t> sequences(static_cast<size_t>(step.tokens), 0), positions;
  for (int64_t i = 0; i < step.tokens; ++i) {
    positions.push_back(static_cast<int32_t>(step.depth + i));
  }
  int64_t layer = 0;
  for (auto _ : state) {
    backend->run.attention({.q = q.data(),
                            .keys = layers.keys(layer),
                            .values = layers.values(layer),
                            .type = type,
                            .out = out.data(),
                            .sequences = sequences.data(),
                            .positions = positions.data(),
                            .tokens = step.tokens,
                            .heads = shape.heads,
                            .kv_heads = shape.kv_heads,
                            .head_dim = shape.head_dim,
                            .capacity = layers.capacity(),
                            .scale = 0.125});
    layer = (layer + 1) % layers.count();
  }
  report(state, shape, type, step, threads);
}

void declare(const std::string& kind, const Shape& shape, const Step& step) {
  for (const DType type : kTypes) {
    for (const int threads : {1, 2}) {
      const std::string name = kind + "/" + shape.name + "/" + std::string(kv_type_name(type)) +
                               "/depth:" + std::to_string(step.depth) +
                               "/threads:" + std::to_string(threads);
      benchmark::RegisterBenchmark(
          name.c_str(), [=](benchmark::State& state) { attend(state, shape, type, step, threads); })
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (const Shape& shape : kShapes) {
    declare("decode", shape, {.depth = 128, .tokens = 1});
    declare("decode", shape, {.depth = 8192, .tokens = 1});
    declare("prefill", shape, {.depth = 0, .tokens = 512});
    declare("prefill", shape, {.depth = 7680, .tokens = 512});
  }
  benchmark::Initialize(&argc, argv);
  for (const int threads : {1, 2}) {
    benchmark::AddCustomContext(
        std::to_string(threads) + " threads",
        std::to_string(peaks(threads).read_bytes_per_second / 1e9) + " GB/s, " +
            std::to_string(peaks(threads).flops_per_second / 1e9) + " GFLOP/s");
  }
  benchmark::RunSpecifiedBenchmarks();
}
