// XXH3, 128 bits (Collet, xxHash 0.8): a checksum against truncation and flipped bits, at memory
// speed. It is no defence against someone who forges a file.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

struct XXH3_state_s;

namespace hone {

class Hash128 {
 public:
  Hash128();
  void update(std::span<const std::byte> bytes);
  // 32 hexadecimal digits of all bytes so far, as `xxhsum -H128` prints them.
  std::string hex() const;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

}  // namespace hone
