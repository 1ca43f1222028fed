// The decoder of tokenizer.json: a list of token strings -> text. Each step is written as a stage
// that takes tokens as they come and passes on what no later token can change; decoding a whole
// list is pushing it through and finishing. So streamed and whole decoding are the same by
// construction.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/io/json.h"

namespace hone {

// Text flows as parts of a token (whole UTF-8 characters), then end_token(); finish() ends the list
// and leaves the stage as new.
class DecodeStage {
 public:
  virtual ~DecodeStage() = default;
  virtual void text(std::string_view part) = 0;
  virtual void end_token() = 0;
  virtual void finish() = 0;
};

// The stages of one running decode.
class DecodeChain {
 public:
  void push(std::string_view token);
  void finish();
  // What has come out since the last call.
  std::string take();

 private:
  friend class Decoder;
  std::string collected_;
  std::vector<std::unique_ptr<DecodeStage>> stages_;  // collector, last step ... first step
};

class Decoder {
 public:
  Decoder()
      : Decoder(nullptr, "") {}  // tokens joined by spaces, as the library does without decoder
  // json: the 'decoder' field, may be null. Throws Error for what is not implemented.
  Decoder(const Json& json, const std::string& subject);

  std::unique_ptr<DecodeChain> start() const;

  using MakeStage = std::function<std::unique_ptr<DecodeStage>(DecodeStage& next)>;

 private:
  std::vector<MakeStage> steps_;
};

}  // namespace hone
