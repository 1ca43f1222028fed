// A model quantized on its way into memory, as `hone-quantize MODEL --scheme S | TOOL -` does it in
// two processes.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "libcommon/base/error.h"
#include "libcommon/quant/quantizer.h"
#include "libcommon/run/engine.h"

namespace hone {

// An end of a pipe that other code opens by its name.
class PipeEnd {
 public:
  explicit PipeEnd(int descriptor) : descriptor_(descriptor) {}
  PipeEnd(const PipeEnd&) = delete;
  PipeEnd& operator=(const PipeEnd&) = delete;
  ~PipeEnd() { close(); }
  std::string path() const { return "/dev/fd/" + std::to_string(descriptor_); }
  void close() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = -1;
  }

 private:
  int descriptor_;
};

// scheme: a name of hone-quantize's. Throws what went wrong first, in quantizing or in loading: the
// other one then only misses its neighbour.
inline Engine open_quantized_engine(const std::string& where, const std::string& scheme,
                                    const SessionOptions& session) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw resource_error("--scheme: cannot make a pipe");
  PipeEnd reading(ends[0]);
  PipeEnd writing(ends[1]);
  std::mutex mutex;
  std::exception_ptr first;
  const auto guard = [&](PipeEnd& end, const std::function<void()>& body) {
    try {
      body();
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!first) first = std::current_exception();
    }
    end.close();
  };
  QuantizeOptions options;
  options.model = where;
  options.output = writing.path();
  options.scheme = scheme;
  std::thread quantizer([&] { guard(writing, [&] { run_quantize(options); }); });
  Engine engine;
  guard(reading, [&] { engine = open_engine(reading.path(), session); });
  quantizer.join();
  if (first) std::rethrow_exception(first);
  return engine;
}

}  // namespace hone
