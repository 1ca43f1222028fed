#include "libcommon/compress/targets.h"

#include <algorithm>

#include "libcommon/base/error.h"

namespace hone {
namespace {

std::vector<std::regex> parse_all(const std::vector<std::string>& texts,
                                  const std::string& option) {
  std::vector<std::regex> result;
  for (const std::string& text : texts) result.push_back(parse_name_regex(text, option));
  return result;
}

bool matches_any(const std::vector<std::regex>& expressions, const std::string& name) {
  return std::any_of(expressions.begin(), expressions.end(), [&](const std::regex& expression) {
    return std::regex_search(name, expression);
  });
}

}  // namespace

std::regex parse_name_regex(const std::string& text, const std::string& option) {
  try {
    return std::regex(text, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error& error) {
    throw usage_error(option + " '" + text + "': not a regular expression (" + error.what() + ")");
  }
}

std::vector<std::string> unmatched(const std::vector<std::string>& expressions,
                                   const std::string& option,
                                   const std::vector<std::string>& names) {
  std::vector<std::string> faults;
  for (const std::string& text : expressions) {
    const std::regex expression = parse_name_regex(text, option);
    const bool found = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return std::regex_search(name, expression);
    });
    if (!found) faults.push_back(option + " '" + text + "' matches no tensor");
  }
  return faults;
}

TargetFilter::TargetFilter(const std::vector<std::string>& include,
                           const std::vector<std::string>& exclude)
    : include_(parse_all(include, "--include")), exclude_(parse_all(exclude, "--exclude")) {}

bool is_weight_matrix(const TensorSpec& tensor) {
  return !tensor.bias && tensor.shape.size() == 2 && tensor.role != Role::kPositionEmbedding;
}

bool TargetFilter::chosen(const TensorSpec& tensor) const {
  if (!is_weight_matrix(tensor)) return false;
  const bool wanted = include_.empty() ? tensor.linear : matches_any(include_, tensor.name);
  return wanted && !matches_any(exclude_, tensor.name);
}

}  // namespace hone
