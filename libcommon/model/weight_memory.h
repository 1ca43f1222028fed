// Where weights lie that do not stay in a mapped file: one stretch of memory in huge pages, tensor
// after tensor in the order in which a step reads them. Through pages of 4 kB a product that reads
// as fast as memory gives spends a tenth and more of its time looking up addresses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace hone {

class WeightMemory {
 public:
  // Room for tensors of `bytes` in all, each rounded up by padded(). Not touched before it is
  // written: a header that promises more than its stream holds costs no memory. Throws
  // Error(kResource) that begins with `subject`.
  void reserve(int64_t bytes, const std::string& subject);
  static int64_t padded(int64_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

  // The next tensor's place, 64-byte aligned.
  std::byte* take(int64_t bytes);

 private:
  static constexpr int64_t kAlignment = 64;
  struct Release {
    void operator()(std::byte* memory) const;
  };
  using Block = std::unique_ptr<std::byte, Release>;

  Block stretch_;  // null: too little for huge pages
  int64_t left_ = 0;
  std::byte* next_ = nullptr;
  std::vector<Block> small_;  // instead, a block a tensor, whose ends sanitizers watch
};

}  // namespace hone
