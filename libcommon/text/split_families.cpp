// The rows; expressions as in the official tokenizer.json files. Names as in llama.cpp's
// src/llama-vocab.cpp; a name missing here is refused by those who ask.
#include "libcommon/text/split_families.h"

#include "libcommon/text/split_scanner.h"

namespace hone {
namespace {

constexpr const char* kDigit = R"(\p{N})";
constexpr const char* kBloomSplit = R"( ?[^(\s|[.,!?…。，、।۔،])]+)";
constexpr const char* kTekkenSplit =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kO200kSplit =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen35Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kDeepseekSplit =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::array kFamilies = {
    SplitFamily{.names = {"gpt-2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de",
                          "granite-docling"},
                .splits = {kGpt2Split}},
    SplitFamily{.names = {"mpt", "olmo", "jais", "trillion"}, .splits = {kGpt2Split}},
    SplitFamily{.names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral",
                          "midm-2.0", "lfm2"},
                .splits = {kLlama3Split},
                .ignore_merges = true,
                .add_bos = true},
    SplitFamily{.names = {"smaug-bpe", "dbrx"}, .splits = {kLlama3Split}},
    SplitFamily{.names = {"qwen2", "deepseek-r1-qwen", "stablelm2", "megrez"},
                .splits = {kQwen2Split},
                .nfc = true},
    SplitFamily{.names = {"qwen35"}, .splits = {kQwen35Split}, .nfc = true},
    SplitFamily{.names = {"bloom", "poro-chat", "gpt3-finnish"}, .splits = {kBloomSplit}},
    SplitFamily{.names = {"viking"}, .splits = {kBloomSplit, kDigit}},
    SplitFamily{.names = {"starcoder", "smollm", "refact", "command-r", "codeshell", "exaone",
                          "minerva-7b"},
                .splits = {kDigit, kGpt2Split}},
    SplitFamily{
        .names = {"tekken"}, .splits = {kTekkenSplit}, .ignore_merges = true, .add_bos = true},
    SplitFamily{.names = {"gpt-4o", "llama4"}, .splits = {kO200kSplit}},
    SplitFamily{.names = {"deepseek-v3", "hunyuan-dense"},
                .splits = {R"(\p{N}{1,3})", "[一-龥\u3040-ゟ゠-ヿ]+", kDeepseekSplit}},
    SplitFamily{
        .names = {"deepseek-coder"},
        .splits = {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", "[一-龥ࠀ-一가-\uD7FF]+", kDigit}},
    SplitFamily{.names = {"falcon"},
                .splits = {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2Split, "[0-9][0-9][0-9]"}},
    SplitFamily{.names = {"default"},
                .splits = {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2Split, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
};

size_t split_count(const SplitFamily& family) {
  size_t count = 0;
  while (count < family.splits.size() && family.splits[count] != nullptr) ++count;
  return count;
}

bool has_splits(const SplitFamily& family, std::span<const std::string> splits) {
  if (split_count(family) != splits.size()) return false;
  for (size_t i = 0; i < splits.size(); ++i) {
    if (splits[i] != family.splits[i]) return false;
  }
  return true;
}

bool flag(const Json& component, const char* key, bool fallback) {
  const auto found = component.find(key);
  return found != component.end() && found->is_boolean() ? found->get<bool>() : fallback;
}

// Adds the expressions of one step. False where the step says more than expressions can.
bool add_splits(const Json& step, std::vector<std::string>& splits, bool& bytes) {
  if (!step.is_object() || bytes) return false;
  const std::string type = step.value("type", "");
  if (type == "ByteLevel") {
    bytes = true;
    if (flag(step, "use_regex", true)) splits.emplace_back(kGpt2Split);
    return !flag(step, "add_prefix_space", true);
  }
  if (type == "Digits") {
    splits.emplace_back(kDigit);
    return flag(step, "individual_digits", false);
  }
  if (type != "Split" || step.value("behavior", "") != "Isolated" || flag(step, "invert", false)) {
    return false;
  }
  const auto pattern = step.find("pattern");
  if (pattern == step.end() || !pattern->is_object()) return false;
  splits.push_back(pattern->value("Regex", ""));
  return true;
}

}  // namespace

const SplitFamily* find_split_family(std::string_view name) {
  for (const SplitFamily& family : kFamilies) {
    for (const char* known : family.names) {
      if (known != nullptr && name == known) return &family;
    }
  }
  return nullptr;
}

const SplitFamily* find_split_family(std::span<const std::string> splits, bool ignore_merges) {
  const SplitFamily* close = nullptr;
  for (const SplitFamily& family : kFamilies) {
    if (!has_splits(family, splits)) continue;
    if (family.ignore_merges == ignore_merges) return &family;
    if (close == nullptr) close = &family;
  }
  return close;
}

// A last split of GPT-2's kind is written as ByteLevel's own, as GPT-2's official file has it.
Json family_pre_tokenizer(const SplitFamily& family) {
  Json steps = Json::array();
  const size_t count = split_count(family);
  const bool gpt2_last = std::string_view(family.splits[count - 1]) == kGpt2Split;
  for (size_t i = 0; i + (gpt2_last ? 1 : 0) < count; ++i) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", family.splits[i]}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  steps.push_back(byte_level_component(gpt2_last));
  if (steps.size() == 1) return steps[0];
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

Json byte_level_component(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json family_normalizer(const SplitFamily& family) {
  return family.nfc ? Json{{"type", "NFC"}} : Json(nullptr);
}

std::optional<std::vector<std::string>> byte_level_splits(const Json& pre_tokenizer) {
  std::vector<std::string> splits;
  bool bytes = false;
  const auto steps =
      pre_tokenizer.is_object() ? pre_tokenizer.find("pretokenizers") : pre_tokenizer.end();
  if (pre_tokenizer.is_object() && steps != pre_tokenizer.end() && steps->is_array()) {
    for (const Json& step : *steps) {
      if (!add_splits(step, splits, bytes)) return std::nullopt;
    }
  } else if (!add_splits(pre_tokenizer, splits, bytes)) {
    return std::nullopt;
  }
  return bytes ? std::optional(splits) : std::nullopt;
}

}  // namespace hone
