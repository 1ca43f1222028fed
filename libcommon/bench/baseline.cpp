#include "libcommon/bench/baseline.h"

#include <cstdlib>

#include "libcommon/base/error.h"

namespace hone {
namespace {

std::string identity(const Json& row) {
  std::string text;
  for (const char* key : {"model", "test", "threads", "batch"}) {
    const auto found = row.find(key);
    if (found == row.end()) continue;
    text += (text.empty() ? "" : " | ") +
            (found->is_string() ? found->get<std::string>() : key + (" " + found->dump()));
  }
  return text;
}

double field(const Json& row, const char* key, const std::string& subject) {
  const auto found = row.find(key);
  if (found == row.end() || !found->is_number()) {
    throw Error(subject + ": a result has no number '" + key +
                "'; not a file written by hone-benchmark --json?");
  }
  return found->get<double>();
}

Verdict judge(const Json& now, const Json& then, double max_slowdown, const std::string& subject) {
  const double ratio =
      field(now, "tokens_per_second", subject) / field(then, "tokens_per_second", subject);
  const bool apart_below = field(now, "high", subject) < field(then, "low", subject);
  const bool apart_above = field(now, "low", subject) > field(then, "high", subject);
  if (ratio < 1 - max_slowdown) return apart_below ? Verdict::kSlower : Verdict::kUndecided;
  return ratio > 1 + max_slowdown && apart_above ? Verdict::kFaster : Verdict::kSame;
}

}  // namespace

std::string verdict_name(Verdict verdict) {
  static constexpr const char* kNames[] = {"same", "faster", "SLOWER", "undecided", "new"};
  return kNames[static_cast<size_t>(verdict)];
}

std::vector<Comparison> compare_to_baseline(const std::vector<Json>& rows, const Json& baseline,
                                            double max_slowdown, const std::string& subject) {
  const auto results = baseline.find("results");
  if (results == baseline.end() || !results->is_array()) {
    throw Error(subject + ": no list 'results'; not a file written by hone-benchmark --json?");
  }
  std::vector<Comparison> comparisons;
  for (const Json& row : rows) {
    Comparison comparison{.test = identity(row), .ratio = 0, .verdict = Verdict::kNew};
    for (const Json& old : *results) {
      if (!old.is_object() || identity(old) != comparison.test) continue;
      comparison.ratio =
          field(row, "tokens_per_second", subject) / field(old, "tokens_per_second", subject);
      comparison.verdict = judge(row, old, max_slowdown, subject);
    }
    comparisons.push_back(comparison);
  }
  return comparisons;
}

std::string machine_change(const Json& baseline, const Json& machine) {
  const auto found = baseline.find("machine");
  if (found == baseline.end() || !found->is_object()) return "";
  std::string changes;
  for (const char* key : {"cpu", "cores"}) {
    const auto then = found->find(key);
    if (then == found->end() || *then == machine.at(key)) continue;
    changes += (changes.empty() ? "" : ", ") + std::string(key) + " " + then->dump() + ", now " +
               machine.at(key).dump();
  }
  return changes;
}

double parse_share(const std::string& text, const std::string& option) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  const std::string rest = end;
  const double share = rest == "%" ? number / 100 : number;
  if (end == text.c_str() || !(rest.empty() || rest == "%") || !(share >= 0 && share < 1)) {
    throw usage_error(option + " '" + text + "' is not a share; write 5% or 0.05");
  }
  return share;
}

}  // namespace hone
