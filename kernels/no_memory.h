// The address of no memory, aligned as memory is: for calls of ops that compute nothing
// (Backend::scratch_bytes).
#pragma once

#include <cstdint>

namespace hone {

template <class T>
T* no_memory() {
  return reinterpret_cast<T*>(uintptr_t{1} << 40);
}

}  // namespace hone
