#include "libcommon/compress/targets.h"

#include <algorithm>
#include <iterator>

#include "libcommon/base/error.h"

namespace hone {
namespace {

std::vector<NamePattern> parse_all(const std::vector<std::string>& texts,
                                   const std::string& option) {
  std::vector<NamePattern> result;
  for (const std::string& text : texts) result.emplace_back(text, option);
  return result;
}

}  // namespace

NamePattern::NamePattern(const std::string& text, const std::string& option)
    : as_given_(option + " '" + text + "'") {
  try {
    expression_ = std::regex(text, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error& error) {
    throw usage_error(as_given_ + ": not a regular expression (" + error.what() + ")");
  }
}

bool any_matches(const std::vector<NamePattern>& patterns, const std::string& name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const NamePattern& pattern) { return pattern.matches(name); });
}

std::vector<std::string> unmatched(const std::vector<NamePattern>& patterns,
                                   const std::vector<std::string>& names) {
  std::vector<std::string> faults;
  for (const NamePattern& pattern : patterns) {
    const bool found = std::any_of(names.begin(), names.end(),
                                   [&](const std::string& name) { return pattern.matches(name); });
    if (!found) faults.push_back(pattern.as_given() + " matches no tensor");
  }
  return faults;
}

TargetFilter::TargetFilter(const std::vector<std::string>& include,
                           const std::vector<std::string>& exclude)
    : include_(parse_all(include, "--include")), exclude_(parse_all(exclude, "--exclude")) {}

std::vector<std::string> TargetFilter::unmatched(const std::vector<std::string>& names) const {
  std::vector<std::string> faults = hone::unmatched(include_, names);
  std::ranges::move(hone::unmatched(exclude_, names), std::back_inserter(faults));
  return faults;
}

bool is_weight_matrix(const TensorSpec& tensor) {
  return !tensor.bias && tensor.shape.size() == 2 && tensor.role != Role::kPositionEmbedding;
}

bool TargetFilter::chosen(const TensorSpec& tensor) const {
  if (!is_weight_matrix(tensor)) return false;
  const bool wanted = include_.empty() ? tensor.linear : any_matches(include_, tensor.name);
  return wanted && !any_matches(exclude_, tensor.name);
}

}  // namespace hone
