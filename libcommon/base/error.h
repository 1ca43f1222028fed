// What the outside world can do wrong. Thrown anywhere, caught once, by run_tool (cli/tool.h), which
// prints one line and leaves with the code. Text: subject, fact, probable cause -
//   "model.safetensors: tensor 'x' ends at byte 90, file has 80; incomplete download?"
#pragma once

#include <stdexcept>
#include <string>

namespace hone {

// One table for all tools; the man pages print it.
enum class ExitCode : int {
  kOk = 0,
  kVerdict = 1,       // a negative verdict: regression, fused != unfused
  kUsage = 2,         // options that do not fit
  kBadInput = 3,      // a file or stream that is not what it should be
  kResource = 4,      // I/O, memory, disk
  kInterrupted = 130,
  kPipeClosed = 141,  // the reader of our output went away
};

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& what, ExitCode code = ExitCode::kBadInput)
      : std::runtime_error(what), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// Error(subject + ": " + what + ": " + strerror(errno)), exit code 4. EPIPE becomes kPipeClosed.
[[noreturn]] void throw_errno(const std::string& subject, const std::string& what);

inline Error usage_error(const std::string& what) { return Error(what, ExitCode::kUsage); }
inline Error resource_error(const std::string& what) { return Error(what, ExitCode::kResource); }

}  // namespace hone
