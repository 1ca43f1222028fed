// The decoder field -> stages, and the chain they run in. The stages are decode_stages.cpp.
#include "libcommon/text/decoder.h"

#include <utility>

#include "libcommon/text/component.h"
#include "libcommon/text/decode_stages.h"
#include "libcommon/text/unicode.h"

namespace hone {
namespace {

class Collect : public DecodeStage {
 public:
  explicit Collect(std::string& out) : out_(out) {}
  void text(std::string_view part) override { out_.append(part); }
  void end_token() override {}
  void finish() override {}

 private:
  std::string& out_;
};

// A step that constructs Stage(next, arguments...).
template <typename Stage, typename... Arguments>
Decoder::MakeStage make(Arguments... arguments) {
  return [arguments...](DecodeStage& next) -> std::unique_ptr<DecodeStage> {
    return std::make_unique<Stage>(next, arguments...);
  };
}

char32_t one_character(const Component& component, const char* key) {
  const std::string text = component.text(key);
  if (text.empty() || utf8_char(text, 0).length != text.size()) {
    throw component.bad(std::string("'") + key + "' is not one character");
  }
  return utf8_char(text, 0).code;
}

void add_steps(const Component& component, std::vector<Decoder::MakeStage>& steps) {
  const std::string& type = component.type();
  if (type == "Sequence") {
    for (const Component& child : component.children("decoders")) add_steps(child, steps);
  } else if (type == "ByteLevel") {
    steps.push_back(make<ByteLevelStage>());
  } else if (type == "Replace") {
    steps.push_back(make<ReplaceStage>(component.pattern("pattern"), component.text("content")));
  } else if (type == "ByteFallback") {
    steps.push_back(make<ByteFallbackStage>());
  } else if (type == "Fuse") {
    steps.push_back(make<FuseStage>());
  } else if (type == "Strip") {
    steps.push_back(make<StripStage>(one_character(component, "content"), component.count("start"),
                                     component.count("stop")));
  } else if (type == "Metaspace") {
    const bool prefixed = component.flag("add_prefix_space", true) &&
                          component.text("prepend_scheme", "always") != "never";
    steps.push_back(make<MetaspaceStage>(one_character(component, "replacement"), prefixed));
  } else {
    throw component.not_implemented();
  }
}

}  // namespace

Decoder::Decoder(const Json& json, const std::string& subject) {
  if (json.is_null()) {
    steps_.push_back(make<JoinStage>());
  } else {
    add_steps(Component(json, "decoder", subject), steps_);
  }
}

std::unique_ptr<DecodeChain> Decoder::start() const {
  auto chain = std::make_unique<DecodeChain>();
  chain->stages_.push_back(std::make_unique<Collect>(chain->collected_));
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
    chain->stages_.push_back((*step)(*chain->stages_.back()));
  }
  return chain;
}

void DecodeChain::push(std::string_view token) {
  stages_.back()->text(token);
  stages_.back()->end_token();
}

void DecodeChain::finish() { stages_.back()->finish(); }

std::string DecodeChain::take() { return std::exchange(collected_, {}); }

}  // namespace hone
