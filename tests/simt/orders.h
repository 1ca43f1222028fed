// Thread orders of the emulator, for tests that a GPU runs too. Includes doctest: include it last.
#pragma once

#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <utility>

#include "kernels/simt/device.h"
// Last: its CHECK.
#include "tests/support/doctest.h"

namespace hone {

// Runs a check under every order of the emulator's threads ($SIMT_ORDER names a single one). Once
// on a GPU, and with the emulator's checker, which does not need the wrong order to see a race.
inline void in_every_order(const std::function<void()>& check) {
#ifdef __CUDACC__
  check();
#else
  if (simt::emu::check::kOn) return check();
  using simt::emu::Order;
  const char* const only = std::getenv("SIMT_ORDER");
  const Order before = simt::emu::config().order;
  for (const auto& [name, order] :
       {std::pair("forward", Order::forward), std::pair("reverse", Order::reverse),
        std::pair("random", Order::random)}) {
    if (only && std::strcmp(only, name) != 0) continue;
    INFO("thread order: ", std::string(name));
    simt::emu::config().order = order;
    check();
  }
  simt::emu::config().order = before;
#endif
}

}  // namespace hone
