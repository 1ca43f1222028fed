// Emulated matrix instructions: ldmatrix, mma.sync and mma.sp. Included by emu.h.
#pragma once

#include "kernels/simt/fragments.h"

namespace hone::simt {
namespace emu {

// Element `i` of packed registers, as a number to calculate with.
template <class T>
auto element(const uint32_t* regs, int i) {
  T v;
  std::memcpy(&v, reinterpret_cast<const char*>(regs) + sizeof(T) * i, sizeof(T));
  if constexpr (std::is_integral_v<T>) return static_cast<int>(v);
  else return static_cast<float>(v);
}

template <int N, bool Trans>
void ldmatrix(uint32_t (&r)[N], const void* row, Where at) {
  static_assert(N == 1 || N == 2 || N == 4);
  const auto out = collective<std::array<uint32_t, N>>("ldmatrix", ~0u, row, at, [at](auto lanes) {
    uint16_t m[N][8][8];
    for (int i = 0; i < 8 * N; ++i) {  // lane i brings the address of row i
      require_shared(lanes.in(i), 16, "ldmatrix row");
      check::read(m[i / 8][i % 8], lanes.in(i), 16, at);
    }
    lanes.each([&](int lane) {
      const int r = lane / 4, c = 2 * (lane % 4);
      for (int i = 0; i < N; ++i)
        lanes.out(lane)[i] =
            Trans ? m[i][c][r] | m[i][c + 1][r] << 16 : m[i][r][c] | m[i][r][c + 1] << 16;
    });
  });
  for (int i = 0; i < N; ++i) r[i] = out[i];
}

// One lane's operands of an mma; with NB registers of B, k is 4 * NB elements per register.
template <class Acc, int NB>
struct MmaOperands {
  const Acc* d;
  const uint32_t *a, *b;
  uint32_t meta;
};

// The logical column of the element stored at (row, col) of the compressed A.
template <int Selector, class L>
int uncompressed_column(const L& lanes, int row, int col) {
  const auto [lane, shift] = fragment::meta(row, col / 8, Selector);
  const int bit = shift + 2 * (col % 8);
  const int mine = lanes.in(lane).meta >> bit & 3, mate = lanes.in(lane).meta >> (bit ^ 2) & 3;
  if (col % 2 ? mate >= mine : mine >= mate) fail("mma_sparse: metadata not in order");
  return col / 2 * 4 + mine;
}

// Gathers the fragments into whole matrices, multiplies, and scatters the result.
template <class T, bool Sparse, int Selector, class Acc, int NB>
void multiply(const Lanes<MmaOperands<Acc, NB>, std::array<Acc, 4>>& lanes) {
  constexpr int R = 4 / sizeof(T), K = 4 * R * NB;
  using Wide = std::conditional_t<std::is_integral_v<T>, int, double>;
  Wide A[16][K] = {}, B[K][8], D[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& in = lanes.in(lane);
    for (int i = 0; i < 4 * R; ++i) {
      const auto [row, col] = fragment::a(R, lane, i / R, i % R);
      if constexpr (Sparse)
        A[row][uncompressed_column<Selector>(lanes, row, col)] = element<T>(in.a, i);
      else A[row][col] = element<T>(in.a, i);
    }
    for (int i = 0; i < NB * R; ++i) {
      const auto [k, n] = fragment::b(R, lane, i / R, i % R);
      B[k][n] = element<T>(in.b, i);
    }
    for (int i = 0; i < 4; ++i) {
      const auto [row, col] = fragment::c(lane, i);
      D[row][col] = in.d[i];
    }
  }
  for (int m = 0; m < 16; ++m)
    for (int k = 0; k < K; ++k)
      for (int n = 0; n < 8; ++n) D[m][n] += A[m][k] * B[k][n];
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) {
      const auto [row, col] = fragment::c(lane, i);
      lanes.out(lane)[i] = static_cast<Acc>(D[row][col]);
    }
}

template <class T, bool Sparse, int Selector, class Acc, int NB>
void mma(Acc (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[NB], uint32_t meta, Where at) {
  const MmaOperands<Acc, NB> in{d, a, b, meta};
  const auto out = collective<std::array<Acc, 4>>(
      Sparse ? "mma_sparse" : "mma", ~0u, in, at,
      [](const auto& lanes) { multiply<T, Sparse, Selector, Acc, NB>(lanes); });
  for (int i = 0; i < 4; ++i) d[i] = out[i];
}

}  // namespace emu

// Loads N 8x8 matrices of 16-bit elements; lane i brings the address of row i % 8 of matrix i / 8.
template <int N>
void ldmatrix(uint32_t (&r)[N], const void* row, emu::Where at = emu::Where::current()) {
  emu::ldmatrix<N, false>(r, row, at);
}
template <int N>
void ldmatrix_trans(uint32_t (&r)[N], const void* row, emu::Where at = emu::Where::current()) {
  emu::ldmatrix<N, true>(r, row, at);
}

// d += a * b on the tensor cores: m16n8k16 for bf16 and f16, m16n8k32 for int8_t.
template <class T, class Acc>
void mma(Acc (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
         emu::Where at = emu::Where::current()) {
  emu::mma<T, false, 0>(d, a, b, 0, at);
}
// The same with 2:4 sparse A, which doubles k: m16n8k32 for bf16 and f16.
template <class T, int Selector>
void mma_sparse(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[4], uint32_t meta,
                emu::Where at = emu::Where::current()) {
  static_assert(sizeof(T) == 2 && (Selector == 0 || Selector == 1));
  emu::mma<T, true, Selector>(d, a, b, meta, at);
}

}  // namespace hone::simt
