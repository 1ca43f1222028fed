#include "libcommon/base/hash.h"

#include <vector>

#include "tests/support/doctest.h"

using namespace hone;

// The values are those of the reference library's Python binding.
TEST_CASE("XXH3-128 in pieces is XXH3-128 of the whole") {
  CHECK(Hash128().hex() == "99aa06d3014798d86001c324468d497f");
  std::vector<std::byte> bytes;
  for (int i = 0; i < 256 * 40; ++i) bytes.push_back(static_cast<std::byte>(i % 256));
  for (const size_t step : {size_t{1}, size_t{63}, size_t{1024}, bytes.size()}) {
    Hash128 hash;
    for (size_t at = 0; at < bytes.size(); at += step) {
      hash.update(std::span(bytes).subspan(at, std::min(step, bytes.size() - at)));
    }
    CHECK(hash.hex() == "1cb22534d0d96975c03d2231ab9348f3");
  }
}
