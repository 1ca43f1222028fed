// What a weight becomes: kind of number, who shares a scale, how the range is chosen. Three
// independent choices; a preset is a name for a combination that other programs know.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/dtype.h"

namespace hone {

enum class SchemeKind : uint8_t {
  kKeep,    // stays as it is
  kInt,     // integers with scales (compressed-tensors)
  kFloat8,  // F8_E4M3 with scales (compressed-tensors)
  kCast,    // another element type: F32, F16, BF16, or a GGUF block
};
enum class Strategy : uint8_t { kTensor, kChannel, kGroup };  // who shares a scale
enum class RangeKind : uint8_t {
  kUsual,       // absmax where symmetric, else minmax
  kAbsMax,      // [-max |w|, max |w|]
  kMinMax,      // [min w, max w], made to hold 0
  kPercentile,  // absmax or minmax of all but the outermost elements
  kMse,         // the shrunken range of least square error
};

struct Scheme {
  std::string name;
  SchemeKind kind = SchemeKind::kKeep;
  int bits = 0;  // kInt: 2..8
  bool symmetric = true;
  Strategy strategy = Strategy::kGroup;
  int64_t group = 0;            // kGroup: columns that share a scale
  bool quantize_input = false;  // activations to 8 bits, a scale per token, when the model runs
  DType type = DType::kF32;     // kCast
  RangeKind range = RangeKind::kUsual;
  double percentile = 99.9;  // kPercentile

  bool scaled() const { return kind == SchemeKind::kInt || kind == SchemeKind::kFloat8; }
  bool to_blocks() const { return kind == SchemeKind::kCast && is_block(type); }
};

// Changes to a preset, as typed; empty: leave.
struct SchemeOverrides {
  int64_t bits = 0;
  int64_t group_size = 0;
  bool symmetric = false;
  bool asymmetric = false;
  std::string strategy;  // tensor, channel, group
  std::string range;     // absmax, minmax, percentile, mse
  std::string percentile;

  bool any() const {
    return bits != 0 || group_size != 0 || symmetric || asymmetric || !strategy.empty() ||
           !range.empty() || !percentile.empty();
  }
};

struct SchemeHelp {
  std::string name;
  std::string text;
};
std::vector<SchemeHelp> scheme_table();
std::vector<std::string> scheme_names();

// Error(kUsage) listing the known names.
Scheme find_scheme(const std::string& name);
// Error(kUsage) where the combination has no meaning or no format.
Scheme with_overrides(const Scheme& scheme, const SchemeOverrides& overrides);

// "int4 group 128", "int8 channel, int8 activations", "Q4_0": of what a tensor becomes.
std::string describe(const Scheme& scheme);

}  // namespace hone
