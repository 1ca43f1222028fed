// doctest with its own CHECK, which reports and goes on, in place of the CHECK of kernels/check.h,
// which aborts. Include it last.
#pragma once

#undef CHECK
#include <doctest/doctest.h>
