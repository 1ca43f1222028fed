// The regression gate: today's rows against an earlier run's. A slowdown counts only when it passes
// the threshold AND the two intervals do not overlap; what cannot be told is UNDECIDED, not a pass
// in disguise.
#pragma once

#include <string>
#include <vector>

#include "libcommon/io/json.h"

namespace hone {

enum class Verdict { kSame, kFaster, kSlower, kUndecided, kNew };
std::string verdict_name(Verdict verdict);  // "same", "faster", ...

struct Comparison {
  std::string test;  // the row's identity: model, test, threads, batch
  double ratio = 0;  // today's tokens/s over the baseline's
  Verdict verdict = Verdict::kSame;
};

// Rows carry "model", "test", "threads", "batch", "tokens_per_second", "low", "high".
// max_slowdown 0.05: 5 % fewer tokens per second are allowed.
std::vector<Comparison> compare_to_baseline(const std::vector<Json>& rows, const Json& baseline,
                                            double max_slowdown, const std::string& subject);

// What differs between the baseline's machine and this one ("machine" of --json), for a warning; ""
// where nothing does or the baseline tells of none.
std::string machine_change(const Json& baseline, const Json& machine);

// "5%" or "0.05" -> 0.05; usage error otherwise.
double parse_share(const std::string& text, const std::string& option);

}  // namespace hone
