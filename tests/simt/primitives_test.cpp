// Warp operations, shared memory, atomics and asynchronous copies of device.h against their
// definitions. On the host this tests the emulator, on a GPU the CUDA side: that the two agree.
#include <numeric>
#include <vector>

#include "tests/simt/orders.h"

using namespace hone;
using namespace hone::simt;

namespace {

constexpr Stream kStream{};

std::vector<int> counting(int count) {
  std::vector<int> values(count);
  std::iota(values.begin(), values.end(), 0);
  return values;
}

// Each row of 32: one operation's result in every lane.
__global__ void shuffles(int* out) {
  const int lane = lane_id(), v = 100 + lane;
  out[lane] = shfl(v, lane * 7 + 3);
  out[32 + lane] = shfl_xor(v, 5);
  out[64 + lane] = shfl_up(v, 3);
  out[96 + lane] = shfl_down(v, 3);
  out[128 + lane] = static_cast<int>(warp_ballot(lane % 3 == 0));
  // The two halves of the warp meet separately.
  out[160 + lane] = lane < 16 ? shfl_xor(v, 1, 0x0000ffffu) : shfl_xor(v, 2, 0xffff0000u);
  out[192 + lane] = warp_sum(v);
  out[224 + lane] = static_cast<int>(warp_max(lane == 13 ? 5.0f : -1.0f));
  out[256 + lane] = shfl_xor(v, lane % 4 < 2 ? 2 : 3);  // the mask differs between lanes
}

template <int kTag>
__device__ int* tagged() {
  SIMT_SHARED(slot, int[4]);
  return slot;
}
__global__ void shared_variables(int* out) {
  int* dynamic = dynamic_shared<int>();
  if (threadIdx.x == 0) {
    tagged<1>()[0] = 11;
    tagged<2>()[0] = 22;
    for (int i = 0; i < 50; ++i) dynamic[i] = i;
  }
  sync_block();
  if (threadIdx.x == 39) {
    out[3 * blockIdx.x] = tagged<1>()[0];
    out[3 * blockIdx.x + 1] = tagged<2>()[0];
    out[3 * blockIdx.x + 2] = dynamic[49];
  }
}

__global__ void transpose(const float* x, float* y) {
  SIMT_SHARED(tile, float[16][17]);
  tile[threadIdx.y][threadIdx.x] = x[threadIdx.y * 16 + threadIdx.x];
  sync_block();
  y[threadIdx.y * 16 + threadIdx.x] = tile[threadIdx.x][threadIdx.y];
}

// Sums x; the block that finishes last adds up what each block found.
__global__ void last_block_sum(const int* x, int* partial, unsigned* done, int* result) {
  SIMT_SHARED(scratch, int[kWarpSize]);
  SIMT_SHARED(last, bool);
  const int sum = block_sum(x[blockIdx.x * blockDim.x + threadIdx.x], scratch);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = sum;
    thread_fence();
    last = atomic_add(done, 1u) == gridDim.x - 1;
  }
  sync_block();
  if (!last) return;
  thread_fence();
  if (threadIdx.x == 0) {
    int total = 0;
    for (unsigned i = 0; i < gridDim.x; ++i) total += partial[i];
    *result = total;
  }
}

__global__ void maxima(const int* x, int* largest, float* sum, unsigned* seen) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomic_max(largest, x[i]);
  atomic_or(seen, 1u << i % 31);
  atomic_add(sum, static_cast<float>(x[i]));
}

__global__ void async_copies(const int* x, int* out) {
  SIMT_SHARED(s, int[3][32 * 4]);
  const int t = static_cast<int>(threadIdx.x);
  for (int g = 0; g < 3; ++g) {
    cp_async<16>(&s[g][4 * t], x + 128 * g + 4 * t, t != 5);
    cp_async_commit();
  }
  cp_async_wait<2>();
  sync_block();
  out[t] = s[0][127 - t];
  cp_async_wait<0>();
  sync_block();
  out[32 + t] = s[2][127 - t];
  out[64 + t] = s[1][16 + t];
}

__global__ void small_async_copies(const int* x, int* out) {
  SIMT_SHARED(s, int[2][64]);
  const int t = static_cast<int>(threadIdx.x);
  cp_async<4>(&s[0][t], x + t, t != 3);
  cp_async<8>(&s[1][2 * t], x + 2 * t, t != 7);
  cp_async_commit();
  cp_async_wait<0>();
  sync_block();
  out[t] = s[0][31 - t];
  out[32 + t] = s[1][t];
}

// Each kernel adds 1 to what the one before it left.
__global__ void add_one(int* x) {
  start_next();
  wait_for_previous();
  x[blockIdx.x * blockDim.x + threadIdx.x] += 1;
}

}  // namespace

TEST_CASE("warp operations") {
  in_every_order([] {
    Buffer<int> out(288);
    launch(shuffles, {1}, {32}, 0, kStream, out.get());
    const auto r = out.to_host();
    unsigned votes = 0;
    for (int i = 0; i < 32; i += 3) votes |= 1u << i;
    for (int i = 0; i < 32; ++i) {
      CHECK(r[i] == 100 + (i * 7 + 3) % 32);
      CHECK(r[32 + i] == 100 + (i ^ 5));
      CHECK(r[64 + i] == 100 + (i < 3 ? i : i - 3));
      CHECK(r[96 + i] == 100 + (i > 28 ? i : i + 3));
      CHECK(r[128 + i] == static_cast<int>(votes));
      CHECK(r[160 + i] == 100 + (i < 16 ? i ^ 1 : i ^ 2));
      CHECK(r[192 + i] == 32 * 100 + 31 * 16);
      CHECK(r[224 + i] == 5);
      CHECK(r[256 + i] == 100 + (i ^ (i % 4 < 2 ? 2 : 3)));
    }
  });
}

TEST_CASE("shared variables: one per block, declaration and instantiation") {
  in_every_order([] {
    Buffer<int> out(3 * 5);
    launch(shared_variables, {5}, {40}, 50 * sizeof(int), kStream, out.get());
    const auto r = out.to_host();
    for (int b = 0; b < 5; ++b) {
      CHECK(r[3 * b] == 11);
      CHECK(r[3 * b + 1] == 22);
      CHECK(r[3 * b + 2] == 49);
    }
  });
}

TEST_CASE("blocks of two dimensions") {
  in_every_order([] {
    std::vector<float> x(256);
    std::iota(x.begin(), x.end(), 0.0f);
    Buffer<float> dx(x), dy(256);
    launch(transpose, {1}, {16, 16}, 0, kStream, dx.get(), dy.get());
    const auto r = dy.to_host();
    for (int i = 0; i < 256; ++i) CHECK(r[i] == static_cast<float>(i % 16 * 16 + i / 16));
  });
}

TEST_CASE("the last block adds up; atomic maxima, sums and bits") {
  in_every_order([] {
    const std::vector<int> x = counting(64 * 20);
    Buffer<int> dx(x), partial(20), result(1);
    Buffer<unsigned> done(std::vector<unsigned>{0});
    launch(last_block_sum, {20}, {64}, 0, kStream, dx.get(), partial.get(), done.get(),
           result.get());
    CHECK(result.to_host()[0] == 64 * 20 * (64 * 20 - 1) / 2);
    Buffer<int> largest(std::vector<int>{-5});
    Buffer<float> sum(std::vector<float>{0.5f});
    Buffer<unsigned> seen(std::vector<unsigned>{0});
    launch(maxima, {20}, {64}, 0, kStream, dx.get(), largest.get(), sum.get(), seen.get());
    CHECK(seen.to_host()[0] == 0x7fffffffu);
    CHECK(largest.to_host()[0] == 64 * 20 - 1);
    CHECK(sum.to_host()[0] == 64 * 20 * (64 * 20 - 1) / 2 + 0.5f);
  });
}

TEST_CASE("asynchronous copies") {
  in_every_order([] {
    Buffer<int> dx(counting(384)), out(96);
    launch(async_copies, {1}, {32}, 0, kStream, dx.get(), out.get());
    const auto r = out.to_host();
    const auto want = [](int g, int i) { return i / 4 == 5 ? 0 : 128 * g + i; };
    for (int t = 0; t < 32; ++t) {
      CHECK(r[t] == want(0, 127 - t));
      CHECK(r[32 + t] == want(2, 127 - t));
      CHECK(r[64 + t] == want(1, 16 + t));
    }
    launch(small_async_copies, {1}, {32}, 0, kStream, dx.get(), out.get());
    const auto small = out.to_host();
    for (int t = 0; t < 32; ++t) {
      CHECK(small[t] == (t == 28 ? 0 : 31 - t));
      CHECK(small[32 + t] == (t / 2 == 7 ? 0 : t));
    }
  });
}

TEST_CASE("dependent launches see what the kernels before them wrote") {
  in_every_order([] {
    Stream stream;
    stream.overlap = compiled_for(add_one) >= 90;
    constexpr int kCount = 256 * 300;
    Buffer<int> x(std::vector<int>(kCount, 0));
    for (int i = 0; i < 10; ++i) launch(add_one, {300}, {256}, 0, stream, x.get());
    stream.wait();
    const auto r = x.to_host();
    int wrong = 0;
    for (const int v : r) wrong += v != 10;
    CHECK(wrong == 0);
  });
}
