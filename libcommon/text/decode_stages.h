// One stage per decoder type of tokenizer.json; see decoder.h for the protocol.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libcommon/text/decoder.h"
#include "libcommon/text/regex.h"

namespace hone {

// A stage that needs whole tokens: collects the parts, then token().
class WholeTokenStage : public DecodeStage {
 public:
  explicit WholeTokenStage(DecodeStage& next) : next_(next) {}
  void text(std::string_view part) override { token_.append(part); }
  void end_token() override {
    token(token_);
    token_.clear();
  }

 protected:
  virtual void token(std::string_view text) = 0;
  void emit(std::string_view text) {
    next_.text(text);
    next_.end_token();
  }
  DecodeStage& next_;

 private:
  std::string token_;
};

// GPT-2's characters back to bytes; all tokens become one text, broken UTF-8 becomes U+FFFD. A
// token with a character outside the alphabet stands for itself.
class ByteLevelStage : public WholeTokenStage {
 public:
  using WholeTokenStage::WholeTokenStage;
  void finish() override;

 private:
  void token(std::string_view text) override;
  void emit_whole(bool last);
  std::string pending_;  // bytes not yet passed on: at most an unfinished character
};

class ReplaceStage : public WholeTokenStage {
 public:
  ReplaceStage(DecodeStage& next, Pattern pattern, std::string content)
      : WholeTokenStage(next), pattern_(std::move(pattern)), content_(std::move(content)) {}
  void finish() override { next_.finish(); }

 private:
  void token(std::string_view text) override;
  Pattern pattern_;
  std::string content_;
};

// Runs of tokens <0xNN> become their bytes if these are UTF-8, else one U+FFFD each. So the text of
// a run is known only when it has ended.
class ByteFallbackStage : public WholeTokenStage {
 public:
  using WholeTokenStage::WholeTokenStage;
  void finish() override;

 private:
  void token(std::string_view text) override;
  void end_run();
  std::string run_;
};

// All tokens become one.
class FuseStage : public DecodeStage {
 public:
  explicit FuseStage(DecodeStage& next) : next_(next) {}
  void text(std::string_view part) override { next_.text(part); }
  void end_token() override {}
  void finish() override {
    next_.end_token();
    next_.finish();
  }

 private:
  DecodeStage& next_;
};

// Takes up to `start` leading and `stop` trailing copies of a character from each token.
class StripStage : public DecodeStage {
 public:
  StripStage(DecodeStage& next, char32_t content, int64_t start, int64_t stop);
  void text(std::string_view part) override;
  void end_token() override;
  void finish() override { next_.finish(); }

 private:
  void release(int64_t copies);
  DecodeStage& next_;
  std::string content_;
  int64_t start_, stop_;
  int64_t to_strip_;  // leading copies that may still go
  int64_t held_ = 0;  // trailing copies seen and not passed on, at most stop_
};

// The mark becomes a space; in the first token it vanishes where encoding had put it there.
class MetaspaceStage : public WholeTokenStage {
 public:
  MetaspaceStage(DecodeStage& next, char32_t mark, bool prefixed);
  void finish() override;

 private:
  void token(std::string_view text) override;
  std::string mark_;
  bool prefixed_;
  bool first_ = true;
};

// A space between tokens.
class JoinStage : public WholeTokenStage {
 public:
  using WholeTokenStage::WholeTokenStage;
  void finish() override;

 private:
  void token(std::string_view text) override;
  bool first_ = true;
};

}  // namespace hone
