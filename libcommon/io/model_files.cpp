#include "libcommon/io/model_files.h"

#include <dirent.h>

#include <algorithm>
#include <memory>

#include "libcommon/base/error.h"

namespace hone {

std::vector<std::string> list_directory(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
  if (!directory) throw_errno(path, "cannot open");
  std::vector<std::string> names;
  while (const dirent* entry = readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace hone
