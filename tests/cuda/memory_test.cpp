// What weights take of the device's memory.
#include "kernels/arena.h"
#include "kernels/cuda/runtime.h"
#include "tests/cuda/fixture.h"

using namespace hone;
using DeviceArena = Arena<cuda::allocate_device, cuda::release_device>;

#ifndef __CUDACC__
namespace {

size_t in_use() { return simt::emu::device_bytes_in_use(); }

}  // namespace

TEST_CASE("arena: what was reserved is one piece, and all that is taken") {
  const size_t before = in_use();
  {
    DeviceArena arena(1 << 20);
    const std::vector<size_t> sizes = {700000, 1, 2000000, 700000, 256, 257, 3};
    size_t all = 0;
    for (const size_t size : sizes) all += DeviceArena::rounded(size);
    arena.reserve(all);
    std::byte* next = nullptr;
    for (const size_t size : sizes) {
      std::byte* const at = arena.take(size);
      CHECK((!next || at == next));
      next = at + DeviceArena::rounded(size);
    }
    CHECK(in_use() - before == all);
    arena.take(1);  // more than was reserved
    CHECK(in_use() - before == all + (1 << 20));
  }
  CHECK(in_use() == before);
}

TEST_CASE("arena: each request on its own where pieces are none") {
  const size_t before = in_use();
  DeviceArena arena(0);
  arena.reserve(1 << 20);
  CHECK(in_use() == before);
  arena.take(100);
  arena.take(300);
  CHECK(in_use() - before == 256 + 512);
}

TEST_CASE("place: what the way to the device takes is counted, and given back") {
  std::string why;
  const auto backend = open_cuda_device(0, &why);
  const StoredMatrix first({.name = "", .type = DType::kI8, .group = 64}, 100, 1024, 1);
  const StoredMatrix second({.name = "", .type = DType::kQ4_K}, 100, 1024, 2);
  const size_t bytes = backend->placed_bytes(first.view()) + backend->placed_bytes(second.view());
  const size_t before = in_use(), free = simt::emu::config().device_bytes - before;
  CHECK(backend->free_bytes() < free);
  backend->reserve_placed(bytes);
  backend->place(first.view());
  CHECK(in_use() - before > backend->placed_bytes(first.view()));
  backend->place(second.view());
  CHECK(in_use() - before == bytes);
}

TEST_CASE("scratch: what ops take is known before they run, and taken once") {
  std::string why;
  const auto backend = open_cuda_device(0, &why);
  REQUIRE(backend);
  for (const Storage& storage :
       {Storage{.name = "", .type = DType::kQ4_0},
        Storage{.name = "", .type = DType::kI8, .group = 64, .sparse = true}}) {
    const StoredMatrix stored(storage, 300, 1024, 1);
    const WeightView weight = backend->place(stored.view());
    for (const int64_t tokens : {1, 40, 300}) {
      CAPTURE(tokens);
      const auto x = upload(normal_floats(tokens * weight.columns, 2));
      const auto out = unwritten<float>(static_cast<size_t>(tokens * weight.rows));
      const auto multiply = [&](const WeightView& by) {
        backend->run.matmul({.x = x.get(), .weight = by, .out = out.get(), .tokens = tokens});
      };
      const auto planned = [&] { multiply(backend->placed_view(stored.view())); };
      const size_t before = in_use(), bytes = backend->scratch_bytes(planned);
      CHECK(in_use() == before);
      backend->reserve_scratch(planned);
      CHECK(in_use() == before + bytes);
      CHECK(backend->scratch_bytes(planned) == 0);
      multiply(weight);
      CHECK(in_use() == before + bytes);
    }
  }
}
#endif
