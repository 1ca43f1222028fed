// A model ready to answer: opened, loaded, with its tokenizer and a session.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libcommon/run/session.h"
#include "libcommon/text/tokenizer.h"

namespace hone {

struct Engine {
  std::shared_ptr<const LoadedModel> model;
  std::unique_ptr<Tokenizer> tokenizer;  // null where none can be made
  std::string tokenizer_fault;           // why, then
  std::vector<int32_t> end_ids;          // tokens that end a text, known without a tokenizer too
  std::unique_ptr<Session> session;

  // The tokenizer, or Error with the cause and the way round it.
  const Tokenizer& require_tokenizer() const;
};

// where: as open_model. session.max_memory bounds loading too.
Engine open_engine(const std::string& where, const SessionOptions& session);

}  // namespace hone
