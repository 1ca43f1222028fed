// From new tokens to text that may be shown: whole UTF-8 characters, cut before a stop string, and
// holding back what could still become one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/text/tokenizer.h"

namespace hone {

class StopFilter {
 public:
  explicit StopFilter(std::vector<std::string> stops);  // empty strings are ignored

  // Text that is final now. After a stop string was found: what came before it, then nothing.
  std::string push(std::string_view text);
  std::string flush();  // the rest, when the text ended by itself
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

// Continues a prompt: its ids are decoded first and not shown, so that the first new word keeps its
// leading space.
class TextStream {
 public:
  TextStream(const Tokenizer& tokenizer, std::span<const int32_t> prompt,
             std::vector<std::string> stops);

  std::string push(int32_t id);
  std::string flush();
  bool stopped() const { return filter_.stopped(); }

 private:
  StreamDecoder decoder_;
  StopFilter filter_;
};

}  // namespace hone
