#include "libcommon/base/file.h"

#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include "libcommon/base/error.h"

namespace hone {

std::string read_file(const std::string& path) {
  if (path == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  const bool empty = file && file.peek() == EOF && !file.bad();  // << would call that a failure
  if (!empty && !(file && text << file.rdbuf())) throw_errno(path, "cannot be read");
  return text.str();
}

}  // namespace hone
