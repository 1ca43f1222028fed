// Which tensors a stage works on: the Linear matrices of the architecture, narrowed or widened by
// --include and --exclude.
#pragma once

#include <regex>
#include <string>
#include <vector>

#include "libcommon/model/spec.h"

namespace hone {

// An expression of an option, searched anywhere in a tensor's name.
class NamePattern {
 public:
  // ECMAScript. Error(kUsage) naming the option when it does not parse.
  NamePattern(const std::string& text, const std::string& option);
  bool matches(const std::string& name) const { return std::regex_search(name, expression_); }
  // "--exclude 'nrom'"
  const std::string& as_given() const { return as_given_; }

 private:
  std::string as_given_;
  std::regex expression_;
};

bool any_matches(const std::vector<NamePattern>& patterns, const std::string& name);

// "--exclude 'nrom' matches no tensor", for each that finds none of `names`: a slip of the pen,
// mostly.
std::vector<std::string> unmatched(const std::vector<NamePattern>& patterns,
                                   const std::vector<std::string>& names);

class TargetFilter {
 public:
  TargetFilter(const std::vector<std::string>& include, const std::vector<std::string>& exclude);

  // By default every Linear's matrix, not embeddings and head; with --include any matrix of the
  // model whose name matches one of them. Never biases, norms and position embeddings.
  bool chosen(const TensorSpec& tensor) const;

  const std::vector<NamePattern>& include() const { return include_; }
  const std::vector<NamePattern>& exclude() const { return exclude_; }
  std::vector<std::string> unmatched(const std::vector<std::string>& names) const;

 private:
  std::vector<NamePattern> include_;
  std::vector<NamePattern> exclude_;
};

// A matrix that may be pruned or quantized at all.
bool is_weight_matrix(const TensorSpec& tensor);

}  // namespace hone
