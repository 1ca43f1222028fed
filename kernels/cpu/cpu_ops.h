// What the ops of the CPU backend share: their context, and how a version of each is chosen.
#pragma once

#include <cstdint>
#include <new>
#include <vector>

#include "kernels/backend.h"
#include "kernels/parallel.h"

namespace hone::cpu {

// What lies where of a run of int8 activations (int8_input-inl.h).
enum class TokenOrder : uint8_t { kQuads, kTileQuads, kTileTokens };

// How activations become int8.
struct Int8Layout {
  int64_t columns = 0;
  int64_t run = 0;         // columns that share a scale
  int per_byte = 1;        // codes in a byte of the weight
  bool per_token = false;  // all runs of a token have the same scale
  TokenOrder order = TokenOrder::kQuads;
  bool operator==(const Int8Layout&) const = default;
};

// Memory that begins at a multiple of kBytes.
template <typename T, size_t kBytes>
struct AlignedAllocator {
  using value_type = T;
  template <typename Other>
  struct rebind {
    using other = AlignedAllocator<Other, kBytes>;
  };
  static constexpr std::align_val_t kAlignment{kBytes};
  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), kAlignment)); }
  void deallocate(T* memory, size_t) { ::operator delete(memory, kAlignment); }
  bool operator==(const AlignedAllocator&) const = default;
};
// At the start of a cache line: a vector register's worth that lies in two takes two reads.
template <typename T>
using LineVector = std::vector<T, AlignedAllocator<T, 64>>;
// At the start of a page.
template <typename T>
using PageVector = std::vector<T, AlignedAllocator<T, 4096>>;

// Activations rounded for a matrix, still as floats: values * scale, per token; or in BF16.
struct RoundedTokens {
  LineVector<float> values;  // [tokens, columns] on the grid of int8, fp8 or BF16; or
                             // [tokens, columns / 2] pairs (lane-inl.h); or as
                             // round_to_tiles of bf16_amx-inl.h lays them out
  std::vector<float> scale;  // [tokens], of int8 and fp8
};

struct Int8Tokens {
  Int8Layout layout;
  LineVector<int8_t> quads;
  std::vector<float> scales;
  std::vector<int32_t> sums;
  std::vector<int32_t> half_sums;
};

struct Context {
  ThreadPool pool;
  bool int8_kernels = true;    // false: products of integers go through floats
  bool bf16_products = false;  // there is an instruction for PairLane
  bool amx = false;            // there are tile registers, and both instructions for them
  // One for each matrix of an op; kept to spare the allocation.
  RoundedTokens rounded[3];
  Int8Tokens int8[3];
};

// BackendContext is an opaque name to callers; here it is this backend's Context.
inline Context& own(BackendContext& context) { return reinterpret_cast<Context&>(context); }

// Every op is compiled once per target. choose_<op>() returns the version for Highway's chosen
// target, which open_cpu_backend sets just before it calls them.
#define X(name, Args) void (*choose_##name())(BackendContext&, const Args&);
FOR_EACH_OP(X)
#undef X

// After HWY_EXPORT(name).
#define CHOOSE_OP(name, Args) \
  void (*choose_##name())(BackendContext&, const Args&) { return &HWY_DYNAMIC_DISPATCH(name); }

}  // namespace hone::cpu
