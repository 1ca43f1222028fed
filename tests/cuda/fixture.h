// What the tests of the CUDA backend share: the backend under test and memory on its device. The
// same sources test the kernels on the emulator, under every order of threads, and, compiled by
// nvcc, on a GPU. Includes doctest: include it last.
#pragma once

#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/simt/device.h"
#include "tests/support/matrices.h"
#include "tests/support/tolerances.h"
// Last: its CHECK.
#include "tests/simt/orders.h"

namespace hone {

// The backend under test. Stays open: what place() gives lives as long.
inline Backend& device() {
  static const std::unique_ptr<Backend> backend = [] {
    std::string why;
    auto opened = open_cuda_device(0, &why);
    if (!opened) throw std::runtime_error(why);
    return opened;
  }();
  return *backend;
}

// An array in the device's memory.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count)
      : count_(count), data_(static_cast<T*>(device().allocate(count * sizeof(T)))) {}
  DeviceArray(DeviceArray&& from) noexcept
      : count_(std::exchange(from.count_, 0)), data_(std::exchange(from.data_, nullptr)) {}
  DeviceArray& operator=(DeviceArray&&) = delete;
  ~DeviceArray() {
    if (data_) device().release(data_);
  }

  T* get() const { return data_; }
  // For ops that take tiles and blocks.
  std::byte* bytes() const { return reinterpret_cast<std::byte*>(data_); }
  size_t size() const { return count_; }
  std::vector<T> download() const {
    std::vector<T> values(count_);
    device().copy_out(values.data(), data_, count_ * sizeof(T));
    return values;
  }

 private:
  size_t count_;
  T* data_;
};

// What no kernel writes: norm weights, biases, tables. Kernels may read it before
// wait_for_previous().
template <class T>
DeviceArray<T> upload_constant(const std::vector<T>& values) {
  DeviceArray<T> array(values.size());
  device().copy_in(array.get(), values.data(), values.size() * sizeof(T));
  return array;
}

// What an earlier kernel wrote: activations, positions, ids. With the checker of the emulator, a
// kernel that reads it before wait_for_previous() fails.
template <class T>
DeviceArray<T> upload(const std::vector<T>& values) {
  DeviceArray<T> array = upload_constant(values);
#ifndef __CUDACC__
  simt::emu::check::written_by_kernel(array.get(), values.size() * sizeof(T));
#endif
  return array;
}

// An output: every float in it is a NaN, of 8, 16 or 32 bits. With the checker, a kernel that reads
// it fails.
template <class T = float>
DeviceArray<T> unwritten(size_t count) {
  std::vector<T> values(count);
  for (size_t i = 0; i < count * sizeof(T); ++i) {
    const unsigned char byte = i % 2 ? 0x7f : 0xff;
    std::memcpy(reinterpret_cast<char*>(values.data()) + i, &byte, 1);
  }
  DeviceArray<T> array = upload_constant(values);
#ifndef __CUDACC__
  simt::emu::check::variable(array.get(), count * sizeof(T));
#endif
  return array;
}

// A stored matrix as the device's kernels take it.
inline WeightView place(const WeightView& host) { return device().place(host); }
inline WeightView place(const StoredMatrix& matrix) { return place(matrix.view()); }

}  // namespace hone
