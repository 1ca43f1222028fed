// Ops recorded and run again, and recordings that are given up.
#include "tests/cuda/fixture.h"

using namespace hone;

namespace {

// Long enough for several blocks, which count themselves in memory that the op reserves.
constexpr int64_t kDim = 40000;
constexpr int32_t kLargest = 31234;

struct Row {
  Row() : x(upload(values())), out(upload(std::vector<int32_t>{-7})) {
    out.download();  // waits: another backend's stream does not
  }
  static std::vector<float> values() {
    std::vector<float> all(kDim, 1);
    all[kLargest] = 2;
    return all;
  }
  void argmax(Backend& backend) const {
    backend.run.argmax({.x = x.get(), .out = out.get(), .rows = 1, .dim = kDim});
  }
  int32_t found(Backend& backend) const {
    int32_t id = 0;
    backend.copy_out(&id, out.get(), sizeof id);
    return id;
  }

  DeviceArray<float> x;
  DeviceArray<int32_t> out;
};

}  // namespace

TEST_CASE("record: ops are noted, and run by each replay") {
  const auto x = upload(std::vector<float>{1, 2, 3, 4});
  const int recording = device().record([&] {
    device().run.add({.a = x.get(), .b = x.get(), .out = x.get(), .count = 4});
    device().run.add({.a = x.get(), .b = x.get(), .out = x.get(), .count = 4});
  });
  REQUIRE(recording >= 0);
  CHECK(x.download() == std::vector<float>{1, 2, 3, 4});
  device().replay(recording);
  device().replay(recording);
  CHECK(x.download() == std::vector<float>{16, 32, 48, 64});
  device().forget_recordings();
}

TEST_CASE("record: one that is given up ends, and leaves the memory of its ops in order") {
  std::string why;
  const auto fresh = open_cuda_device(0, &why);  // has reserved nothing yet
  REQUIRE(fresh);
  const Row row;
  const auto broken = [&] {
    row.argmax(*fresh);
    throw std::runtime_error("planted");
  };
  CHECK_THROWS_WITH_AS(fresh->record(broken), "planted", std::runtime_error);
  CHECK(row.found(*fresh) == -7);  // nothing was run
  row.argmax(*fresh);
  CHECK(row.found(*fresh) == kLargest);
  const int recording = fresh->record([&] { row.argmax(*fresh); });
  REQUIRE(recording >= 0);
  fresh->replay(recording);
  CHECK(row.found(*fresh) == kLargest);
}

#ifndef __CUDACC__
TEST_CASE("record: what a driver refuses to record is left out, and said") {
  using simt::emu::Recordable;
  const Row row;
  for (const Recordable takes : {Recordable::all, Recordable::apart, Recordable::none}) {
    simt::emu::config().recordable = takes;
    std::string why;
    const auto fresh = open_cuda_device(0, &why);
    REQUIRE_MESSAGE(fresh, why);
    const auto says = [&](const char* words) {
      return fresh->detail().find(words) != std::string_view::npos;
    };
    CHECK(says("kernels do not overlap (") == (takes != Recordable::all));
    CHECK(says("steps are not recorded (") == (takes == Recordable::none));
    const int recording = fresh->record([&] { row.argmax(*fresh); });
    CHECK((recording >= 0) == (takes != Recordable::none));
    if (recording >= 0) fresh->replay(recording);
    CHECK(row.found(*fresh) == kLargest);
  }
  simt::emu::config().recordable = Recordable::all;
}
#endif

TEST_CASE("clock: what is timed is run once") {
  const auto x = upload(std::vector<float>{1, 2, 3, 4});
  const double seconds = device().seconds_of(
      [&] { device().run.add({.a = x.get(), .b = x.get(), .out = x.get(), .count = 4}); });
  CHECK(seconds > 0);
  CHECK(x.download() == std::vector<float>{2, 4, 6, 8});
}
