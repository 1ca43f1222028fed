// hone-quantize's options as they are typed, and the recipe they make: which tensor gets which
// scheme.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "libcommon/compress/targets.h"
#include "libcommon/quant/scheme.h"

namespace hone {

inline constexpr char kAllowNan[] = " (--allow-nan goes on)";  // advice where a weight is no number

struct QuantizeOptions {
  std::string model = "-";
  std::string output = "-";
  std::string scheme;  // "": none is given
  SchemeOverrides overrides;
  std::vector<std::string> sets;  // "REGEX=SCHEME"
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  bool requantize = false;
  bool allow_nan = false;
  bool dry_run = false;
  bool json = false;
  std::string report;
  int64_t threads = 0;  // 0: default_threads()
  std::string max_memory;
  std::string shard_size;
};

// First the --set that matches, else the scheme where its tensors are. Error(kUsage) where options
// do not parse or contradict each other.
class Recipe {
 public:
  explicit Recipe(const QuantizeOptions& options);

  const Scheme& base() const { return base_; }
  // For a tensor under its plain name. tensor: null where the architecture does not know it (a
  // buffer of an old file), which only casts of everything reach. tied: the embedding is the head.
  Scheme scheme_for(const std::string& name, const TensorSpec* tensor, bool tied) const;
  // Of --include, --exclude and --set; see targets.h.
  std::vector<std::string> unmatched(const std::vector<std::string>& names) const;

 private:
  bool base_reaches(const std::string& name, const TensorSpec* tensor) const;

  Scheme base_;
  std::vector<std::pair<NamePattern, Scheme>> sets_;
  TargetFilter filter_;
};

}  // namespace hone
