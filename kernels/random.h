// Random numbers without state: each draw is a function of (seed, stream, index), so results do not
// depend on order, threads or batch. The mixer is two rounds of SplitMix64's finaliser (Steele,
// Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) over keys spread by
// odd constants.
#pragma once

#include <cstdint>

namespace hone {

constexpr uint64_t mix64(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// What all draws of one stream share.
constexpr uint64_t random_key(uint64_t seed, uint64_t stream) {
  return mix64(seed + 0x9e3779b97f4a7c15u * (stream + 1));
}

// 64 uniform bits.
constexpr uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t index) {
  return mix64(random_key(seed, stream) ^ mix64(index + 0xd1b54a32d192ed03u));
}

// Uniform in [0, 1) with 53 bits.
constexpr double random_uniform(uint64_t seed, uint64_t stream, uint64_t index) {
  return static_cast<double>(random_bits(seed, stream, index) >> 11) * 0x1p-53;
}

}  // namespace hone
