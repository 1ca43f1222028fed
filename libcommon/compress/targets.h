// Which tensors a stage works on: the Linear matrices of the architecture, narrowed or widened by
// --include and --exclude.
#pragma once

#include <regex>
#include <string>
#include <vector>

#include "libcommon/model/spec.h"

namespace hone {

// ECMAScript regular expression, searched anywhere in a tensor's name. Error(kUsage) naming
// `option` when it does not parse.
std::regex parse_name_regex(const std::string& text, const std::string& option);

// "--exclude 'nrom' matches no tensor", for each of an option's expressions that finds none of
// `names`: a slip of the pen, mostly.
std::vector<std::string> unmatched(const std::vector<std::string>& expressions,
                                   const std::string& option,
                                   const std::vector<std::string>& names);

class TargetFilter {
 public:
  TargetFilter(const std::vector<std::string>& include, const std::vector<std::string>& exclude);

  // By default every Linear's matrix, not embeddings and head; with --include any matrix of the
  // model whose name matches one of them. Never biases, norms and position embeddings.
  bool chosen(const TensorSpec& tensor) const;

 private:
  std::vector<std::regex> include_;
  std::vector<std::regex> exclude_;
};

// A matrix that may be pruned or quantized at all.
bool is_weight_matrix(const TensorSpec& tensor);

}  // namespace hone
