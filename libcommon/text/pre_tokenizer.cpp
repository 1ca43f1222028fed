// One class per kind of step. Digits, Punctuation, Whitespace and WhitespaceSplit are Split with a
// fixed expression.
#include "libcommon/text/pre_tokenizer.h"

#include <utility>

#include "libcommon/text/byte_chars.h"
#include "libcommon/text/component.h"
#include "libcommon/text/split.h"
#include "libcommon/text/unicode.h"

namespace hone {

namespace {

using Steps = std::vector<std::unique_ptr<const PreTokenizerStep>>;

class SplitStep : public PreTokenizerStep {
 public:
  explicit SplitStep(Splitter splitter) : splitter_(std::move(splitter)) {}

  void apply(Pieces& pieces) const override {
    std::vector<Span> out;
    out.reserve(pieces.spans.size());
    for (const Span& span : pieces.spans) splitter_.split(pieces.text, span, out);
    pieces.spans = std::move(out);
  }

 private:
  Splitter splitter_;
};

// Writes `prefix` before pieces that do not start with it: before all, or the input's first.
void prepend_to_pieces(Pieces& pieces, std::string_view prefix, bool only_at_start) {
  std::string text;
  text.reserve(pieces.text.size() + prefix.size());
  bool first = true;
  for (Span& span : pieces.spans) {
    const std::string_view piece(pieces.text.data() + span.begin, span.end - span.begin);
    const size_t begin = text.size();
    const bool wanted = !only_at_start || (first && pieces.at_start);
    if (wanted && !piece.starts_with(prefix)) text.append(prefix);
    text.append(piece);
    span = {begin, text.size()};
    first = false;
  }
  pieces.text = std::move(text);
}

class BytePrefixStep : public PreTokenizerStep {  // ByteLevel{add_prefix_space: true}
 public:
  void apply(Pieces& pieces) const override { prepend_to_pieces(pieces, " ", false); }
};

class ByteCharsStep : public PreTokenizerStep {  // ByteLevel's change of alphabet
 public:
  void apply(Pieces& pieces) const override {
    std::string text;
    text.reserve(pieces.text.size() + pieces.text.size() / 4);
    for (Span& span : pieces.spans) {
      const size_t begin = text.size();
      append_byte_chars(text, {pieces.text.data() + span.begin, span.end - span.begin});
      span = {begin, text.size()};
    }
    pieces.text = std::move(text);
  }
};

enum class PrependScheme { kAlways, kFirst, kNever };

class MetaspaceStep : public PreTokenizerStep {
 public:
  MetaspaceStep(std::string mark, PrependScheme scheme, bool split)
      : scheme_(scheme),
        split_(split),
        splitter_(Pattern::literal(mark), SplitBehavior::kMergedWithNext, false),
        mark_(std::move(mark)) {}

  void apply(Pieces& pieces) const override {
    replace_spaces(pieces);
    if (scheme_ != PrependScheme::kNever) {
      prepend_to_pieces(pieces, mark_, scheme_ == PrependScheme::kFirst);
    }
    if (!split_) return;
    std::vector<Span> out;
    for (const Span& span : pieces.spans) splitter_.split(pieces.text, span, out);
    pieces.spans = std::move(out);
  }

 private:
  void replace_spaces(Pieces& pieces) const {
    std::string text;
    text.reserve(pieces.text.size() + pieces.text.size() / 2);
    for (Span& span : pieces.spans) {
      const size_t begin = text.size();
      for (size_t at = span.begin; at < span.end; ++at) {
        const char c = pieces.text[at];
        if (c == ' ') {
          text.append(mark_);
        } else {
          text.push_back(c);
        }
      }
      span = {begin, text.size()};
    }
    pieces.text = std::move(text);
  }

  PrependScheme scheme_;
  bool split_;
  Splitter splitter_;
  std::string mark_;
};

std::unique_ptr<PreTokenizerStep> fixed_split(const char* expression, SplitBehavior behavior,
                                              bool invert, const std::string& subject) {
  return std::make_unique<SplitStep>(
      Splitter(Pattern::regex(expression, subject), behavior, invert));
}

SplitBehavior behavior_of(const Component& component, const std::string& name) {
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  throw component.bad("behavior '" + name + "' is not implemented");
}

void add_byte_level(const Component& component, Steps& steps) {
  if (component.flag("add_prefix_space", true)) steps.push_back(std::make_unique<BytePrefixStep>());
  if (component.flag("use_regex", true)) {
    steps.push_back(fixed_split(kGpt2Split, SplitBehavior::kIsolated, false, component.subject()));
  }
  steps.push_back(std::make_unique<ByteCharsStep>());
}

void add_metaspace(const Component& component, Steps& steps) {
  const std::string mark = component.text("replacement");
  if (mark.empty() || utf8_char(mark, 0).length != mark.size()) {
    throw component.bad("'replacement' is not one character");
  }
  std::string scheme = component.text("prepend_scheme", "always");
  if (!component.flag("add_prefix_space", true)) {  // the older spelling
    if (component.json().contains("prepend_scheme") && scheme != "never") {
      throw component.bad("'add_prefix_space' contradicts 'prepend_scheme'");
    }
    scheme = "never";
  }
  PrependScheme value = PrependScheme::kAlways;
  if (scheme == "first") {
    value = PrependScheme::kFirst;
  } else if (scheme == "never") {
    value = PrependScheme::kNever;
  } else if (scheme != "always") {
    throw component.bad("prepend_scheme '" + scheme + "' is not implemented");
  }
  steps.push_back(std::make_unique<MetaspaceStep>(mark, value, component.flag("split", true)));
}

void add_steps(const Component& component, Steps& steps) {
  const std::string& type = component.type();
  const std::string& subject = component.subject();
  if (type == "Sequence") {
    for (const Component& child : component.children("pretokenizers")) add_steps(child, steps);
  } else if (type == "ByteLevel") {
    add_byte_level(component, steps);
  } else if (type == "Split") {
    const SplitBehavior behavior = behavior_of(component, component.text("behavior"));
    steps.push_back(std::make_unique<SplitStep>(
        Splitter(component.pattern("pattern"), behavior, component.flag("invert", false))));
  } else if (type == "Metaspace") {
    add_metaspace(component, steps);
  } else if (type == "Digits") {
    const bool single = component.flag("individual_digits", false);
    steps.push_back(fixed_split(R"(\p{N})",
                                single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous,
                                false, subject));
  } else if (type == "Punctuation") {
    const SplitBehavior behavior = behavior_of(component, component.text("behavior", "Isolated"));
    steps.push_back(fixed_split(R"([!-/:-@\[-`{-~\p{P}])", behavior, false, subject));
  } else if (type == "Whitespace") {  // Rust's \w is not Oniguruma's
    steps.push_back(fixed_split(
        R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}\s]+)",
        SplitBehavior::kRemoved, true, subject));
  } else if (type == "WhitespaceSplit") {
    steps.push_back(fixed_split(R"(\s)", SplitBehavior::kRemoved, false, subject));
  } else {
    throw component.not_implemented();
  }
}

}  // namespace

PreTokenizer::PreTokenizer(const Json& json, const std::string& subject) {
  if (!json.is_null()) add_steps(Component(json, "pre_tokenizer", subject), steps_);
}

Pieces PreTokenizer::apply(std::string text, bool at_start) const {
  Pieces pieces{std::move(text), {}, at_start};
  if (!pieces.text.empty()) pieces.spans.push_back({0, pieces.text.size()});
  for (const auto& step : steps_) step->apply(pieces);
  return pieces;
}

}  // namespace hone
