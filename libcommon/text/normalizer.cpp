// One class per normalizer type.
#include "libcommon/text/normalizer.h"

#include <map>
#include <utility>

#include "libcommon/text/component.h"
#include "libcommon/text/regex.h"
#include "libcommon/text/unicode.h"

namespace hone {
namespace {

using Steps = std::vector<std::unique_ptr<const NormalizerStep>>;

class NormalFormStep : public NormalizerStep {
 public:
  explicit NormalFormStep(NormalForm form) : form_(form) {}
  std::string apply(std::string text) const override { return normal_form(text, form_); }

 private:
  NormalForm form_;
};

class LowercaseStep : public NormalizerStep {
 public:
  std::string apply(std::string text) const override { return lower_case(text); }
};

class PrependStep : public NormalizerStep {
 public:
  explicit PrependStep(std::string prefix) : prefix_(std::move(prefix)) {}
  std::string apply(std::string text) const override {
    return text.empty() ? text : prefix_ + text;
  }

 private:
  std::string prefix_;
};

class ReplaceStep : public NormalizerStep {
 public:
  ReplaceStep(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  std::string apply(std::string text) const override {
    std::vector<Span> matches;
    pattern_.find_all(text, matches);
    std::string out;
    size_t copied = 0;
    for (const Span& match : matches) {
      out.append(text, copied, match.begin - copied).append(content_);
      copied = match.end;
    }
    return out.append(text, copied);
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class StripStep : public NormalizerStep {
 public:
  StripStep(bool left, bool right) : left_(left), right_(right) {}

  std::string apply(std::string text) const override {
    size_t begin = 0, end = 0, at = 0;  // of what is kept
    bool seen = false;
    while (at < text.size()) {
      const Utf8Char next = utf8_char(text, at);
      if (!is_space(next.code)) {
        if (!seen) begin = at;
        seen = true;
        end = at + next.length;
      }
      at += next.length;
    }
    if (!seen) return left_ || right_ ? "" : text;
    if (!left_) begin = 0;
    if (!right_) end = text.size();
    return text.substr(begin, end - begin);
  }

 private:
  bool left_, right_;
};

class StripAccentsStep : public NormalizerStep {
 public:
  std::string apply(std::string text) const override {
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const Utf8Char next = utf8_char(text, at);
      if (!is_mark(next.code)) out.append(text, at, next.length);
      at += next.length;
    }
    return out;
  }
};

void add_steps(const Component& component, Steps& steps) {
  static const std::map<std::string, NormalForm> kForms = {{"NFC", NormalForm::kNfc},
                                                           {"NFD", NormalForm::kNfd},
                                                           {"NFKC", NormalForm::kNfkc},
                                                           {"NFKD", NormalForm::kNfkd}};
  const std::string& type = component.type();
  if (type == "Sequence") {
    for (const Component& child : component.children("normalizers")) add_steps(child, steps);
  } else if (const auto form = kForms.find(type); form != kForms.end()) {
    steps.push_back(std::make_unique<NormalFormStep>(form->second));
  } else if (type == "Lowercase") {
    steps.push_back(std::make_unique<LowercaseStep>());
  } else if (type == "Prepend") {
    steps.push_back(std::make_unique<PrependStep>(component.text("prepend")));
  } else if (type == "Replace") {
    steps.push_back(
        std::make_unique<ReplaceStep>(component.pattern("pattern"), component.text("content")));
  } else if (type == "Strip") {
    steps.push_back(std::make_unique<StripStep>(component.flag("strip_left", true),
                                                component.flag("strip_right", true)));
  } else if (type == "StripAccents") {
    steps.push_back(std::make_unique<StripAccentsStep>());
  } else {
    throw component.not_implemented();
  }
}

}  // namespace

Normalizer::Normalizer(const Json& json, const std::string& subject) {
  if (!json.is_null()) add_steps(Component(json, "normalizer", subject), steps_);
}

std::string Normalizer::apply(std::string_view text) const {
  std::string out(text);
  for (const auto& step : steps_) out = step->apply(std::move(out));
  return out;
}

}  // namespace hone
