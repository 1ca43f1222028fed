// Draws a token for each row of logits (kernels/sample.h), one block a row. Nothing is sorted: each
// filter, and the draw, ends at some token of the order (distance, id), and its key is found digit
// by digit, as in a radix sort of which only one path is followed: a histogram of the next digit
// of the keys that begin with the digits known so far. Counts and masses are integers, so that the
// order in which atomic additions come does not show. A search mostly ends after two of eight
// digits, where one token is left; the histogram of the first digit serves all searches of a row.
#include "kernels/check.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/largest.cuh"
#include "kernels/cuda/rows.cuh"

namespace hone::cuda {
namespace {

using namespace simt;  // NOLINT: the vocabulary of device code

constexpr int kThreads = 512;
constexpr int kDigitBits = 8;
constexpr int kBins = 1 << kDigitBits;
constexpr int kDistanceShift = 32;  // of a key: the id lies below
constexpr int kFirstShift = 64 - kDigitBits;

using Key = unsigned long long;  // distance << kDistanceShift | id; masses, too

struct Bins {
  unsigned count[kBins];
  Key mass[kBins];
};

struct Shared {
  Bins first;  // by the first digit, of all tokens
  Bins bins;
  Largest largest[kWarpSize];
  Key sums[kWarpSize];
  int32_t id;
};

// A row's logits as tokens with keys.
template <int kWidth>
struct Tokens {
  const float* x;
  int64_t dim;
  float penalty;
  const unsigned* seen;  // bits of the ids that are penalised; null: none
  float scale;
  float top;  // the largest

  __device__ __forceinline__ float logit(float value, int64_t id) const {
    return seen && seen[id / 32] >> id % 32 & 1 ? penalised(value, penalty) : value;
  }
  __device__ __forceinline__ Key key(float value, int64_t id) const {
    return Key{sample_distance(top - logit(value, id), scale)} << kDistanceShift |
           static_cast<Key>(id);
  }
  // f(value, id) for this thread's share of the row.
  template <class F>
  __device__ __forceinline__ void each(F f) const {
#pragma unroll 4
    for (int64_t i = threadIdx.x * kWidth; i < dim; i += kThreads * kWidth) {
      const auto v = load<kWidth>(x + i);
#pragma unroll
      for (int e = 0; e < kWidth; ++e) f(v[e], i + e);
    }
  }
};

__device__ __forceinline__ Key weight_of(Key key) {
  return sample_weight(static_cast<uint32_t>(key >> kDistanceShift));
}

// Of the logits as they are penalised. Every thread gets it.
template <class Row>
__device__ __forceinline__ Largest find_largest(const Row& row, Shared& shared) {
  Largest found{0, 0};
  row.each([&](float value, int64_t id) { found.see(row.logit(value, id), id); });
  sync_block();
  found = reduce(found, shared.largest);
  sync_block();
  if (threadIdx.x == 0) shared.largest[0] = found;
  sync_block();
  return shared.largest[0];
}

// Together, of the tokens up to a distance.
template <class Row>
__device__ __forceinline__ Key mass_within(const Row& row, uint32_t farthest, Shared& shared) {
  Key mass = 0;
  row.each([&](float value, int64_t id) {
    const Key key = row.key(value, id);
    if (key >> kDistanceShift <= farthest) mass += weight_of(key);
  });
  sync_block();
  return block_sum(mass, shared.sums);
}

// Counts and weighs, by the digit at `shift`, the tokens whose keys are `known` above it.
template <class Row>
__device__ __forceinline__ void fill(const Row& row, Bins& bins, Key known, int shift) {
  sync_block();  // nobody reads the bins of the digit before
  if (threadIdx.x < kBins) bins.count[threadIdx.x] = 0, bins.mass[threadIdx.x] = 0;
  sync_block();
  const Key above = shift == kFirstShift ? 0 : ~Key{0} << (shift + kDigitBits);
  row.each([&](float value, int64_t id) {
    const Key key = row.key(value, id);
    if (((key ^ known) & above) != 0) return;
    const auto digit = static_cast<unsigned>(key >> shift) % kBins;
    atomic_add(&bins.count[digit], 1u);
    atomic_add(&bins.mass[digit], weight_of(key));
  });
  sync_block();
}

// A bin, and what lies in those before it.
struct Digit {
  unsigned value, count;
  Key mass, count_before, mass_before;
};

// The bin in which counts, or masses, added up from the first bin on reach `target`. Each warp
// finds it for itself.
__device__ __forceinline__ Digit find_digit(const Bins& bins, bool by_mass, Key target) {
  constexpr int kEach = kBins / kWarpSize;
  const int first = lane_id() * kEach;
  Key count = 0, mass = 0;
  for (int e = 0; e < kEach; ++e) count += bins.count[first + e], mass += bins.mass[first + e];
  Key counts = count, masses = mass;  // of the lanes up to this one
  for (int d = 1; d < kWarpSize; d *= 2) {
    const Key other_counts = shfl_up(counts, d), other_masses = shfl_up(masses, d);
    if (lane_id() >= d) counts += other_counts, masses += other_masses;
  }
  const int owner = warp_sum((by_mass ? masses : counts) < target ? 1 : 0);
  Digit digit{0, 0, 0, counts - count, masses - mass};
  for (int e = 0; e < kEach; ++e) {
    digit.value = static_cast<unsigned>(first + e);
    digit.count = bins.count[first + e];
    digit.mass = bins.mass[first + e];
    const Key with = by_mass ? digit.mass_before + digit.mass : digit.count_before + digit.count;
    if (with >= target) break;
    digit.count_before += digit.count;
    digit.mass_before += digit.mass;
  }
  return {shfl(digit.value, owner), shfl(digit.count, owner), shfl(digit.mass, owner),
          shfl(digit.count_before, owner), shfl(digit.mass_before, owner)};
}

// The shortest part of the tokens, nearest first, whose count or mass is at least a target: where
// it ends. Its last token is the rank-th of those whose keys are `known` from `shift` on.
struct End {
  Key known;
  int shift;
  bool single;  // there is one such token
  Key rank;
  Key mass;  // of the part
};

// Tokens at one distance weigh the same: beyond the distance no digits need be found.
template <class Row>
__device__ __forceinline__ End reach(const Row& row, bool by_mass, Key target, Shared& shared) {
  End end{0, kFirstShift, false, 0, 0};
  for (;; end.shift -= kDigitBits) {
    const bool first = end.shift == kFirstShift;
    if (!first) fill(row, shared.bins, end.known, end.shift);
    const Digit digit = find_digit(first ? shared.first : shared.bins, by_mass, target);
    end.known |= Key{digit.value} << end.shift;
    target -= by_mass ? digit.mass_before : digit.count_before;
    end.mass += digit.mass_before;
    end.single = digit.count == 1;
    if (!end.single && end.shift > kDistanceShift) continue;
    const Key each = end.single ? digit.mass : weight_of(end.known);
    end.rank = end.single ? 1 : by_mass ? (target + each - 1) / each : target;
    end.mass += end.rank * each;
    return end;
  }
}

// The id of the last token of a part.
template <class Row>
__device__ __forceinline__ int32_t last_of(const Row& row, End end, Shared& shared) {
  while (!end.single) {
    end.shift -= kDigitBits;
    fill(row, shared.bins, end.known, end.shift);
    const Digit digit = find_digit(shared.bins, false, end.rank);
    end.known |= Key{digit.value} << end.shift;
    end.rank -= digit.count_before;
    end.single = digit.count == 1;
  }
  row.each([&](float value, int64_t id) {
    const Key key = row.key(value, id);
    if ((key ^ end.known) >> end.shift == 0) shared.id = static_cast<int32_t>(id);
  });
  sync_block();
  return shared.id;
}

template <class Row>
__device__ __forceinline__ int32_t draw(const Row& row, const SampleRow& settings, Shared& shared) {
  fill(row, shared.first, 0, kFirstShift);
  Key mass = 0;
  for (int b = lane_id(); b < kBins; b += kWarpSize) mass += shared.first.mass[b];
  mass = warp_sum(mass);
  if (settings.top_k > 0 && settings.top_k < row.dim) {
    mass = reach(row, false, static_cast<Key>(settings.top_k), shared).mass;
  }
  if (settings.top_p < 1) mass = reach(row, true, share_of(settings.top_p, mass), shared).mass;
  if (settings.farthest < kFarthest) {  // all three keep the nearest tokens, up to some one
    const Key within = mass_within(row, settings.farthest, shared);
    mass = within < mass ? within : mass;
  }
  return last_of(row, reach(row, true, drawn_unit(settings, mass), shared), shared);
}

constexpr int64_t words_of(int64_t ids) { return (ids + 31) / 32; }

// A bit for each id in the text.
__device__ __forceinline__ void mark_seen(const SampleRow& settings, int64_t dim, unsigned* seen) {
  for (int64_t i = threadIdx.x; i < words_of(dim); i += kThreads) seen[i] = 0;
  sync_block();
  for (int64_t i = threadIdx.x; i < settings.text_length; i += kThreads) {
    const int32_t id = settings.text[i];
    if (id >= 0 && id < dim) atomic_or(&seen[id / 32], 1u << id % 32);
  }
  sync_block();
}

// unit_scale: of temperature 1. bits: room for a bit of each id and row; shared memory would end
// at 790 k ids, and what a penalty reads of it stays in L1. One block has a multiprocessor: without
// the 1, ptxas made room for two in registers, and spilled.
template <int kWidth>
__global__ void __launch_bounds__(kThreads, 1)
    sample_kernel(const float* x, const SampleRow* settings, Sampled* out, int64_t dim,
                  bool log_probabilities, float unit_scale, unsigned* bits) {
  SIMT_SHARED(shared, Shared);
  start_next();
  wait_for_previous();
  const SampleRow& mine = settings[blockIdx.x];
  Tokens<kWidth> row{x + blockIdx.x * dim, dim, mine.repetition_penalty, nullptr, unit_scale, 0};
  Largest largest = find_largest(row, shared);
  const float top = row.top = largest.value();
  if (!largest.valid()) {
    if (threadIdx.x == 0) out[blockIdx.x] = {-1, 0, 0};
    return;
  }
  const Key mass = log_probabilities ? mass_within(row, kFarthest, shared) : 0;
  if (mine.text) {
    unsigned* const seen = bits + blockIdx.x * words_of(dim);
    mark_seen(mine, dim, seen);
    row.seen = seen;
    largest = find_largest(row, shared);
    row.top = largest.value();
  }
  row.scale = mine.scale;
  const int32_t id = mine.scale > 0 ? draw(row, mine, shared) : largest.index();
  if (threadIdx.x == 0) out[blockIdx.x] = {id, top - row.x[id], mass};
}

}  // namespace

void sample(BackendContext& opaque, const SampleArgs& args) {
  CHECK(args.dim <= kMostSampledIds);
  if (args.rows == 0) return;
  Context& context = own(opaque);
  const bool wide = args.dim % 4 == 0 && aligned16(args.x);
  auto* const bits = reinterpret_cast<unsigned*>(context.scratch.reserve(
      static_cast<size_t>(args.rows * words_of(args.dim)) * sizeof(unsigned)));
  launch(wide ? sample_kernel<4> : sample_kernel<1>, {static_cast<unsigned>(args.rows)}, {kThreads},
         0, context.stream, args.x, args.settings, args.out, args.dim, args.log_probabilities,
         distance_scale(1), bits);
}

}  // namespace hone::cuda
