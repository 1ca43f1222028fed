// Backends by name, and the memory that they give.
#include "kernels/open.h"

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <new>

// Last: its CHECK.
#include "tests/support/doctest.h"

using namespace hone;

TEST_CASE("ref and cpu open, auto is the cpu where there is no GPU") {
  std::string why;
  for (const char* name : {"ref", "cpu"}) {
    const auto backend = open_backend(name, 2, &why);
    REQUIRE(backend);
    CHECK(backend->name() == name);
    CHECK(backend->shares_host_memory());
  }
  const auto best = open_backend("auto", 3, &why);
  REQUIRE(best);
  if (best->name() == "cuda") return;
  CHECK(best->name() == "cpu");
  CHECK(why.find("cuda: ") == 0);
  CHECK(best->detail().find(", 3 threads") != std::string_view::npos);
}

TEST_CASE("what cannot be had says why") {
  std::string why;
  if (!open_backend("cuda", 1, &why)) CHECK(why.find("cuda: ") == 0);
  CHECK(!open_backend("cuda:", 1, &why));
  CHECK(!open_backend("cuda:x", 1, &why));
  CHECK(!open_backend("cuda:1000", 1, &why));
  CHECK(!open_backend("tpu", 1, &why));
  CHECK(why == "device 'tpu' is not known; known: auto, ref, cpu, cuda, cuda:N");
  CHECK(!open_backend("cpu", 2000000, &why));
  CHECK(why == "cpu: 2000000 threads; at most 1024");
}

TEST_CASE("HONE_CPU limits the instructions") {
  std::string why;
  setenv("HONE_CPU", "mmx", 1);
  CHECK(!open_backend("cpu", 1, &why));
  CHECK(why.find("HONE_CPU: no instructions 'mmx' here; known: ") == 0);
  setenv("HONE_CPU", "", 1);
  CHECK(open_backend("cpu", 1, &why));
  setenv("HONE_CPU", "scalar", 1);
  if (const auto backend = open_backend("cpu", 1, &why)) {
    CHECK(backend->detail() == "scalar, 1 thread");
  }
  unsetenv("HONE_CPU");
}

TEST_CASE("every op is there") {
  std::string why;
  for (const char* name : {"ref", "cpu"}) {
    const auto backend = open_backend(name, 1, &why);
#define X(op, Args) CHECK((backend->run.op.function && backend->run.op.context));
    FOR_EACH_OP(X)
#undef X
  }
}

TEST_CASE("memory is aligned and zeroed; what does not exist is refused") {
  std::string why;
  for (const char* name : {"ref", "cpu"}) {
    const auto backend = open_backend(name, 1, &why);
    for (const size_t bytes : {size_t{0}, size_t{1}, size_t{63}, size_t{1000}, size_t{1} << 22}) {
      auto* const memory = static_cast<unsigned char*>(backend->allocate(bytes));
      CHECK(reinterpret_cast<uintptr_t>(memory) % 64 == 0);
      size_t nonzero = 0;
      for (size_t i = 0; i < bytes; ++i) nonzero += memory[i] != 0;
      CHECK(nonzero == 0);
      for (size_t i = 0; i < bytes; ++i) memory[i] = 0xff;
      backend->release(memory);
    }
    backend->release(nullptr);
    CHECK_THROWS_AS(backend->allocate(std::numeric_limits<size_t>::max() - 8), std::bad_alloc);
    int from = 7, to = 0;
    backend->copy_in(&to, &from, sizeof from);
    CHECK(to == 7);
    backend->copy_out(&from, nullptr, 0);
  }
}
