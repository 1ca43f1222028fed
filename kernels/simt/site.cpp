#include "kernels/simt/site.h"

#include <dlfcn.h>

#include <cstdio>

namespace hone::simt::emu::check {

static std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string name(Site site) {
  if (const auto line = site >> 48)
    return base_name(reinterpret_cast<const char*>(site << 16 >> 16)) + ":" + std::to_string(line);
  void* pc = reinterpret_cast<void*>(site);
  Dl_info info;
  if (!dladdr(pc, &info)) return "?";
  char command[512], text[512];
  std::snprintf(command, sizeof command, "addr2line -s -i -e %s %zx", info.dli_fname,
                static_cast<char*>(pc) - static_cast<char*>(info.dli_fbase) - 1);
  std::string lines;
  if (FILE* f = popen(command, "r")) {
    while (std::fgets(text, sizeof text, f))
      lines += (lines.empty() ? "" : " in ") + std::string(text, std::strcspn(text, " \n"));
    pclose(f);
  }
  return lines;
}

}  // namespace hone::simt::emu::check
