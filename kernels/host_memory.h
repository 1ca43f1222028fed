// Memory of the host for buffers of backends and for weights: in huge pages where it fills some.
#pragma once

#include <cstddef>

namespace hone {

// 64-byte aligned (a cache line, and the widest vector register), zeroed; pages that are never
// touched take no memory. Throws std::bad_alloc.
void* allocate_host(size_t bytes);
void release_host(void* memory);  // null is fine

}  // namespace hone
