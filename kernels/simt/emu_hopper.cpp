// Emulated mbarriers, TMA loads and warpgroup matrix multiplication. Loads land when nothing else
// can run; products appear when they are waited for; until then their destinations hold NaN.
#include <map>

#include "kernels/simt/hopper.h"

namespace hone::simt::emu {
namespace {

struct Phases {  // an mbarrier's real state, kept outside the emulated memory
  unsigned arrivals, pending;
  int64_t bytes = 0;  // still to come
  unsigned phase = 0;
};
struct Pending {  // one wgmma on its way
  float* d;
  int n;
  uint64_t a, b;
  size_t group;
  Where at;
};
struct ThreadState {
  std::vector<Pending> products;
  std::map<float*, std::vector<float>> accumulators;  // what d really holds, while d is poisoned
  size_t group = 0;
  bool fenced = false;
};

std::map<const Mbarrier*, Phases>& barriers() {
  return state_in<std::map<const Mbarrier*, Phases>>(block_extra());
}
Phases& find(const Mbarrier* b) {
  require_shared(b, 8, "mbarrier");
  const auto it = barriers().find(b);
  if (it == barriers().end()) fail("mbarrier: not initialised");
  return it->second;
}
void advance(Phases& p) {
  if (p.pending || p.bytes) return;
  p.pending = p.arrivals;
  p.phase ^= 1;
  wake_waiting();
}

// 128-byte swizzle: the 16-byte chunk's number is xored with the 128-byte row's, modulo 8.
char* swizzled(char* p) {
  const auto at = reinterpret_cast<uintptr_t>(p);
  return p + static_cast<ptrdiff_t>((at ^ (at >> 7 & 7) << 4) - at);
}

// Element (row, k) of the K-major matrix that a descriptor describes.
float matrix_element(uint64_t descriptor, int row, int k, Where at) {
  if (descriptor >> 62 != 1) fail("wgmma: only 128-byte swizzled operands are emulated");
  const auto encoded = [&](int bit) { return (descriptor >> bit & 0x3fff) << 4; };
  char* const p = shared_pointer(static_cast<uint32_t>(encoded(0))) + row / 8 * encoded(32) +
                  row % 8 * 128 + k * 2;
  bf16 x;
  check::read_by_proxy(&x, swizzled(p), sizeof x, at);
  return static_cast<float>(x);
}

// Carries out one product for the 16 rows of d that one warp holds.
void multiply(const Pending& op, int warp_in_group, ThreadState* const (&lanes)[32],
              float* const (&d)[32]) {
  std::vector<double> A(16 * 16), B(16 * op.n), D(16 * op.n);
  for (int k = 0; k < 16; ++k) {
    for (int m = 0; m < 16; ++m)
      A[m * 16 + k] = matrix_element(op.a, 16 * warp_in_group + m, k, op.at);
    for (int n = 0; n < op.n; ++n) B[k * op.n + n] = matrix_element(op.b, n, k, op.at);
  }
  for (int m = 0; m < 16; ++m)
    for (int k = 0; k < 16; ++k)
      for (int n = 0; n < op.n; ++n) D[m * op.n + n] += A[m * 16 + k] * B[k * op.n + n];
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < op.n / 2; ++i) {  // like mma's c, for every 8 columns
      const auto [row, col] = fragment::c(lane, i % 4);
      lanes[lane]->accumulators.at(d[lane])[i] +=
          static_cast<float>(D[row * op.n + i / 4 * 8 + col]);
    }
}

ThreadState& state() { return state_in<ThreadState>(thread_extra()); }

}  // namespace

void mbarrier_init(const Mbarrier* b, unsigned arrivals, Where at) {
  require_shared(b, 8, "mbarrier");
  check::access(b, 8, check::Kind::write, at);
  barriers()[b] = {arrivals, arrivals};
}
void mbarrier_arrive(const Mbarrier* b, unsigned expected_bytes, Where at) {
  Phases& p = find(b);
  check::access(b, 8, check::Kind::atomic, at);
  if (p.pending == 0) fail("mbarrier: more arrivals than it was initialised for");
  check::release(b);
  --p.pending;
  p.bytes += expected_bytes;
  advance(p);
}
void mbarrier_wait(const Mbarrier* b, unsigned parity, Where at) {
  const Phases& p = find(b);
  check::access(b, 8, check::Kind::atomic, at);
  wait_until("mbarrier_wait", at, [&p, parity] { return p.phase != (parity & 1); });
  check::acquire(b);
}

void tma_load(void* dst, const TensorMap& map, int x, int y, const Mbarrier* b, Where at) {
  const size_t bytes = size_t{128} * map.box_rows;
  if (reinterpret_cast<uintptr_t>(dst) % 1024) fail("tma_load: destination not 1024-byte aligned");
  require_shared_range(dst, bytes, "tma_load");
  find(b);
  check::copy_begins(dst, bytes, at);
  poison(dst, bytes);
  deliver_later([=] {
    for (int r = 0; r < map.box_rows; ++r)
      for (int c = 0; c < 64; ++c) {
        const bool inside = y + r >= 0 && y + r < map.rows && x + c >= 0 && x + c < map.cols;
        const bf16 v = inside ? map.base[size_t(y + r) * map.cols + x + c] : bf16(0.0f);
        std::memcpy(swizzled(static_cast<char*>(dst) + 128 * r + 2 * c), &v, sizeof v);
      }
    check::copy_landed(dst, bytes, b);
    Phases& p = find(b);
    p.bytes -= static_cast<int64_t>(bytes);
    advance(p);
  });
}

void wgmma_fence(Where) { state().fenced = true; }
void wgmma(float* d, int n, uint64_t a, uint64_t b, Where at) {
  ThreadState& s = state();
  if (!s.fenced) fail("wgmma: no wgmma_fence() since registers were last waited for");
  auto& acc = s.accumulators[d];
  if (acc.empty()) {
    acc.assign(d, d + n / 2);
    poison(d, n / 2 * sizeof(float));
  }
  s.products.push_back({d, n, a, b, s.group, at});
}
void wgmma_commit(Where) { ++state().group; }
void wgmma_wait(unsigned leave_pending, Where at) {
  ThreadState* const me = &state();
  collective<int>("wgmma_wait", ~0u, me, at, [&](const auto& lanes) {
    ThreadState* all[32];
    for (int i = 0; i < 32; ++i) {
      all[i] = lanes.in(i);
      if (all[i]->products.size() != me->products.size()) fail("wgmma: not issued by all lanes");
    }
    size_t done = 0;
    for (; done < me->products.size(); ++done) {
      const Pending& op = me->products[done];
      if (op.group + leave_pending >= me->group) break;
      float* d[32];
      for (int i = 0; i < 32; ++i) {
        d[i] = all[i]->products[done].d;
        if (all[i]->products[done].a != op.a || all[i]->products[done].b != op.b)
          fail("wgmma: the lanes' descriptors differ");
      }
      multiply(op, static_cast<int>(current->index.x) / 32 % 4, all, d);
    }
    for (ThreadState* s : all) {
      s->products.erase(s->products.begin(), s->products.begin() + static_cast<ptrdiff_t>(done));
      std::erase_if(s->accumulators, [s](const auto& entry) {
        for (const Pending& p : s->products)
          if (p.d == entry.first) return false;
        std::copy(entry.second.begin(), entry.second.end(), entry.first);
        return true;
      });
      s->fenced = false;
    }
  });
}

}  // namespace hone::simt::emu
