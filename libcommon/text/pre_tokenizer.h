// The pre-tokenizer of tokenizer.json: cuts normalized text into pieces over which the model never
// merges, and may rewrite them (spaces to U+2581, bytes to GPT-2's characters).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libcommon/io/json.h"
#include "libcommon/text/regex.h"

namespace hone {

// One text and its pieces: in order, not empty, without overlap; text outside them is dropped.
struct Pieces {
  std::string text;
  std::vector<Span> spans;
  bool at_start = false;  // the first piece begins the whole input: Metaspace's scheme "first"
};

class PreTokenizerStep {
 public:
  virtual ~PreTokenizerStep() = default;
  virtual void apply(Pieces& pieces) const = 0;
};

class PreTokenizer {
 public:
  PreTokenizer() = default;  // leaves one piece
  // json: the 'pre_tokenizer' field, may be null. Throws Error for what is not implemented.
  PreTokenizer(const Json& json, const std::string& subject);

  Pieces apply(std::string text, bool at_start) const;

 private:
  std::vector<std::unique_ptr<const PreTokenizerStep>> steps_;
};

}  // namespace hone
