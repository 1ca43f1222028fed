// The three steps of attention on one block of kKeys positions of one kv head, for up to kMostRows
// query rows (a row is one head of one token; GQA puts the heads that share a kv head together, so
// each vector of keys or values is loaded and widened once for all of them):
//
//   dot_keys     scores[row][key] = q[row] . k[key]             a vector holds 16 keys
//   Softmax      weights[row][key] = 2^(score - maximum)        softmax-inl.h
//   add_values   sums[row] += weights[row][key] v[key]          a vector holds 16 elements
//
// Both products are outer products of broadcast scalars with vectors that live in registers for
// all of the block, and every sum is one chain in the order of elements or positions: its bytes
// depend neither on the rows beside it nor on how they were grouped. Compiled once per target (no
// ordinary include guard).
#if defined(HONE_CPU_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_ATTENTION_INL_H_
#undef HONE_CPU_ATTENTION_INL_H_
#else
#define HONE_CPU_ATTENTION_INL_H_
#endif

#include <algorithm>
#include <utility>

#include "hwy/highway.h"
#include "kernels/cpu/decode-inl.h"
#include "kernels/cpu/softmax-inl.h"
#include "kernels/kv_tile.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int kMostRows = kLanes == 16 ? 8 : 4;  // two vectors of sums a row must fit registers
static_assert(kKvTile % kLanes == 0 && kKeys % kKvTile == 0);

// ---- Element types of the cache.
template <DType kType>
HWY_INLINE Floats load_elements(const std::byte* from) {
  if constexpr (kType == DType::kF32) {
    return load_bytes(kFloatTag, from);
  } else if constexpr (kType == DType::kF16) {
    return widen_f16(from);
  } else if constexpr (kType == DType::kBF16) {
    return widen_bf16(from);
  } else {
    return to_floats(hn::PromoteTo(Tag<int32_t>(), load_bytes(Tag<int8_t>(), from)));
  }
}

// Lines of the cache that follow, into L2: decoding waits for memory unless they are on their way
// while this block is computed. (A block fills L1 on its own.) An address behind the cache does no
// harm.
template <int64_t kBytes>
HWY_INLINE void prefetch(const std::byte* from) {
  for (int64_t i = 0; i < kBytes; i += 64) __builtin_prefetch(from + i, 0, 2);
}

// Where a block of keys or of values lies.
struct Block {
  const std::byte* tiles;
  int64_t tile_bytes;
  int64_t width;  // elements from one row of a tile to the next: kKvTile or kv_width(head_dim)
  int64_t ahead;  // bytes from here to what shall be fetched
};

// ---- Scores.
// q: [head_dim][kRows]. Writes vectors [first, first + kVectors) of scores: [kRows][kKeys].
template <DType kType, int kRows, int kVectors>
HWY_INLINE void dot_vectors(const Block& block, const float* q, int64_t head_dim, int64_t first,
                            float* scores) {
  constexpr int64_t kBytes = info(kType).block_bytes;
  constexpr int64_t kStep = kKvTile * kBytes;
  const std::byte* keys[kVectors];
  Floats sums[kRows][kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const int64_t key = (first + v) * kLanes;
    keys[v] = block.tiles + key / kKvTile * block.tile_bytes + key % kKvTile * kBytes;
    for (int r = 0; r < kRows; ++r) sums[r][v] = hn::Zero(kFloatTag);
  }
  for (int64_t d = 0; d < head_dim; ++d) {
    Floats k[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      k[v] = load_elements<kType>(keys[v] + d * kStep);
      prefetch<kStep>(keys[v] + d * kStep + block.ahead);
    }
    for (int r = 0; r < kRows; ++r) {
      const Floats element = hn::Set(kFloatTag, q[d * kRows + r]);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(element, k[v], sums[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      hn::StoreU(sums[r][v], kFloatTag, scores + r * kKeys + (first + v) * kLanes);
    }
  }
}

// Sums side by side: enough to hide the latency of a multiply-add, few enough for registers.
template <int kRows>
inline constexpr int kVectorsBeside = kRows <= 2 ? 4 : 2;

// The first `vectors` vectors of scores.
template <DType kType, int kRows>
void dot_keys(const Block& block, const float* q, int64_t head_dim, int64_t vectors,
              float* scores) {
  constexpr int kBeside = kVectorsBeside<kRows>;
  int64_t v = 0;
  for (; v + kBeside <= vectors; v += kBeside) {
    dot_vectors<kType, kRows, kBeside>(block, q, head_dim, v, scores);
  }
  for (; v < vectors; ++v) dot_vectors<kType, kRows, 1>(block, q, head_dim, v, scores);
}

// ---- Weighted sums of values.
struct Weighted {
  const float* weights;  // [rows][kKeys]
  const float* shrink;   // [rows]: what the sums so far are multiplied with
  int64_t begin;         // positions of the block
  int64_t end;
  float* sums;  // [rows][block.width]
};

template <DType kType, int kRows, int kVectors>
HWY_INLINE void add_vectors(const Block& block, const Weighted& w, int64_t first) {
  constexpr int64_t kBytes = info(kType).block_bytes;
  Floats sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    const Floats shrink = hn::Set(kFloatTag, w.shrink[r]);
    for (int v = 0; v < kVectors; ++v) {
      const float* const sum = w.sums + r * block.width + (first + v) * kLanes;
      sums[r][v] = hn::Mul(shrink, hn::LoadU(kFloatTag, sum));
    }
  }
  // Without scales between tiles, rows are a row's bytes apart everywhere.
  const bool even = block.tile_bytes == kKvTile * block.width * kBytes;
  for (int64_t key = w.begin; key < w.end;) {
    const int64_t run_end = even ? w.end : std::min(w.end, key / kKvTile * kKvTile + kKvTile);
    const std::byte* row = block.tiles + key / kKvTile * block.tile_bytes +
                           (key % kKvTile * block.width + first * kLanes) * kBytes;
    for (; key < run_end; ++key, row += block.width * kBytes) {
      Floats value[kVectors];
      for (int v = 0; v < kVectors; ++v) {
        value[v] = load_elements<kType>(row + v * kLanes * kBytes);
      }
      prefetch<kVectors * kLanes * kBytes>(row + block.ahead);
      for (int r = 0; r < kRows; ++r) {
        const Floats weight = hn::Set(kFloatTag, w.weights[r * kKeys + key]);
        for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(weight, value[v], sums[r][v]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      hn::StoreU(sums[r][v], kFloatTag, w.sums + r * block.width + (first + v) * kLanes);
    }
  }
}

template <DType kType, int kRows>
void add_values(const Block& block, const Weighted& w) {
  constexpr int kBeside = kVectorsBeside<kRows>;
  const int64_t vectors = block.width / kLanes;
  int64_t v = 0;
  for (; v + kBeside <= vectors; v += kBeside) add_vectors<kType, kRows, kBeside>(block, w, v);
  for (; v < vectors; ++v) add_vectors<kType, kRows, 1>(block, w, v);
}

// ---- One version of both for each number of rows.
using DotKeys = void (*)(const Block&, const float*, int64_t, int64_t, float*);
using AddValues = void (*)(const Block&, const Weighted&);

struct BlockKernels {
  DotKeys dot[kMostRows];  // [rows - 1]
  AddValues add[kMostRows];
};

template <DType kType, int... kRows>
constexpr BlockKernels block_kernels(std::integer_sequence<int, kRows...>) {
  return {{&dot_keys<kType, kRows + 1>...}, {&add_values<kType, kRows + 1>...}};
}

template <DType kType>
inline constexpr BlockKernels kBlockKernels =
    block_kernels<kType>(std::make_integer_sequence<int, kMostRows>());

const BlockKernels& kernels_for(DType type) {
  switch (type) {
    case DType::kF16:
      return kBlockKernels<DType::kF16>;
    case DType::kBF16:
      return kBlockKernels<DType::kBF16>;
    case DType::kI8:
      return kBlockKernels<DType::kI8>;
    default:
      return kBlockKernels<DType::kF32>;
  }
}

template <DType kType>
void widen_elements(const std::byte* from, int64_t count, float* out) {
  for (int64_t i = 0; i < count; i += kLanes) {
    hn::StoreU(load_elements<kType>(from + i * info(kType).block_bytes), kFloatTag, out + i);
  }
}

// The elements of whole tiles as floats, scales left out: count is a multiple of kKvTile.
void widen_tile(DType type, const std::byte* from, int64_t count, float* out) {
  if (type == DType::kF16) return widen_elements<DType::kF16>(from, count, out);
  if (type == DType::kBF16) return widen_elements<DType::kBF16>(from, count, out);
  if (type == DType::kI8) return widen_elements<DType::kI8>(from, count, out);
  widen_elements<DType::kF32>(from, count, out);
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
