// CHECK: a broken promise inside the program (a bug) stops it at once, in every build type.
// Faults of the outside world (files, pipes, options) are hone::Error, not CHECK.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace hone {

[[noreturn]] inline void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: bug: CHECK(%s) does not hold\n", file, line, expression);
  std::abort();
}

}  // namespace hone

#define CHECK(expression) \
  ((expression) ? static_cast<void>(0) : ::hone::check_failed(#expression, __FILE__, __LINE__))
