// Products of every storage with 1 to 512 tokens. Copies of a matrix are used in turn, more of them
// than the last-level cache holds, as a model uses its layers. Beside the time: stored bytes and
// multiply-adds a second, and their share of what the machine gives to a bare stream and to bare
// multiply-adds in this same run (probe.h).
//
//   matmul_bench [--benchmark_filter=bf16/.*/tokens:1/] [--benchmark_repetitions=7]
//
// Names: storage/rows x columns/tokens/pages. Pages are huge (2 MB, as a copy of the weights in
// anonymous memory can have) or small (4 kB, as a mapped file has).
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "kernels/codec/codec.h"
#include "kernels/open.h"
#include "kernels/parallel.h"
#include "kernels/probe.h"

using namespace hone;

namespace {

// One row for each way to store a matrix and to multiply with it.
struct Storage {
  std::string name;
  DType type = DType::kF32;
  int packed_bits = 0;
  int64_t group = 0;  // 0: no scales
  bool sparse = false;
  bool exact = false;       // --compute f32: activations are not rounded to int8
  bool bf16_input = false;  // --compute bf16
  bool bitmask = false;     // of which every other bit, on average, is set
};

const Storage kStorages[] = {
    {.name = "f32", .type = DType::kF32},
    {.name = "f16", .type = DType::kF16},
    {.name = "bf16", .type = DType::kBF16},
    {.name = "bf16-bf16", .type = DType::kBF16, .bf16_input = true},
    {.name = "f8e4m3", .type = DType::kF8E4M3, .group = 128},
    {.name = "bf16-2:4", .type = DType::kBF16, .sparse = true},
    {.name = "bf16-bitmask", .type = DType::kBF16, .bitmask = true},
    {.name = "int8-g128", .type = DType::kI8, .group = 128},
    {.name = "int8-g128-f32", .type = DType::kI8, .group = 128, .exact = true},
    {.name = "int6-g128", .packed_bits = 6, .group = 128},
    {.name = "int8-g128-2:4", .type = DType::kI8, .group = 128, .sparse = true},
    {.name = "int8-g128-bitmask", .type = DType::kI8, .group = 128, .bitmask = true},
    {.name = "int4-g128", .packed_bits = 4, .group = 128},
    {.name = "int4-g128-f32", .packed_bits = 4, .group = 128, .exact = true},
    {.name = "int3-g128", .packed_bits = 3, .group = 128},
    {.name = "int4-g128-2:4", .packed_bits = 4, .group = 128, .sparse = true},
    {.name = "Q8_0", .type = DType::kQ8_0},
    {.name = "Q4_0", .type = DType::kQ4_0},
    {.name = "Q4_0-f32", .type = DType::kQ4_0, .exact = true},
    {.name = "Q4_K", .type = DType::kQ4_K},
    {.name = "Q5_K", .type = DType::kQ5_K},
    {.name = "Q6_K", .type = DType::kQ6_K},
    {.name = "IQ4_NL", .type = DType::kIQ4_NL},
    {.name = "IQ4_XS", .type = DType::kIQ4_XS},
    {.name = "MXFP4", .type = DType::kMXFP4},
};

struct Shape {
  int64_t rows;
  int64_t columns;
};
constexpr Shape kShapes[] = {{2048, 2048}, {5632, 2048}, {2048, 5632}, {32000, 2048}};
constexpr int64_t kTokens[] = {1, 4, 8, 64, 512};
constexpr int64_t kBytesInTurn = int64_t{1} << 30;

const MachinePeaks& peaks() {
  static const MachinePeaks measured = probe_machine(0);
  return measured;
}

// Anonymous memory in pages of a size.
class Pages {
 public:
  Pages(int64_t bytes, bool huge) : bytes_(static_cast<size_t>(bytes)) {
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
    madvise(memory_, bytes_, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  }
  ~Pages() { munmap(memory_, bytes_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(memory_); }

 private:
  void* memory_;
  size_t bytes_;
};

// Copies of a matrix of random weights, one after the other.
class Matrices {
 public:
  Matrices(const Storage& storage, const Shape& shape, int64_t bytes_in_turn, bool huge)
      : first_(view_without_memory(storage, shape)) {
    const int64_t row =
        storage.bitmask ? element_bytes(first_, shape.columns / 2) : payload_row_bytes(first_);
    scale_bytes_ = storage.group ? shape.rows * shape.columns / storage.group * 2 : 0;
    index_bytes_ = storage.sparse || storage.bitmask ? shape.rows * shape.columns / 8 : 0;
    bytes_ = round_up(shape.rows * row) + round_up(scale_bytes_) + round_up(index_bytes_);
    count_ = std::max<int64_t>(1, (bytes_in_turn + bytes_ - 1) / bytes_);
    pages_ = std::make_unique<Pages>(count_ * bytes_ + 4096, huge);
    fill(storage, row);
    for (int64_t i = 1; i < count_; ++i) {
      std::memcpy(pages_->data() + i * bytes_, pages_->data(), static_cast<size_t>(bytes_));
    }
  }

  WeightView next() {
    WeightView view = first_;
    const int64_t at = turn_++ % count_ * bytes_;
    view.payload += at;
    if (view.scales) view.scales += at;
    if (view.index) view.index += at;
    if (view.mask) view.mask += at;
    return view;
  }

 private:
  static int64_t round_up(int64_t bytes) { return (bytes + 63) / 64 * 64; }
  static bool has_minimum(DType type) { return type == DType::kQ4_K || type == DType::kQ5_K; }

  static WeightView view_without_memory(const Storage& storage, const Shape& shape) {
    WeightView view;
    view.type = storage.packed_bits ? DType::kI32 : storage.type;
    view.packed_bits = storage.packed_bits;
    view.rows = shape.rows;
    view.columns = shape.columns;
    view.group = storage.group;
    view.scale_type = DType::kBF16;
    view.scale_rows = shape.rows;
    view.int8_input = true;  // as sessions choose on the CPU
    static constexpr std::byte kSparse{};
    view.index = storage.sparse ? &kSparse : nullptr;
    view.int8_input = !storage.exact;  // as programs do; no effect on floats
    view.bf16_input = storage.bf16_input;
    view.row_stride = payload_row_bytes(view);
    return view;
  }

  void fill(const Storage& storage, int64_t row) {
    std::mt19937 random(1);
    std::byte* const payload = pages_->data();
    for (int64_t i = 0; i < row; ++i) payload[i] = static_cast<std::byte>(random());
    if (storage.packed_bits == 0) fill_row(payload, random);
    for (int64_t r = 1; r < first_.rows; ++r) {
      std::memcpy(payload + r * row, payload, static_cast<size_t>(row));
    }
    first_.payload = payload;
    std::byte* const scales = payload + round_up(first_.rows * row);
    const uint16_t hundredth = f32_to_bf16(0.01f);
    for (int64_t i = 0; i < scale_bytes_; i += 2) std::memcpy(scales + i, &hundredth, 2);
    if (scale_bytes_) first_.scales = scales;
    std::byte* const index = scales + round_up(scale_bytes_);
    static constexpr int kPairs[] = {4, 8, 12, 9, 13, 14};  // first | second << 2
    for (int64_t i = 0; i < index_bytes_; ++i) {
      index[i] = static_cast<std::byte>(kPairs[random() % 6] | kPairs[random() % 6] << 4);
    }
    if (storage.sparse) first_.index = index;
    if (storage.bitmask) use_mask(index, random);
  }

  // One of each two columns.
  void use_mask(std::byte* mask, std::mt19937& random) {
    for (int64_t i = 0; i < index_bytes_; ++i) {
      const auto second = static_cast<unsigned>(random()) & 0x55;
      mask[i] = static_cast<std::byte>(second << 1 | (second ^ 0x55));
    }
    for (int64_t r = 0; r <= first_.rows; ++r) row_offsets_.push_back(r * first_.columns / 2);
    first_.mask = mask;
    first_.row_offsets = row_offsets_.data();
  }

  // Normal numbers; blocks without an encoder get random bits and a small scale.
  void fill_row(std::byte* out, std::mt19937& random) const {
    const int64_t columns = first_.stored_columns();
    if (first_.type == DType::kI8) return;
    if (can_encode(first_.type)) {
      std::normal_distribution<float> normal(0, 0.02f);
      std::vector<float> values(static_cast<size_t>(columns));
      for (float& v : values) v = normal(random);
      encode_row(first_.type, values.data(), columns, out);
      return;
    }
    const uint16_t small = f32_to_f16(0.001f);
    const int64_t block = info(first_.type).block_bytes;
    for (int64_t b = 0; b < row_bytes(first_.type, columns); b += block) {
      if (first_.type == DType::kMXFP4) {
        out[b] = std::byte{118};  // 2^-10
        continue;
      }
      std::memcpy(out + b + (first_.type == DType::kQ6_K ? 208 : 0), &small, 2);
      if (has_minimum(first_.type)) std::memcpy(out + b + 2, &small, 2);
    }
  }

  WeightView first_;
  std::unique_ptr<Pages> pages_;
  std::vector<int64_t> row_offsets_;  // of a bitmask
  int64_t scale_bytes_ = 0;
  int64_t index_bytes_ = 0;  // or of the mask
  int64_t bytes_ = 0;        // of a matrix
  int64_t count_ = 0;
  int64_t turn_ = 0;
};

void multiply(benchmark::State& state, const Storage& storage, const Shape& shape, int64_t tokens,
              bool huge) {
  std::string why;
  const auto backend = open_backend("cpu", 0, &why);
  Matrices matrices(storage, shape, tokens <= 8 ? kBytesInTurn : kBytesInTurn / 8, huge);
  std::vector<float> x(static_cast<size_t>(tokens * shape.columns));
  std::vector<float> out(static_cast<size_t>(tokens * shape.rows));
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (float& v : x) v = normal(random);
  for (auto _ : state) {
    backend->run.matmul(
        {.x = x.data(), .weight = matrices.next(), .out = out.data(), .tokens = tokens});
  }
  using benchmark::Counter;
  const auto products = static_cast<double>(state.iterations());
  const double bytes = products * static_cast<double>(stored_bytes(matrices.next()));
  const double flops = 2 * products * static_cast<double>(shape.rows * shape.columns * tokens);
  state.counters["GB/s"] = Counter(bytes / 1e9, Counter::kIsRate);
  state.counters["GFLOP/s"] = Counter(flops / 1e9, Counter::kIsRate);
  state.counters["of_read"] = Counter(bytes / peaks().read_bytes_per_second, Counter::kIsRate);
  state.counters["of_peak"] = Counter(flops / peaks().flops_per_second, Counter::kIsRate);
}

void declare(const Storage& storage, const Shape& shape, int64_t tokens, bool huge) {
  const std::string name = storage.name + "/" + std::to_string(shape.rows) + "x" +
                           std::to_string(shape.columns) + "/tokens:" + std::to_string(tokens) +
                           (huge ? "/huge" : "/small");
  benchmark::RegisterBenchmark(
      name.c_str(), [=](benchmark::State& state) { multiply(state, storage, shape, tokens, huge); })
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace

int main(int argc, char** argv) {
  for (const Storage& storage : kStorages) {
    for (const Shape& shape : kShapes) {
      for (const int64_t tokens : kTokens) {
        declare(storage, shape, tokens, true);
        if (tokens == 1) declare(storage, shape, tokens, false);
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::AddCustomContext("peaks",
                              std::to_string(peaks().read_bytes_per_second / 1e9) + " GB/s, " +
                                  std::to_string(peaks().flops_per_second / 1e9) + " GFLOP/s, " +
                                  std::to_string(default_threads()) + " threads");
  benchmark::RunSpecifiedBenchmarks();
}
