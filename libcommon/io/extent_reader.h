// Front-to-back and random reading of named runs of bytes ("tensor 'x'") in one or more sources:
// what every container's reader does after its header. Hashes what passes, where asked to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libcommon/base/hash.h"
#include "libcommon/io/byte_source.h"

namespace hone {

struct Extent {
  std::string what;   // for errors: "tensor 'x'"
  size_t source = 0;  // index of its source
  uint64_t begin = 0;
  uint64_t bytes = 0;
};

class ExtentReader {
 public:
  void add_source(std::unique_ptr<ByteSource> source) { sources_.push_back(std::move(source)); }
  ByteSource& source(size_t index) { return *sources_[index]; }
  size_t source_count() const { return sources_.size(); }
  bool mapped() const;  // all of them

  // From now on every byte passed over or read goes into the hash, until hash() takes it.
  void start_hash() { hash_.emplace(); }
  std::string take_hash();

  // Passes over what lies before the extent: what is left of the one before, and padding.
  void enter(const Extent& extent);
  // The next bytes of the entered extent. CHECKs that they are inside. Error: the source ends.
  void read(std::span<std::byte> out);
  // All of the entered, small extent, growing as it arrives.
  std::string read_text();
  // Passes over what is left of the entered extent.
  void leave();
  // No byte may follow the last extent.
  void check_end(const std::string& last);

  void read_at(const Extent& extent, int64_t offset, std::span<std::byte> out);
  const std::byte* map(const Extent& extent) const;

 private:
  void pass(uint64_t count);
  [[noreturn]] void fail_early(uint64_t position) const;
  ByteSource& current_source() const { return *sources_[current_.source]; }

  std::vector<std::unique_ptr<ByteSource>> sources_;
  Extent current_;
  std::optional<Hash128> hash_;
};

}  // namespace hone
