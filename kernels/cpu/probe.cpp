// Read bandwidth and multiply-add peaks of the CPU, by the instructions that products use: those of
// the level that HONE_CPU asks for.
#include "kernels/probe.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <new>
#include <vector>

#include "kernels/cpu/level.h"
#include "kernels/cpu/targets.h"
#include "kernels/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/probe.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/amx-inl.h"
#include "kernels/cpu/int8_run-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sums an array in four independent chains. Some processors' own prefetchers read as fast as memory
// can be read, others leave a core's queue of outstanding lines half empty unless each line is
// asked for `ahead` bytes before it is used; some are disturbed by that. 0: left to the processor.
uint64_t SumWords(const uint64_t* words, int64_t count, int64_t ahead) {
  const hn::ScalableTag<uint64_t> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto a = hn::Zero(d), b = a, c = a, e = a;
  int64_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    const auto* const next = reinterpret_cast<const char*>(words + i) + ahead;
    for (int64_t k = 0; ahead > 0 && k < 32 * lanes; k += 64) __builtin_prefetch(next + k, 0, 2);
    a = hn::Add(a, hn::LoadU(d, words + i));
    b = hn::Add(b, hn::LoadU(d, words + i + lanes));
    c = hn::Add(c, hn::LoadU(d, words + i + 2 * lanes));
    e = hn::Add(e, hn::LoadU(d, words + i + 3 * lanes));
  }
  a = hn::Add(hn::Add(a, b), hn::Add(c, e));
  HWY_ALIGN uint64_t parts[HWY_MAX_BYTES / sizeof(uint64_t)];
  hn::Store(a, d, parts);
  uint64_t sum = 0;
  for (int64_t lane = 0; lane < lanes; ++lane) sum += parts[lane];
  for (; i < count; ++i) sum += words[i];
  return sum;
}

// The sum of ten independent chains after `rounds` steps: two ports of latency four need eight.
template <class D, class Step>
HWY_INLINE hn::Vec<D> TenChains(D d, int64_t rounds, const Step& step) {
  auto a = hn::Iota(d, 1), b = hn::Iota(d, 2), c = hn::Iota(d, 3), e = hn::Iota(d, 4),
       f = hn::Iota(d, 5), g = hn::Iota(d, 6), h = hn::Iota(d, 7), i = hn::Iota(d, 8),
       j = hn::Iota(d, 9), k = hn::Iota(d, 10);
  for (int64_t round = 0; round < rounds; ++round) {
    step(a), step(b), step(c), step(e), step(f);
    step(g), step(h), step(i), step(j), step(k);
  }
  return hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, e)),
                 hn::Add(hn::Add(hn::Add(f, g), hn::Add(h, i)), hn::Add(j, k)));
}

// Operations of all chains, a step of which makes `in_lane` in each lane.
template <class D>
double OperationsOf(D d, int64_t rounds, int in_lane) {
  return static_cast<double>(rounds) * 10 * in_lane * static_cast<double>(hn::Lanes(d));
}

double MultiplyAdd(int64_t rounds, double* flops) {
  const hn::ScalableTag<float> d;
  const auto scale = hn::Set(d, 0.999f);
  const auto shift = hn::Set(d, 0.001f);
  *flops = OperationsOf(d, rounds, 2);
  const auto all =
      TenChains(d, rounds, [&](auto& sum) HWY_ATTR { sum = hn::MulAdd(sum, scale, shift); });
  return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, all)));
}

// The same of vdpbf16ps: two products of BF16 and their sum in each lane. 0 where the target has no
// such instruction.
double MultiplyPairs(int64_t rounds, double* flops) {
#if HWY_TARGET == HWY_AVX3
  const hn::ScalableTag<float> d;
  const auto x = hn::BitCast(d, hn::Set(hn::RebindToUnsigned<decltype(d)>(), 0x3f803f80u));
  *flops = OperationsOf(d, rounds, 4);
  const auto all = TenChains(d, rounds, [x](auto& sum) HWY_ATTR {
    asm("vdpbf16ps %1, %1, %0" : "+v"(sum.raw) : "v"(x.raw));
  });
  return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, all)));
#else
  *flops = 0;
  return static_cast<double>(rounds);
#endif
}

// The same of the instructions that multiply codes by int8 and sum by fours. 0 where there are
// none.
double MultiplyBytes(int64_t rounds, double* operations) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4
  const hn::ScalableTag<int32_t> d;
  const hn::RebindToUnsigned<decltype(d)> codes;
  auto quad = hn::Set(codes, 0x01010101);
  *operations = OperationsOf(d, rounds, 8);
  const auto all = TenChains(d, rounds, [&](auto& sum) HWY_ATTR {
    asm("" : "+v"(quad.raw));  // else one product would do for all steps
    sum = cpu::HWY_NAMESPACE::add_products(sum, hn::Set(codes, 0x02020202), quad);
  });
  return hn::GetLane(all);  // one lane depends on all chains; the sum of all lanes would overflow
#else
  *operations = 0;
  return static_cast<double>(rounds);
#endif
}

// The same of tile registers, each sum in turns: of int8, or of pairs of BF16. 0 where the target
// has none.
template <bool kInt8>
double MultiplyTiles(int64_t rounds, double* operations) {
#if HWY_TARGET == HWY_AVX3
  using namespace cpu::HWY_NAMESPACE;
  const AmxShapes shapes(kAmxRows, kAmxRowBytes, kAmxRows);
  clear_tile<4>(), clear_tile<6>();
  for (int64_t round = 0; round < rounds; ++round) {
    if constexpr (kInt8) {
      add_int8_tiles<0, 4, 6>(), add_int8_tiles<1, 4, 6>();
      add_int8_tiles<2, 4, 6>(), add_int8_tiles<3, 4, 6>();
    } else {
      add_bf16_tiles<0, 4, 6>(), add_bf16_tiles<1, 4, 6>();
      add_bf16_tiles<2, 4, 6>(), add_bf16_tiles<3, 4, 6>();
    }
  }
  constexpr int64_t kDepth = kInt8 ? kAmxRowBytes : kAmxRowBytes / 2;
  *operations = static_cast<double>(rounds) * 4 * 2 * kAmxRows * kAmxRows * kDepth;
#else
  *operations = 0;
#endif
  return static_cast<double>(rounds);
}

double MultiplyInt8Tiles(int64_t rounds, double* operations) {
  return MultiplyTiles<true>(rounds, operations);
}
double MultiplyBf16Tiles(int64_t rounds, double* operations) {
  return MultiplyTiles<false>(rounds, operations);
}

}  // namespace hone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone {
HWY_EXPORT(MultiplyInt8Tiles);
HWY_EXPORT(MultiplyBf16Tiles);
HWY_EXPORT(SumWords);
HWY_EXPORT(MultiplyAdd);
HWY_EXPORT(MultiplyPairs);
HWY_EXPORT(MultiplyBytes);

namespace {

constexpr int kPasses = 5;
constexpr int64_t kAheadBytes[] = {0, 4096, 16384};  // ways to read; the best one counts
constexpr int kWays = std::size(kAheadBytes);
constexpr int64_t kGrainWords = 1 << 17;  // 1 MiB: large against a cache, small against the array
constexpr int64_t kTileRounds = 500'000;  // 20 ms
volatile double sink;                     // keeps results alive

double seconds_now() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

// An anonymous mapping in huge pages where the system has them, touched by the threads that read
// it.
class Array {
 public:
  explicit Array(int64_t bytes) : bytes_(bytes) {
    memory_ = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
    madvise(memory_, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  }
  ~Array() { munmap(memory_, static_cast<size_t>(bytes_)); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  uint64_t* words() const { return static_cast<uint64_t*>(memory_); }

 private:
  void* memory_;
  int64_t bytes_;
};

int64_t bounded_bytes(int64_t wanted) {
  const int64_t free = static_cast<int64_t>(sysconf(_SC_AVPHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  return std::max<int64_t>(std::min(wanted, free / 4), 1 << 24);
}

// Operations per second of all threads; body(rounds, &operations) is one thread's part.
template <typename Body>
double peak(ThreadPool& pool, const Body& body, int64_t rounds = 2'000'000) {
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    std::vector<double> operations(static_cast<size_t>(pool.threads()));
    const double start = seconds_now();
    pool.parallel_for(pool.threads(), 1, [&](int64_t begin, int64_t) {
      sink = body(rounds, &operations[static_cast<size_t>(begin)]);
    });
    const double seconds = seconds_now() - start;
    double sum = 0;
    for (double one : operations) sum += one;
    best = std::max(best, sum / seconds);
  }
  return best;
}

}  // namespace

struct ReadProbe::State {
  State(int threads, int64_t bytes)
      : pool(threads > 0 ? threads : default_threads()), words(bytes / 8), array(8 * words) {
    pool.parallel_for(words, kGrainWords, [&](int64_t begin, int64_t end) {
      std::fill(array.words() + begin, array.words() + end, 1);
    });
    for (int pass = 0; pass < kWays * kPasses; ++pass) {
      const double rate = read(kAheadBytes[pass % kWays]);
      if (rate > best) best = rate, ahead = kAheadBytes[pass % kWays];
    }
  }

  double read(int64_t ahead_bytes) {
    const double start = seconds_now();
    pool.parallel_for(words, kGrainWords, [&](int64_t begin, int64_t end) {
      sink = static_cast<double>(
          HWY_DYNAMIC_DISPATCH(SumWords)(array.words() + begin, end - begin, ahead_bytes));
    });
    return static_cast<double>(8 * words) / (seconds_now() - start);
  }

  ThreadPool pool;
  int64_t words;
  Array array;
  int64_t ahead = 0;  // the way of reading that was best
  double best = 0;    // bytes per second
};

ReadProbe::ReadProbe(int threads, int64_t array_bytes)
    : state_(std::make_unique<State>(threads, bounded_bytes(array_bytes))) {}
ReadProbe::~ReadProbe() = default;
double ReadProbe::bytes_per_second() { return state_->read(state_->ahead); }
double ReadProbe::best_bytes_per_second() const { return state_->best; }
int64_t ReadProbe::array_bytes() const { return 8 * state_->words; }

MachinePeaks probe_machine(int threads, int64_t array_bytes) {
  std::string unknown;
  const cpu::Level level = cpu::choose_level(&unknown).value_or(cpu::best_level());
  hwy::GetChosenTarget().Update(level.target);
  const double read = ReadProbe(threads, array_bytes).best_bytes_per_second();
  ThreadPool pool(threads > 0 ? threads : default_threads());
  const auto floats = [](int64_t rounds, double* operations) {
    return HWY_DYNAMIC_DISPATCH(MultiplyAdd)(rounds, operations);
  };
  const auto pairs = [](int64_t rounds, double* operations) {
    return HWY_DYNAMIC_DISPATCH(MultiplyPairs)(rounds, operations);
  };
  const auto bytes = [](int64_t rounds, double* operations) {
    return HWY_DYNAMIC_DISPATCH(MultiplyBytes)(rounds, operations);
  };
  const auto int8_tiles = [](int64_t rounds, double* operations) {
    return HWY_DYNAMIC_DISPATCH(MultiplyInt8Tiles)(rounds, operations);
  };
  const auto bf16_tiles = [](int64_t rounds, double* operations) {
    return HWY_DYNAMIC_DISPATCH(MultiplyBf16Tiles)(rounds, operations);
  };
  MachinePeaks peaks{.read_bytes_per_second = read, .flops_per_second = peak(pool, floats)};
  if (level.amx) {
    peaks.bf16_flops_per_second = peak(pool, bf16_tiles, kTileRounds);
    peaks.int8_operations_per_second = peak(pool, int8_tiles, kTileRounds);
  } else {
    if (level.bf16) peaks.bf16_flops_per_second = peak(pool, pairs);
    if (level.int8) peaks.int8_operations_per_second = peak(pool, bytes);
  }
  return peaks;
}

}  // namespace hone
#endif  // HWY_ONCE
