// Emulated back end of hopper.h.
#pragma once

#define __grid_constant__

namespace hone::simt {

// A row-major bf16 matrix to be loaded in boxes of 64 columns, 128-byte swizzled.
struct TensorMap {
  const bf16* base;
  int rows, cols, box_rows;
};
inline TensorMap make_tensor_map(const bf16* base, int rows, int cols, int box_rows) {
  emu::require_device_memory(base);
  if (cols % 8 || box_rows < 1 || box_rows > 256) emu::fail("make_tensor_map: bad extents");
  return {base, rows, cols, box_rows};
}

namespace emu {
void mbarrier_init(const Mbarrier* b, unsigned arrivals, Where at);
void mbarrier_arrive(const Mbarrier* b, unsigned expected_bytes, Where at);
void mbarrier_wait(const Mbarrier* b, unsigned parity, Where at);
void tma_load(void* dst, const TensorMap& map, int x, int y, const Mbarrier* b, Where at);
void wgmma_fence(Where at);
void wgmma(float* d, int n, uint64_t a, uint64_t b, Where at);
void wgmma_commit(Where at);
void wgmma_wait(unsigned leave_pending, Where at);
}  // namespace emu

inline void mbarrier_init(Mbarrier* b, unsigned arrivals, emu::Where at = emu::Where::current()) {
  emu::mbarrier_init(b, arrivals, at);
}
inline void fence_mbarrier_init() {}
inline void mbarrier_arrive(Mbarrier* b, emu::Where at = emu::Where::current()) {
  emu::mbarrier_arrive(b, 0, at);
}
inline void mbarrier_arrive_expect(Mbarrier* b, unsigned bytes,
                                   emu::Where at = emu::Where::current()) {
  emu::mbarrier_arrive(b, bytes, at);
}
// Waits for the phase of the given parity to complete.
inline void mbarrier_wait(Mbarrier* b, unsigned parity, emu::Where at = emu::Where::current()) {
  emu::mbarrier_wait(b, parity, at);
}

inline void fence_proxy_async() { emu::check::proxy_fenced(); }

inline void tma_load_2d(void* dst, const TensorMap* map, int x, int y, Mbarrier* b,
                        emu::Where at = emu::Where::current()) {
  emu::tma_load(dst, *map, x, y, b, at);
}

inline void wgmma_fence(emu::Where at = emu::Where::current()) { emu::wgmma_fence(at); }
inline void wgmma_commit(emu::Where at = emu::Where::current()) { emu::wgmma_commit(at); }
template <int N>
void wgmma_wait(emu::Where at = emu::Where::current()) {
  emu::wgmma_wait(N, at);
}
// d += a * b, m64n64k16, by a warpgroup. d is undefined until the operation is waited for.
template <class T>
void wgmma(float (&d)[32], uint64_t a, uint64_t b, emu::Where at = emu::Where::current()) {
  static_assert(std::is_same_v<T, bf16>);
  emu::wgmma(d, 64, a, b, at);
}

inline uint32_t shared_address(const void* p) { return emu::shared_address(p); }

}  // namespace hone::simt
