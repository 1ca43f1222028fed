#include "libcommon/quant/scheme.h"

#include <array>
#include <cmath>
#include <cstdlib>

#include "libcommon/base/error.h"

namespace hone {
namespace {

struct SchemeRow {
  std::string_view name;
  std::string_view help;
  SchemeKind kind;
  int bits;
  bool symmetric;
  Strategy strategy;
  int64_t group;
  bool quantize_input;
  DType type;
};

constexpr auto kInt = SchemeKind::kInt;
constexpr auto kCast = SchemeKind::kCast;
constexpr auto kGroup = Strategy::kGroup;
constexpr auto kChannel = Strategy::kChannel;

// One row a preset. The integer and fp8 rows are compressed-tensors' presets of the same name.
constexpr auto kSchemes = std::to_array<SchemeRow>({
    {"w8a8", "int8, a scale per output, int8 activations", kInt, 8, true, kChannel, 0, true, {}},
    {"w8a16", "int8, a scale per 128 weights", kInt, 8, true, kGroup, 128, false, {}},
    {"w4a16", "int4, a scale per 128 weights", kInt, 4, true, kGroup, 128, false, {}},
    {"w4a16-asym", "int4, a scale and a zero per 128", kInt, 4, false, kGroup, 128, false, {}},
    {"w3a16", "int3, a scale per 128 weights", kInt, 3, true, kGroup, 128, false, {}},
    {"w2a16", "int2, a scale per 128 weights", kInt, 2, true, kGroup, 128, false, {}},
    {"fp8",
     "F8_E4M3, a scale per output, fp8 activations",
     SchemeKind::kFloat8,
     8,
     true,
     kChannel,
     0,
     true,
     {}},
    {"bf16", "all tensors as BF16", kCast, 0, true, kGroup, 0, false, DType::kBF16},
    {"f16", "all tensors as F16", kCast, 0, true, kGroup, 0, false, DType::kF16},
    {"f32", "all tensors as F32", kCast, 0, true, kGroup, 0, false, DType::kF32},
    {"q8_0", "GGUF Q8_0, 8.5 bits", kCast, 0, true, kGroup, 0, false, DType::kQ8_0},
    {"q4_0", "GGUF Q4_0, 4.5 bits; head Q8_0", kCast, 0, true, kGroup, 0, false, DType::kQ4_0},
    {"q4_1", "GGUF Q4_1, 5 bits; head Q8_0", kCast, 0, true, kGroup, 0, false, DType::kQ4_1},
    {"none", "leave as it is", SchemeKind::kKeep, 0, true, kGroup, 0, false, {}},
});

template <typename T>
struct Named {
  std::string_view name;
  T value;
};
constexpr auto kStrategies = std::to_array<Named<Strategy>>(
    {{"tensor", Strategy::kTensor}, {"channel", Strategy::kChannel}, {"group", Strategy::kGroup}});
constexpr auto kRanges = std::to_array<Named<RangeKind>>({{"absmax", RangeKind::kAbsMax},
                                                          {"minmax", RangeKind::kMinMax},
                                                          {"percentile", RangeKind::kPercentile},
                                                          {"mse", RangeKind::kMse}});

template <typename Table>
auto lookup(const Table& table, const std::string& name, const std::string& option) {
  std::string known;
  for (const auto& row : table) {
    if (row.name == name) return row.value;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  throw usage_error(option + " '" + name + "' is not known; known: " + known);
}

double parse_percentile(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (*end != '\0' || text.empty() || !(value > 50 && value <= 100)) {
    throw usage_error("--percentile '" + text + "' is not above 50 and at most 100");
  }
  return value;
}

void set_group(Scheme& scheme, int64_t group) {
  if (group != 32 && group != 64 && group != 128 && group != 256) {
    throw usage_error("--group-size " + std::to_string(group) + " is not 32, 64, 128 or 256");
  }
  scheme.group = group;
}

void set_strategy(Scheme& scheme, const SchemeOverrides& overrides) {
  if (!overrides.strategy.empty()) {
    scheme.strategy = lookup(kStrategies, overrides.strategy, "--strategy");
  } else if (overrides.group_size != 0) {
    scheme.strategy = Strategy::kGroup;
  }
  if (scheme.strategy != Strategy::kGroup) {
    if (overrides.group_size != 0) {
      throw usage_error("--group-size does not go with --strategy " + overrides.strategy);
    }
    scheme.group = 0;
    return;
  }
  if (overrides.group_size != 0) set_group(scheme, overrides.group_size);
  if (scheme.group == 0) scheme.group = 128;
}

void set_symmetry(Scheme& scheme, const SchemeOverrides& overrides) {
  if (overrides.symmetric && overrides.asymmetric) {
    throw usage_error("--symmetric and --asymmetric exclude each other");
  }
  if (overrides.symmetric) scheme.symmetric = true;
  if (overrides.asymmetric) scheme.symmetric = false;
}

void check_combination(const Scheme& scheme) {
  if (scheme.kind == SchemeKind::kFloat8 && !scheme.symmetric) {
    throw usage_error("fp8 has no zero points: --asymmetric needs an integer scheme");
  }
  if (!scheme.symmetric && scheme.strategy == Strategy::kTensor) {
    throw usage_error("--asymmetric needs --strategy channel or group");
  }
  if (scheme.quantize_input && scheme.strategy == Strategy::kGroup) {
    throw usage_error("a scheme with 8-bit activations needs --strategy channel or tensor");
  }
  if (scheme.quantize_input && (scheme.bits != 8 || !scheme.symmetric)) {
    throw usage_error(
        "a scheme with 8-bit activations has 8-bit symmetric weights; for other "
        "--bits start from w4a16");
  }
}

}  // namespace

std::vector<SchemeHelp> scheme_table() {
  std::vector<SchemeHelp> rows;
  for (const SchemeRow& row : kSchemes) {
    rows.push_back({std::string(row.name), std::string(row.help)});
  }
  return rows;
}

std::vector<std::string> scheme_names() {
  std::vector<std::string> names;
  for (const SchemeRow& row : kSchemes) names.emplace_back(row.name);
  return names;
}

Scheme find_scheme(const std::string& name) {
  std::string known;
  for (const SchemeRow& row : kSchemes) {
    if (row.name == name) {
      return {.name = name,
              .kind = row.kind,
              .bits = row.bits,
              .symmetric = row.symmetric,
              .strategy = row.strategy,
              .group = row.group,
              .quantize_input = row.quantize_input,
              .type = row.type};
    }
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  throw usage_error("scheme '" + name + "' is not known; known: " + known);
}

Scheme with_overrides(const Scheme& scheme, const SchemeOverrides& overrides) {
  if (!overrides.any()) return scheme;
  if (!scheme.scaled()) {
    throw usage_error(
        "--bits, --group-size, --strategy, --range and their like do not go with scheme " +
        scheme.name);
  }
  Scheme result = scheme;
  if (overrides.bits != 0) {
    if (scheme.kind == SchemeKind::kFloat8 && overrides.bits != 8) {
      throw usage_error("fp8 has 8 bits; for others start from an integer scheme");
    }
    if (overrides.bits < 2 || overrides.bits > 8 || overrides.bits == 7) {
      throw usage_error("--bits " + std::to_string(overrides.bits) + " is not 2, 3, 4, 5, 6 or 8");
    }
    result.bits = static_cast<int>(overrides.bits);
  }
  set_strategy(result, overrides);
  set_symmetry(result, overrides);
  if (!overrides.range.empty()) result.range = lookup(kRanges, overrides.range, "--range");
  if (!overrides.percentile.empty()) {
    if (result.range != RangeKind::kPercentile) {
      throw usage_error("--percentile goes with --range percentile");
    }
    result.percentile = parse_percentile(overrides.percentile);
  }
  check_combination(result);
  result.name = describe(result);
  return result;
}

std::string describe(const Scheme& scheme) {
  if (scheme.kind == SchemeKind::kKeep) return "as it is";
  if (scheme.kind == SchemeKind::kCast) return std::string(name(scheme.type));
  std::string text =
      scheme.kind == SchemeKind::kFloat8 ? "fp8" : "int" + std::to_string(scheme.bits);
  if (scheme.strategy == Strategy::kTensor) text += " tensor";
  if (scheme.strategy == Strategy::kChannel) text += " channel";
  if (scheme.strategy == Strategy::kGroup) text += " group " + std::to_string(scheme.group);
  if (!scheme.symmetric) text += " asym";
  for (const auto& row : kRanges) {
    if (row.value == scheme.range) text += " " + std::string(row.name);
  }
  if (scheme.quantize_input) text += ", 8-bit activations";
  return text;
}

}  // namespace hone
