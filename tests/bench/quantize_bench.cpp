// Quantizing, pruning and making weights, on one thread: GB/s of input (of output for random
// weights), and the share of one thread's read bandwidth that is measured in the same run. The rows
// stay in the second cache: what is measured is the work, which must not be slower than the memory
// and pipes that feed it.
#include <benchmark/benchmark.h>

#include <vector>

#include "kernels/codec/codec.h"
#include "kernels/convert.h"
#include "kernels/probe.h"
#include "libcommon/quant/range.h"

namespace hone {
namespace {

constexpr int64_t kColumns = 4096;
constexpr int64_t kRows = 32;  // 256 KB of BF16
constexpr int64_t kGroup = 128;

double bandwidth() {
  static const double bytes_per_second = probe_machine(1).read_bytes_per_second;
  return bytes_per_second;
}

struct Weights {
  explicit Weights(DType stored)
      : type(stored),
        bytes(static_cast<size_t>(kRows * row_bytes(stored, kColumns))),
        floats(kColumns),
        out(static_cast<size_t>(kColumns) * sizeof(float)) {
    for (int64_t r = 0; r < kRows; ++r) {
      random_row({.key = 1, .first = static_cast<uint64_t>(r * kColumns), .deviation = 0.02f},
                 kColumns, floats.data());
      encode_row(stored, floats.data(), kColumns, bytes.data() + r * row_bytes(stored, kColumns));
    }
  }
  const std::byte* row(int64_t r) const { return bytes.data() + r * row_bytes(type, kColumns); }

  DType type;
  std::vector<std::byte> bytes;
  std::vector<float> floats;
  std::vector<std::byte> out;  // of one row
};

// body(row) for all rows.
template <class Body>
void measure(benchmark::State& state, const Weights& weights, const Body& body) {
  for (auto _ : state) {
    for (int64_t r = 0; r < kRows; ++r) body(weights.row(r));
    benchmark::ClobberMemory();
  }
  const auto bytes = static_cast<double>(weights.bytes.size()) * state.iterations();
  state.counters["GB/s"] = benchmark::Counter(bytes / 1e9, benchmark::Counter::kIsRate);
  state.counters["of read bandwidth"] =
      benchmark::Counter(bytes / bandwidth(), benchmark::Counter::kIsRate);
}

void quantize_groups(benchmark::State& state) {
  Weights weights(DType::kBF16);
  const Scheme scheme{.kind = SchemeKind::kInt, .bits = static_cast<int>(state.range(0))};
  std::vector<float> low(kColumns / kGroup), high(low), scales(low);
  std::vector<int8_t> codes(kColumns);
  measure(state, weights, [&](const std::byte* row) {
    widen_row(weights.type, row, kColumns, weights.floats.data());
    group_ranges(weights.floats.data(), kColumns, kGroup, low.data(), high.data());
    for (size_t g = 0; g < scales.size(); ++g) {
      scales[g] = grid_of_range({low[g], high[g]}, scheme, DType::kBF16).scale;
    }
    round_row({weights.floats.data(), kColumns, kGroup, scales.data()}, scheme.bits, codes.data());
    pack_codes(codes.data(), kColumns, scheme.bits, weights.out.data());
  });
}
BENCHMARK(quantize_groups)->ArgName("bits")->Arg(8)->Arg(4)->Arg(3);

void cast(benchmark::State& state, DType from, DType to) {
  Weights weights(from);
  measure(state, weights, [&](const std::byte* row) {
    widen_row(weights.type, row, kColumns, weights.floats.data());
    narrow_and_compare(to, weights.floats.data(), kColumns, weights.out.data());
  });
}
BENCHMARK_CAPTURE(cast, bf16_q8_0, DType::kBF16, DType::kQ8_0);
BENCHMARK_CAPTURE(cast, bf16_q4_0, DType::kBF16, DType::kQ4_0);
BENCHMARK_CAPTURE(cast, bf16_q4_1, DType::kBF16, DType::kQ4_1);
BENCHMARK_CAPTURE(cast, bf16_f16, DType::kBF16, DType::kF16);
BENCHMARK_CAPTURE(cast, f16_bf16, DType::kF16, DType::kBF16);
BENCHMARK_CAPTURE(cast, bf16_fp8, DType::kBF16, DType::kF8E4M3);

void prune_two_of_four(benchmark::State& state) {
  Weights weights(DType::kBF16);
  std::vector<uint8_t> live(kColumns / 8);
  std::vector<std::byte> kept(kColumns), index(kColumns / 8);
  measure(state, weights, [&](const std::byte* row) {
    prune_2_4(row, kColumns, weights.out.data(), live.data());
    compare_pruned(weights.type, row, weights.out.data(), kColumns);
    pack_2_4(weights.out.data(), live.data(), kColumns, kept.data(), index.data());
  });
}
BENCHMARK(prune_two_of_four);

void prune_by_bound(benchmark::State& state) {
  Weights weights(DType::kBF16);
  measure(state, weights, [&](const std::byte* row) {
    prune_up_to(row, kColumns, 0x3c80, weights.out.data());
    compare_pruned(weights.type, row, weights.out.data(), kColumns);
  });
}
BENCHMARK(prune_by_bound);

void random_weights(benchmark::State& state) {
  Weights weights(DType::kBF16);
  uint64_t first = 0;
  measure(state, weights, [&](const std::byte*) {
    random_row({.key = 1, .first = first, .deviation = 0.02f}, kColumns, weights.floats.data());
    narrow_row(weights.type, weights.floats.data(), kColumns, weights.out.data());
    first += kColumns;
  });
}
BENCHMARK(random_weights);

}  // namespace
}  // namespace hone

BENCHMARK_MAIN();
