// What a Tokenizer is made of; private to this folder.
#pragma once

#include <optional>
#include <vector>

#include "libcommon/text/added_tokens.h"
#include "libcommon/text/bpe.h"
#include "libcommon/text/decoder.h"
#include "libcommon/text/normalizer.h"
#include "libcommon/text/post_processor.h"
#include "libcommon/text/pre_tokenizer.h"
#include "libcommon/text/tokenizer.h"

namespace hone {

struct Tokenizer::Parts {
  // document: the whole tokenizer.json. Throws Error("SUBJECT: ...").
  Parts(const Json& document, const std::string& subject);

  // The string a token decodes from, or null where there is no such id.
  const std::string* decoded_form(int32_t id) const;
  std::optional<int32_t> id_of(std::string_view token) const;

  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Bpe model;
  AddedTokens added;
  PostProcessor post_processor;
  Decoder decoder;
  std::optional<int32_t> bos;
  std::vector<int32_t> eos;
};

}  // namespace hone
