#include "libcommon/base/error.h"

#include <cerrno>
#include <cstring>

namespace hone {

void throw_errno(const std::string& subject, const std::string& what) {
  const int number = errno;
  const ExitCode code = number == EPIPE ? ExitCode::kPipeClosed : ExitCode::kResource;
  throw Error(subject + ": " + what + ": " + std::strerror(number), code);
}

}  // namespace hone
