#include "libcommon/base/log.h"

#include <cerrno>

#include "libcommon/base/error.h"
#include "tests/support/doctest.h"

using namespace hone;

TEST_CASE("bytes for people have three digits") {
  CHECK(human_bytes(0) == "0 B");
  CHECK(human_bytes(999) == "999 B");
  CHECK(human_bytes(999.6) == "1.00 kB");
  CHECK(human_bytes(1234) == "1.23 kB");
  CHECK(human_bytes(12345) == "12.3 kB");
  CHECK(human_bytes(999'400) == "999 kB");
  CHECK(human_bytes(1.53e9) == "1.53 GB");
  CHECK(human_bytes(5e15) == "5000 TB");
}

TEST_CASE("errno becomes an Error with its code") {
  const auto code_of = [](int number) {
    try {
      errno = number;
      throw_errno("disk.bin", "cannot write");
    } catch (const Error& error) {
      CHECK(std::string(error.what()).starts_with("disk.bin: cannot write: "));
      return error.code();
    }
  };
  CHECK(code_of(ENOSPC) == ExitCode::kResource);
  CHECK(code_of(EPIPE) == ExitCode::kPipeClosed);
}
