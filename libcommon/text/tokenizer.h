// Text to token ids and back, as the model's own tokenizer.json says. The file is a program for a
// small pipeline, and every stage is a file of this folder:
//
//   text -> added tokens (added_tokens.h) -> normalizer -> pre-tokenizer -> model (bpe.h) -> post
//   ids  -> token strings -> decoder -> text
//
// Semantics follow the `tokenizers` library (https://github.com/huggingface/tokenizers); a
// component or option that is not implemented is refused by name, never approximated.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hone {

class DecodeChain;

class Tokenizer {
 public:
  // files: side files of a checkpoint by name (CheckpointHeader::files). Read are tokenizer.json,
  // or where it is missing vocab.json + merges.txt for the GPT-2 and Qwen2 families; and for the
  // begin and end ids generation_config.json, config.json, tokenizer_config.json and
  // special_tokens_map.json. subject: the model's name, for errors. Throws Error naming the cause
  // when no tokenizer can be made or a component is not implemented:
  //   "model: tokenizer.json: pre_tokenizer type 'X' is not implemented".
  static std::unique_ptr<Tokenizer> from_files(const std::map<std::string, std::string>& files,
                                               const std::string& subject);
  ~Tokenizer();

  // Ids of text. Bytes that are not UTF-8 count as U+FFFD, one per maximal broken sequence.
  // add_special_tokens: run the post-processor (bos, eos ... as the model wants them). Throws Error
  // where a hostile regular expression exceeds its step limit. Thread-safe, as all const members.
  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const;

  // Text of ids, always valid UTF-8 (broken bytes become U+FFFD). Ids without a token (negative,
  // gaps, beyond vocab_size()) contribute nothing.
  // skip_special leaves out ids for which is_special() holds. (tokenizers 0.23 compares strings and
  // so keeps a special token whose normalized form differs from its content; we do not follow it
  // there.)
  std::string decode(std::span<const int32_t> ids, bool skip_special) const;

  int64_t vocab_size() const;                // largest id + 1
  bool is_special(int32_t id) const;         // an added token marked special
  std::string token_text(int32_t id) const;  // as stored ("Ġthe", "<0x0A>"); "" for none

  std::optional<int32_t> bos() const;
  // Ids that end a text (end_ids() of side_files.h); may be empty.
  std::vector<int32_t> eos() const;

  struct Parts;  // tokenizer_parts.h

 private:
  friend class StreamDecoder;
  explicit Tokenizer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// Decodes a growing sequence. push() returns only bytes that no later token can change: whole UTF-8
// characters; flush() returns the rest (an unfinished character becomes U+FFFD) and starts anew.
// The concatenation of everything returned equals decode() of the whole sequence.
class StreamDecoder {
 public:
  // The tokenizer must outlive the decoder.
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special);
  ~StreamDecoder();
  StreamDecoder(StreamDecoder&&) noexcept;

  std::string push(int32_t id);
  std::string flush();

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_;
  std::unique_ptr<DecodeChain> chain_;
};

}  // namespace hone
