// How far a backend may be from the reference, by name. Where a test fails, fix the kernel, not the
// tolerance. Each factor multiplies a magnitude that the test computes in double: what the result
// would be if nothing cancelled.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstring>
#include <span>
#include <sstream>
#include <string>

namespace hone::tolerance {

inline constexpr double kUlp = 0x1p-23;  // distance of neighbouring floats, relative

inline constexpr double kExact = 0;
// Dot products in f32 with 1 to 16 partial sums of up to 2048 terms: of sum |x| |w|.
inline constexpr double kDot = 10 * kUlp;
// Dot products of the CUDA backend, whose tensor cores take an activation as the sum of two 16-bit
// floats: with bf16 2^-18 of it is lost; f32 sums are cut off, not rounded. Of sum |x| |w|.
inline constexpr double kSplitDot = 0x1p-17;
// The same of matrices that the backend places as F16, rounded (GGUF's blocks with a minimum).
inline constexpr double kHalfWeights = 0x1p-11;
// Dot products of the CUDA backend for many tokens, whose activations are rounded to 16 bits, to
// bf16 (2^-8), or to f16 like the decoded weights and some stored ones (three times 2^-11).
inline constexpr double kBF16Input = 0x1.02p-8;
inline constexpr double kF16Product = 3.1 * 0x1p-11;
// A token whose rounding to int8 may differ by a step in some columns.
inline constexpr double kInt8Step = 0x1.1p-7;
// Activation functions: of |x|. The polynomials err by 2 ulp, the formulas around them by a few.
inline constexpr double kActivation = 6 * kUlp;
// Norms: statistics in double, then three roundings in f32: of |weight| |x| factor + |bias|.
inline constexpr double kNorm = 4 * kUlp;
// Rotations: of |a| + |b|.
inline constexpr double kRope = 2 * kUlp;
// Attention: a relative error e of the weights; scores of magnitude s add s * kDot. Of max |v|.
inline constexpr double kAttention = 40 * kUlp;
// The same on tensor cores of a GPU, with operands in two halves of 11 bits. Of max |v|.
inline constexpr double kCudaDecode = 100 * kUlp;
// Many tokens: queries and weights rounded to f16, values of BF16 and I8 caches too. Of
// max |v| times what the scores' own rounding adds.
inline constexpr double kCudaPrefill = 0x1p-11;

// "" if |actual - expected| <= factor * magnitude everywhere, else the first failure in words. A
// NaN fails. magnitudes: one per element.
inline std::string difference(std::span<const float> actual, std::span<const float> expected,
                              std::span<const double> magnitudes, double factor) {
  for (size_t i = 0; i < expected.size(); ++i) {
    const double allowed = factor * magnitudes[i] + kUlp / 2 * std::abs(expected[i]);
    const double error = std::abs(static_cast<double>(actual[i]) - expected[i]);
    if (error <= allowed) continue;
    std::ostringstream text;
    text << "element " << i << ": " << actual[i] << ", expected " << expected[i] << ", off by "
         << error << ", allowed " << allowed;
    return text.str();
  }
  return "";
}

// For inputs with NaN or infinities: results must be NaN, +inf, -inf or finite in the same places.
inline std::string class_difference(std::span<const float> actual,
                                    std::span<const float> expected) {
  const auto same = [](float a, float b) {
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
    if (std::isinf(a) || std::isinf(b)) return a == b;
    return true;
  };
  for (size_t i = 0; i < expected.size(); ++i) {
    if (same(actual[i], expected[i])) continue;
    std::ostringstream text;
    text << "element " << i << ": " << actual[i] << ", expected " << expected[i];
    return text.str();
  }
  return "";
}

inline bool same_bytes(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

}  // namespace hone::tolerance
