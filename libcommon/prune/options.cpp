#include "libcommon/prune/options.h"

#include <cmath>
#include <cstdlib>
#include <optional>

#include "libcommon/base/error.h"

namespace hone {
namespace {

std::optional<double> parse_number(const std::string& text, const std::string& option) {
  if (text.empty()) return std::nullopt;
  char* end = nullptr;
  double value = std::strtod(text.c_str(), &end);
  std::string rest = end;
  if (rest == "%") {
    value /= 100;
    rest.clear();
  }
  if (end == text.c_str() || !rest.empty() || !std::isfinite(value)) {
    throw usage_error(option + " '" + text + "' is not a number");
  }
  return value;
}

std::optional<NeighbourGroups> parse_groups(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos) return std::nullopt;
  char* end = nullptr;
  NeighbourGroups groups;
  groups.keep = std::strtol(text.c_str(), &end, 10);
  const bool keep_read = end == text.c_str() + colon && colon > 0;
  groups.total = std::strtol(text.c_str() + colon + 1, &end, 10);
  const bool total_read = *end == '\0' && colon + 1 < text.size();
  if (!keep_read || !total_read || groups.keep < 1 || groups.total <= groups.keep ||
      groups.total > 32) {
    throw usage_error("--pattern '" + text +
                      "': N:M keeps N of each M neighbours, 1 <= N < M <= 32, as in 2:4");
  }
  return groups;
}

std::optional<StructureKind> parse_structure(const std::string& text) {
  if (text == "rows") return StructureKind::kRows;
  if (text == "heads") return StructureKind::kHeads;
  if (text == "ffn") return StructureKind::kFfn;
  if (text == "layers") return StructureKind::kLayers;
  return std::nullopt;
}

Scope parse_scope(const std::string& text) {
  if (text.empty() || text == "tensor") return Scope::kTensor;
  if (text == "layer") return Scope::kLayer;
  if (text == "global") return Scope::kGlobal;
  throw usage_error("--scope '" + text + "' is not known; known: tensor, layer, global");
}

void set_pattern(const PruneOptions& options, PruneRequest& request) {
  if (options.pattern == "unstructured") {
    request.pattern = PatternKind::kUnstructured;
  } else if (const auto groups = parse_groups(options.pattern)) {
    request.pattern = PatternKind::kGroups;
    request.groups = *groups;
  } else if (const auto kind = parse_structure(options.pattern)) {
    request.pattern = PatternKind::kStructured;
    request.structure.kind = *kind;
  } else {
    throw usage_error(
        "--pattern '" + options.pattern +
        "' is not known; known: unstructured, N:M (as 2:4), rows, heads, ffn, layers");
  }
}

void check_groups(const PruneOptions& options, const std::optional<double>& sparsity,
                  PruneRequest& request) {
  const double implied =
      1.0 - static_cast<double>(request.groups.keep) / static_cast<double>(request.groups.total);
  if (sparsity && std::fabs(*sparsity - implied) > 1e-9) {
    throw usage_error("--sparsity " + options.sparsity + " does not fit --pattern " +
                      options.pattern + "; leave it out");
  }
  if (!options.scope.empty()) {
    throw usage_error("--scope has no meaning with --pattern " + options.pattern);
  }
  request.sparsity = implied;
}

void check_amount(const PruneOptions& options, const std::optional<double>& sparsity,
                  PruneRequest& request) {
  if (!sparsity) throw usage_error("how much? give --sparsity P, a share from 0 to 1");
  if (*sparsity < 0 || *sparsity >= 1) {
    throw usage_error("--sparsity " + options.sparsity +
                      " is not a share of at least 0 and below 1");
  }
  request.sparsity = *sparsity;
}

}  // namespace

PruneRequest parse_prune_options(const PruneOptions& options) {
  PruneRequest request;
  set_pattern(options, request);
  request.score = &score_method(options.score);
  request.scope = parse_scope(options.scope);
  const std::optional<double> sparsity = parse_number(options.sparsity, "--sparsity");
  const std::optional<double> threshold = parse_number(options.threshold, "--threshold");
  if (options.norm != "l1" && options.norm != "l2") {
    throw usage_error("--norm '" + options.norm + "' is not known; known: l1, l2");
  }
  if (threshold && (request.pattern != PatternKind::kUnstructured || sparsity)) {
    throw usage_error("--threshold goes with --pattern unstructured and without --sparsity");
  }
  if (threshold && *threshold < 0) throw usage_error("--threshold must not be negative");
  const bool structured = request.pattern == PatternKind::kStructured;
  if (!structured && (options.norm != "l2" || options.round_to != 0)) {
    throw usage_error("--norm and --round-to have no meaning with --pattern " + options.pattern);
  }
  if (request.pattern == PatternKind::kGroups) {
    check_groups(options, sparsity, request);
  } else if (threshold) {
    request.has_threshold = true;
    request.threshold = *threshold;
  } else {
    check_amount(options, sparsity, request);
  }
  if (structured) {
    const StructureKind kind = request.structure.kind;
    if (options.round_to != 0 && kind != StructureKind::kFfn && kind != StructureKind::kRows) {
      throw usage_error("--round-to has no meaning with --pattern " + options.pattern);
    }
    const bool filtered = !options.include.empty() || !options.exclude.empty();
    if (filtered || !options.scope.empty()) {
      throw usage_error("--pattern " + options.pattern +
                        " removes the same share in every layer; --include, --exclude and --scope "
                        "do not go with it");
    }
    request.structure.sparsity = request.sparsity;
    request.structure.round_to = options.round_to;
    request.structure.l1 = options.norm == "l1";
    request.structure.score = request.score;
  }
  return request;
}

}  // namespace hone
