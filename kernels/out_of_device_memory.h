// A device's own memory is used up: what() says how much was asked for and how much is free.
#pragma once

#include <new>
#include <string>
#include <utility>

namespace hone {

class OutOfDeviceMemory : public std::bad_alloc {
 public:
  explicit OutOfDeviceMemory(std::string what) : what_(std::move(what)) {}
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string what_;
};

}  // namespace hone
