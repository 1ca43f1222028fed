#include "libcommon/compress/mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace hone {

void release_mapped(const CheckpointReader& reader, int64_t tensor, int64_t offset, int64_t bytes) {
  const std::byte* base = reader.mapped(tensor);
  if (base == nullptr || bytes == 0) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(base + offset);
  // Only pages that lie wholly inside; MADV_DONTNEED of a file mapping loses nothing, the next
  // touch reads the page cache again.
  const uintptr_t first = (begin + page - 1) / page * page;
  const uintptr_t last = (begin + static_cast<uintptr_t>(bytes)) / page * page;
  if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace hone
