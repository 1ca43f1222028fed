#include "libcommon/quant/options.h"

#include <algorithm>
#include <iterator>

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

std::pair<NamePattern, Scheme> parse_set(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) {
    throw usage_error("--set '" + text + "' is not REGEX=SCHEME");
  }
  return {NamePattern(text.substr(0, equals), "--set"), find_scheme(text.substr(equals + 1))};
}

bool plain_cast(const Scheme& scheme) {
  return scheme.kind == SchemeKind::kCast && !scheme.to_blocks();
}

}  // namespace

Recipe::Recipe(const QuantizeOptions& options)
    : base_(base_scheme(options)), filter_(options.include, options.exclude) {
  for (const std::string& text : options.sets) sets_.push_back(parse_set(text));
}

std::vector<std::string> Recipe::unmatched(const std::vector<std::string>& names) const {
  std::vector<std::string> faults = filter_.unmatched(names);
  for (const auto& [pattern, scheme] : sets_) {
    std::ranges::move(hone::unmatched({pattern}, names), std::back_inserter(faults));
  }
  return faults;
}

// Casts to plain types are of all tensors. Block types are for all matrices, embedding and head
// included, as in GGUF files. Schemes of compressed-tensors are for Linear layers.
bool Recipe::base_reaches(const std::string& name, const TensorSpec* tensor) const {
  const std::vector<NamePattern>& include = filter_.include();
  if (plain_cast(base_)) return include.empty() || any_matches(include, name);
  if (tensor == nullptr) return false;
  if (base_.to_blocks() && include.empty()) return is_weight_matrix(*tensor);
  return filter_.chosen(*tensor);
}

Scheme Recipe::scheme_for(const std::string& name, const TensorSpec* tensor, bool tied) const {
  const Scheme keep = find_scheme("none");
  if (any_matches(filter_.exclude(), name)) return keep;
  for (const auto& [pattern, scheme] : sets_) {
    if (!pattern.matches(name)) continue;
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
