#include "libcommon/quant/options.h"

#include <algorithm>

#include "libcommon/base/error.h"

namespace hone {
namespace {

Scheme base_scheme(const QuantizeOptions& options) {
  if (!options.scheme.empty()) {
    return with_overrides(find_scheme(options.scheme), options.overrides);
  }
  if (options.overrides.bits != 0) return with_overrides(find_scheme("w4a16"), options.overrides);
  if (options.overrides.any()) throw usage_error("to what? give --scheme or --bits");
  if (options.sets.empty()) {
    throw usage_error("to what? give --scheme NAME, as w4a16 or w8a16; --help lists them");
  }
  return find_scheme("none");
}

std::pair<std::regex, Scheme> parse_set(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    throw usage_error("--set '" + text + "' is not REGEX=SCHEME");
  }
  return {parse_name_regex(text.substr(0, equals), "--set"), find_scheme(text.substr(equals + 1))};
}

bool any_match(const std::vector<std::regex>& expressions, const std::string& name) {
  return std::any_of(expressions.begin(), expressions.end(),
                     [&](const std::regex& e) { return std::regex_search(name, e); });
}

bool plain_cast(const Scheme& scheme) {
  return scheme.kind == SchemeKind::kCast && !scheme.to_blocks();
}

}  // namespace

Recipe::Recipe(const QuantizeOptions& options)
    : base_(base_scheme(options)), filter_(options.include, options.exclude) {
  for (const std::string& text : options.sets) sets_.push_back(parse_set(text));
  for (const std::string& text : options.include) {
    include_.push_back(parse_name_regex(text, "--include"));
  }
  for (const std::string& text : options.exclude) {
    exclude_.push_back(parse_name_regex(text, "--exclude"));
  }
}

// Casts to plain types are of all tensors. Block types are for all matrices, embedding and head
// included, as in GGUF files. Schemes of compressed-tensors are for Linear layers.
bool Recipe::base_reaches(const std::string& name, const TensorSpec* tensor) const {
  if (plain_cast(base_)) return include_.empty() || any_match(include_, name);
  if (tensor == nullptr) return false;
  if (base_.to_blocks() && include_.empty()) return is_weight_matrix(*tensor);
  return filter_.chosen(*tensor);
}

Scheme Recipe::scheme_for(const std::string& name, const TensorSpec* tensor, bool tied) const {
  const Scheme keep = find_scheme("none");
  if (any_match(exclude_, name)) return keep;
  for (const auto& [expression, scheme] : sets_) {
    if (!std::regex_search(name, expression)) continue;
    const bool fits = plain_cast(scheme) || (tensor != nullptr && is_weight_matrix(*tensor));
    return fits ? scheme : keep;
  }
  if (!base_reaches(name, tensor)) return keep;
  // llama.cpp gives the head (which a tied embedding is) more bits than the rest; of the block
  // types that hone writes, Q8_0 comes next to its Q6_K.
  const bool head = tensor != nullptr &&
                    (tensor->role == Role::kHead || (tied && tensor->role == Role::kEmbedding));
  return base_.to_blocks() && head ? find_scheme("q8_0") : base_;
}

}  // namespace hone
