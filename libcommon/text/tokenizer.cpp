// The pipeline of tokenizer.h, text to ids and back.
#include "libcommon/text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"
#include "libcommon/text/side_files.h"
#include "libcommon/text/tokenizer_parts.h"
#include "libcommon/text/unicode.h"

namespace hone {
namespace {

const Json& checked_model(const Json& document, const std::string& subject) {
  if (!document.is_object()) throw Error(subject + ": not a JSON object");
  const auto model = document.find("model");
  if (model == document.end()) throw Error(subject + ": 'model' is missing");
  return *model;
}

}  // namespace

Tokenizer::Parts::Parts(const Json& document, const std::string& subject)
    : model(checked_model(document, subject), subject) {
  normalizer = Normalizer(field(document, "normalizer"), subject);
  pre_tokenizer = PreTokenizer(field(document, "pre_tokenizer"), subject);
  added = AddedTokens(field(document, "added_tokens"), model.vocabulary(), normalizer, subject);
  post_processor = PostProcessor::from_json(field(document, "post_processor"), subject);
  decoder = Decoder(field(document, "decoder"), subject);
}

const std::string* Tokenizer::Parts::decoded_form(int32_t id) const {
  if (const AddedToken* token = added.find(id)) return &token->pattern;
  return model.vocabulary().has(id) ? &model.vocabulary().token(id) : nullptr;
}

std::optional<int32_t> Tokenizer::Parts::id_of(std::string_view token) const {
  if (const AddedToken* found = added.find(token)) return found->id;
  return model.vocabulary().id(token);
}

Tokenizer::Tokenizer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

std::unique_ptr<Tokenizer> Tokenizer::from_files(const std::map<std::string, std::string>& files,
                                                 const std::string& subject) {
  const TokenizerDocument document = tokenizer_document(files, subject);
  auto parts = std::make_unique<Parts>(document.json, document.subject);
  const auto id_of = [&parts](std::string_view token) { return parts->id_of(token); };
  parts->bos = begin_id(files, id_of, subject);
  parts->eos = end_ids(files, id_of, subject);
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(parts)));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  std::string repaired;
  if (!is_utf8(text)) text = repaired = lossy_utf8(text);
  std::vector<int32_t> ids;
  const PostProcessor& post = parts_->post_processor;
  if (add_special_tokens) ids = post.before;
  PieceCache cache;
  for (const Stretch& raw : parts_->added.raw().split(text)) {
    if (raw.token) {
      ids.push_back(*raw.token);
      continue;
    }
    const std::string normal =
        parts_->normalizer.apply(text.substr(raw.begin, raw.end - raw.begin));
    for (const Stretch& stretch : parts_->added.normalized().split(normal)) {
      if (stretch.token) {
        ids.push_back(*stretch.token);
        continue;
      }
      const Pieces pieces =
          parts_->pre_tokenizer.apply(normal.substr(stretch.begin, stretch.end - stretch.begin),
                                      raw.begin == 0 && stretch.begin == 0);
      for (const Span& span : pieces.spans) {
        parts_->model.encode(
            std::string_view(pieces.text).substr(span.begin, span.end - span.begin), cache, ids);
      }
    }
  }
  if (add_special_tokens) ids.insert(ids.end(), post.after.begin(), post.after.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  StreamDecoder stream(*this, skip_special);
  std::string text;
  for (const int32_t id : ids) text += stream.push(id);
  return text += stream.flush();
}

int64_t Tokenizer::vocab_size() const {
  return std::max(parts_->model.vocabulary().end_id(), parts_->added.end_id());
}

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* token = parts_->added.find(id);
  return token != nullptr && token->special;
}

std::string Tokenizer::token_text(int32_t id) const {
  if (const AddedToken* token = parts_->added.find(id)) return token->content;
  return parts_->model.vocabulary().token(id);
}

std::optional<int32_t> Tokenizer::bos() const { return parts_->bos; }
std::vector<int32_t> Tokenizer::eos() const { return parts_->eos; }

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool skip_special)
    : tokenizer_(tokenizer),
      skip_special_(skip_special),
      chain_(tokenizer.parts_->decoder.start()) {}

StreamDecoder::~StreamDecoder() = default;
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;

std::string StreamDecoder::push(int32_t id) {
  const std::string* token = tokenizer_.parts_->decoded_form(id);
  if (token == nullptr || (skip_special_ && tokenizer_.is_special(id))) return "";
  chain_->push(*token);
  return chain_->take();
}

std::string StreamDecoder::flush() {
  chain_->finish();
  return chain_->take();
}

}  // namespace hone
