// Conversions and packed arithmetic of device.h against their definitions.
#include <cmath>
#include <random>
#include <vector>

#include "tests/simt/orders.h"

using namespace hone;
using namespace hone::simt;

namespace {

constexpr Stream kStream{};

float half_value(uint32_t bits_of_f16) {
  f16 h;
  h.raw = static_cast<uint16_t>(bits_of_f16);
  return static_cast<float>(h);
}
bool same(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

__global__ void convert(const float* x, uint16_t* halves, uint16_t* brains, uint32_t* packed,
                        uint32_t* packed_brains, float* back, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  halves[i] = f16(x[i]).raw;
  brains[i] = bf16(x[i]).raw;
  packed[i] = f16x2_pack(x[i], x[n - 1 - i]);
  packed_brains[i] = bf16x2_pack(x[i], x[n - 1 - i]);
  f16 h;
  h.raw = static_cast<uint16_t>(i);
  back[i] = static_cast<float>(h);
}

// All magnitudes a half can have and more, and all ties.
std::vector<float> floats_around_halves(int n) {
  std::mt19937 rng(1);
  std::vector<float> x(n);
  for (int i = 0; i < n; ++i) {
    const uint32_t low[] = {0x1000, 0x8000, static_cast<uint32_t>(rng() & 0xffff)};
    x[i] = bits<float>(static_cast<uint32_t>(i) << 16 | low[i % 3]);
    if (i % 5 == 0)
      x[i] = std::ldexp(static_cast<float>(rng() % 8192), static_cast<int>(rng() % 45) - 37);
  }
  return x;
}

// What the compiler says, where it has the type and nvcc does not choke on it.
bool half_is_right(float x, uint16_t h) {
#if defined(__x86_64__) && defined(__FLT16_MANT_DIG__) && !defined(__CUDACC__)
  return std::isnan(x) ? std::isnan(half_value(h)) : h == bits<uint16_t>(static_cast<_Float16>(x));
#else
  return h == f16(x).raw;
#endif
}

__global__ void widen_f8(uint32_t* out) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = f16x2_from_f8(i);
}

// "fn": no infinity; 0x7f and 0xff are NaN.
float f8_value(uint32_t byte) {
  const int exponent = static_cast<int>(byte >> 3 & 15), mantissa = static_cast<int>(byte & 7);
  if ((byte & 0x7f) == 0x7f) return std::nanf("");
  const float magnitude = exponent ? std::ldexp(8.0f + static_cast<float>(mantissa), exponent - 10)
                                   : std::ldexp(static_cast<float>(mantissa), -9);
  return byte & 0x80 ? -magnitude : magnitude;
}

__global__ void packed(const uint32_t* x, uint32_t* fma, uint32_t* sub, int* dot) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const uint32_t a = x[3 * i], b = x[3 * i + 1], c = x[3 * i + 2];
  fma[i] = f16x2_fma(a, b, c);
  sub[i] = f16x2_sub(a, b);
  dot[i] = dp4a(a, b, static_cast<int>(c));
}

// No neighbouring half is closer to `exact`.
bool is_nearest(uint16_t got, double exact) {
  const double error = std::abs(half_value(got) - exact);
  for (const int step : {-1, 1}) {
    const double other = std::abs(half_value(static_cast<uint16_t>(got + step)) - exact);
    if (other < error || (other == error && got % 2)) return false;
  }
  return true;
}

__global__ void approximations(const float* x, float* out, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  out[i] = fast_exp(x[i]);
  out[n + i] = fast_exp2(x[i]);
  out[2 * n + i] = fast_rsqrt(std::abs(x[i]));
}

}  // namespace

TEST_CASE("conversions between f32, f16 and bf16") {
  constexpr int kCount = 1 << 16;
  const std::vector<float> x = floats_around_halves(kCount);
  Buffer<float> dx(x), back(kCount);
  Buffer<uint16_t> halves(kCount), brains(kCount);
  Buffer<uint32_t> pairs(kCount), brain_pairs(kCount);
  launch(convert, {kCount / 256}, {256}, 0, kStream, dx.get(), halves.get(), brains.get(),
         pairs.get(), brain_pairs.get(), back.get(), kCount);
  const auto h = halves.to_host(), b = brains.to_host();
  const auto p = pairs.to_host(), q = brain_pairs.to_host();
  const auto f = back.to_host();
  int wrong_halves = 0, wrong_brains = 0, wrong_pairs = 0, wrong_back = 0;
  for (int i = 0; i < kCount; ++i) {
    const int mate = kCount - 1 - i;
    wrong_brains += b[i] != bf16(x[i]).raw;
    wrong_halves += !half_is_right(x[i], h[i]);
    wrong_pairs += p[i] != (h[i] | static_cast<uint32_t>(h[mate]) << 16);
    wrong_pairs += q[i] != (b[i] | static_cast<uint32_t>(b[mate]) << 16);
    wrong_back += !same(f[i], half_value(static_cast<uint32_t>(i)));
  }
  CHECK(wrong_halves == 0);
  CHECK(wrong_brains == 0);
  CHECK(wrong_pairs == 0);
  CHECK(wrong_back == 0);
}

TEST_CASE("pairs of fp8 to f16") {
  constexpr int kCount = 1 << 16;
  Buffer<uint32_t> out(kCount);
  launch(widen_f8, {kCount / 256}, {256}, 0, kStream, out.get());
  const auto r = out.to_host();
  int wrong = 0;
  for (uint32_t i = 0; i < kCount; ++i) {
    wrong += !same(half_value(r[i] & 0xffff), f8_value(i & 0xff));
    wrong += !same(half_value(r[i] >> 16), f8_value(i >> 8));
  }
  CHECK(wrong == 0);
}

TEST_CASE("packed arithmetic") {
  constexpr int kCount = 1 << 12;
  std::mt19937 rng(1);
  std::vector<uint32_t> x(3 * kCount);
  for (auto& u : x) {
    u = 0;
    for (int i = 0; i < 2; ++i)  // halves between 2^-5 and 2^5: a double holds a * b + c
      u = u << 16 | (rng() & 0x83ff) | (10 + rng() % 10) << 10;
  }
  Buffer<uint32_t> dx(x), fma(kCount), sub(kCount);
  Buffer<int> dot(kCount);
  launch(packed, {kCount / 128}, {128}, 0, kStream, dx.get(), fma.get(), sub.get(), dot.get());
  const auto f = fma.to_host(), s = sub.to_host();
  const auto d = dot.to_host();
  int wrong = 0;
  for (int i = 0; i < kCount; ++i) {
    const uint32_t a = x[3 * i], b = x[3 * i + 1], c = x[3 * i + 2];
    int sum = static_cast<int>(c);
    for (int j = 0; j < 32; j += 8)
      sum += static_cast<int8_t>(a >> j) * static_cast<int8_t>(b >> j);
    wrong += d[i] != sum;
    for (int j = 0; j < 32; j += 16) {
      const double da = half_value(a >> j), db = half_value(b >> j), dc = half_value(c >> j);
      wrong += !is_nearest(static_cast<uint16_t>(f[i] >> j), da * db + dc);
      wrong += !is_nearest(static_cast<uint16_t>(s[i] >> j), da - db);
    }
  }
  CHECK(wrong == 0);
}

// What kernels may rely on: 2 ulp and |x| more for the scaling of exp's argument.
TEST_CASE("fast functions") {
  std::vector<float> x;
  for (float v = -80; v <= 80; v += 0.0625f) x.push_back(v);
  const int n = static_cast<int>(x.size());
  Buffer<float> dx(x), out(3 * x.size());
  launch(approximations, {static_cast<unsigned>((n + 127) / 128)}, {128}, 0, kStream, dx.get(),
         out.get(), n);
  const auto r = out.to_host();
  constexpr double kUlp = 0x1p-23;
  double worst_exp = 0, worst_exp2 = 0, worst_rsqrt = 0;
  for (int i = 0; i < n; ++i) {
    const double v = x[i];
    worst_exp = std::max(worst_exp, std::abs(r[i] / std::exp(v) - 1) / (2 + std::abs(v)));
    worst_exp2 = std::max(worst_exp2, std::abs(r[n + i] / std::exp2(v) - 1));
    if (v != 0) {
      worst_rsqrt = std::max(worst_rsqrt, std::abs(r[2 * n + i] * std::sqrt(std::abs(v)) - 1));
    }
  }
  CHECK(worst_exp < 2 * kUlp);
  CHECK(worst_exp2 < 3 * kUlp);
  CHECK(worst_rsqrt < 3 * kUlp);
  CHECK(std::isinf(r[2 * n + n / 2]));  // of 0
}
