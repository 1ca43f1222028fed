// Matrix instructions of device.h against their definitions: which lane holds which element.
#include <numeric>
#include <random>
#include <type_traits>
#include <vector>

#include "tests/simt/orders.h"

using namespace hone;
using namespace hone::simt;

namespace {

constexpr Stream kStream{};

__global__ void ldmatrices(uint32_t* out) {
  SIMT_SHARED(s, uint16_t[32][8]);
  const int t = lane_id();
  for (int i = 0; i < 8; ++i) s[t][i] = static_cast<uint16_t>(8 * t + i);
  sync_block();
  uint32_t r4[4], t4[4], r2[2], t2[2];
  ldmatrix<4>(r4, s[t]);
  ldmatrix_trans<4>(t4, s[t]);
  ldmatrix<2>(r2, s[t % 16]);
  ldmatrix_trans<2>(t2, s[t % 16]);
  for (int i = 0; i < 4; ++i) {
    out[4 * t + i] = r4[i];
    out[128 + 4 * t + i] = t4[i];
  }
  for (int i = 0; i < 2; ++i) {
    out[256 + 2 * t + i] = r2[i];
    out[320 + 2 * t + i] = t2[i];
  }
}

// a is 16 x K, b is 8 x K (so that both are read along k), c and d are 16 x 8, all row-major.
template <class T, class Acc>
__global__ void one_mma(const T* a, const T* b, const Acc* c, Acc* d) {
  constexpr int R = 4 / sizeof(T), K = 8 * R;
  const int g = lane_id() / 4, t = lane_id() % 4;
  uint32_t fa[4], fb[2];
  for (int i = 0; i < 4; ++i)
    fa[i] = bits<uint32_t>(load<R>(a + (g + i % 2 * 8) * K + R * t + i / 2 * 4 * R));
  for (int i = 0; i < 2; ++i) fb[i] = bits<uint32_t>(load<R>(b + g * K + R * t + i * 4 * R));
  Acc acc[4];
  for (int i = 0; i < 4; ++i) acc[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  mma<T>(acc, fa, fb);
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = acc[i];
}

// a holds the kept elements of a 16 x 32 matrix, 16 to a row; meta[16][2] their places.
template <class T, int kSelector>
__global__ void one_sparse_mma(const T* a, const T* b, const uint16_t* meta, float* d) {
  const int g = lane_id() / 4, t = lane_id() % 4;
  uint32_t fa[4], fb[4], e = 0;
  for (int i = 0; i < 4; ++i)
    fa[i] = bits<uint32_t>(load<2>(a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8));
  for (int i = 0; i < 4; ++i) fb[i] = bits<uint32_t>(load<2>(b + g * 32 + 2 * t + i * 8));
  if (t / 2 == kSelector)
    e = meta[2 * g + t % 2] | static_cast<uint32_t>(meta[2 * (g + 8) + t % 2]) << 16;
  float acc[4] = {};
  mma_sparse<T, kSelector>(acc, fa, fb, e);
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = acc[i];
}

double number(int8_t x) { return x; }
double number(bf16 x) { return static_cast<float>(x); }
double number(f16 x) { return static_cast<float>(x); }

// Sums of their products are exact.
template <class T>
std::vector<T> small_numbers(size_t n, unsigned seed) {
  std::mt19937 rng(seed);
  std::vector<T> v(n);
  for (T& x : v) {
    const int i = static_cast<int>(rng() % 255) - 127;
    if constexpr (std::is_same_v<T, int8_t>)
      x = static_cast<T>(i);
    else
      x = T(static_cast<float>(i));
  }
  return v;
}

template <class T, class Acc>
void check_mma() {
  constexpr int K = 32 / sizeof(T);
  const auto a = small_numbers<T>(16 * K, 1), b = small_numbers<T>(8 * K, 2);
  std::vector<Acc> c(128);
  std::iota(c.begin(), c.end(), Acc(-60));
  Buffer<T> da(a), db(b);
  Buffer<Acc> dc(c), dd(128);
  launch(one_mma<T, Acc>, {1}, {32}, 0, kStream, da.get(), db.get(), dc.get(), dd.get());
  const auto d = dd.to_host();
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n) {
      double want = c[m * 8 + n];
      for (int k = 0; k < K; ++k) want += number(a[m * K + k]) * number(b[n * K + k]);
      CHECK(d[m * 8 + n] == static_cast<Acc>(want));
    }
}

template <class T, int kSelector>
void check_sparse_mma() {
  const auto a = small_numbers<T>(16 * 16, 1), b = small_numbers<T>(8 * 32, 2);
  std::mt19937 rng(3);
  std::vector<uint16_t> meta(32, 0);
  std::vector<double> full(16 * 32, 0.0);
  for (int m = 0; m < 16; ++m)
    for (int group = 0; group < 8; ++group) {
      const unsigned first = rng() % 3, second = first + 1 + rng() % (3 - first);
      meta[2 * m + group / 4] |= static_cast<uint16_t>((first | second << 2) << group % 4 * 4);
      full[m * 32 + 4 * group + first] = number(a[m * 16 + 2 * group]);
      full[m * 32 + 4 * group + second] = number(a[m * 16 + 2 * group + 1]);
    }
  Buffer<T> da(a), db(b);
  Buffer<uint16_t> dm(meta);
  Buffer<float> dd(128);
  launch(one_sparse_mma<T, kSelector>, {1}, {32}, 0, kStream, da.get(), db.get(), dm.get(),
         dd.get());
  const auto d = dd.to_host();
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n) {
      double want = 0;
      for (int k = 0; k < 32; ++k) want += full[m * 32 + k] * number(b[n * 32 + k]);
      CHECK(d[m * 8 + n] == static_cast<float>(want));
    }
}

}  // namespace

TEST_CASE("ldmatrix, plain and transposed") {
  in_every_order([] {
    Buffer<uint32_t> out(384);
    launch(ldmatrices, {1}, {32}, 0, kStream, out.get());
    const auto r = out.to_host();
    for (int t = 0; t < 32; ++t)
      for (int m = 0; m < 4; ++m) {
        const auto at = [&](int row, int col) {
          return static_cast<uint32_t>(8 * (8 * m + row) + col);
        };
        const int row = t / 4, col = 2 * (t % 4);
        const uint32_t plain = at(row, col) | at(row, col + 1) << 16;
        const uint32_t trans = at(col, row) | at(col + 1, row) << 16;
        CHECK(r[4 * t + m] == plain);
        CHECK(r[128 + 4 * t + m] == trans);
        if (m < 2) CHECK(r[256 + 2 * t + m] == plain);
        if (m < 2) CHECK(r[320 + 2 * t + m] == trans);
      }
  });
}

TEST_CASE("mma: bf16, f16 and int8") {
  in_every_order([] {
    check_mma<bf16, float>();
    check_mma<f16, float>();
    check_mma<int8_t, int>();
  });
}

TEST_CASE("mma_sparse: both selectors") {
  in_every_order([] {
    check_sparse_mma<f16, 0>();
    check_sparse_mma<bf16, 1>();
  });
}
