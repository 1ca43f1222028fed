// The normalizer of tokenizer.json: string -> string, applied to each stretch of text between added
// tokens. A Sequence is flattened into one list of steps.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/io/json.h"

namespace hone {

class NormalizerStep {
 public:
  virtual ~NormalizerStep() = default;
  virtual std::string apply(std::string text) const = 0;  // valid UTF-8 in and out
};

class Normalizer {
 public:
  Normalizer() = default;  // leaves text as it is
  // json: the 'normalizer' field, may be null. Throws Error for what is not implemented.
  Normalizer(const Json& json, const std::string& subject);

  std::string apply(std::string_view text) const;
  bool empty() const { return steps_.empty(); }

 private:
  std::vector<std::unique_ptr<const NormalizerStep>> steps_;
};

}  // namespace hone
