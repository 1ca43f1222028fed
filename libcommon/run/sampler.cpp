#include "libcommon/run/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "kernels/check.h"
#include "libcommon/base/error.h"

namespace hone {
namespace {

[[noreturn]] void refuse(const std::string& option, double value, const std::string& range) {
  std::string number = std::to_string(value);
  while (number.ends_with('0')) number.pop_back();
  if (number.ends_with('.')) number.pop_back();
  throw usage_error(option + " " + number + ": must be " + range);
}

}  // namespace

void check_sampler_options(const SamplerOptions& o) {
  if (!(o.temperature >= 0) || std::isinf(o.temperature)) {
    refuse("--temperature", o.temperature, "0 (greedy) or more, and finite");
  }
  if (o.top_k < 0) refuse("--top-k", static_cast<double>(o.top_k), "0 (all) or more");
  if (!(o.top_p > 0 && o.top_p <= 1)) refuse("--top-p", o.top_p, "above 0 and at most 1");
  if (!(o.min_p >= 0 && o.min_p <= 1)) refuse("--min-p", o.min_p, "from 0 to 1");
  if (!(o.repetition_penalty > 0) || std::isinf(o.repetition_penalty)) {
    refuse("--repetition-penalty", o.repetition_penalty, "above 0 and finite; 1 is none");
  }
  if (o.penalty_window < 0) {
    refuse("--penalty-window", static_cast<double>(o.penalty_window), "0 (all) or more");
  }
}

std::string options_of_draws(const SamplerOptions& o) {
  std::string given;
  for (const auto& [is_given, flag] : {std::pair{o.top_k != 0, "--top-k"},
                                       {o.top_p != 1, "--top-p"},
                                       {o.min_p != 0, "--min-p"},
                                       {o.seed != 0, "--seed"}}) {
    if (is_given) given += (given.empty() ? "" : ", ") + std::string(flag);
  }
  return given;
}

bool is_greedy(const SamplerOptions& options) {
  return options.temperature == 0 && options.repetition_penalty == 1.0;
}

int32_t greedy(std::span<const float> logits) {
  CHECK(!logits.empty());
  size_t best = 0;
  for (size_t i = 1; i < logits.size(); ++i) {
    if (logits[i] > logits[best]) best = i;
  }
  return static_cast<int32_t>(best);
}

void check_logits(std::span<const float> logits, size_t position) {
  bool any_finite = false;
  for (float logit : logits) {
    if (std::isnan(logit) || logit == std::numeric_limits<float>::infinity()) {
      throw Error(
          "the logits at position " + std::to_string(position) +
          " are not finite numbers: a weight is NaN or infinite, or an activation overflowed");
    }
    any_finite = any_finite || std::isfinite(logit);
  }
  if (!any_finite) {
    throw Error("no logit at position " + std::to_string(position) +
                " is finite: a weight is infinite, or an activation overflowed");
  }
}

SampleRow sample_row(const SamplerOptions& options, size_t length) {
  // A float that has a reciprocal.
  const double penalty = std::clamp(options.repetition_penalty, 1e-38, 1e38);
  return {.scale = options.temperature > 0 ? distance_scale(options.temperature) : 0,
          .repetition_penalty = static_cast<float>(penalty),
          .top_k = options.top_k,
          .top_p = options.top_p,
          .farthest = distance_of(options.min_p),
          .seed = options.seed,
          .stream = options.stream,
          .index = length};
}

std::span<const int32_t> penalised_ids(const SamplerOptions& options,
                                       std::span<const int32_t> text) {
  if (options.repetition_penalty == 1.0) return {};
  const auto window = static_cast<size_t>(options.penalty_window);
  return window > 0 && text.size() > window ? text.last(window) : text;
}

double log_probability(std::span<const float> logits, int32_t id) {
  CHECK(id >= 0 && static_cast<size_t>(id) < logits.size());
  double top = -std::numeric_limits<double>::infinity();
  for (float logit : logits) top = std::max(top, static_cast<double>(logit));
  double sum = 0;
  for (float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return static_cast<double>(logits[static_cast<size_t>(id)]) - top - std::log(sum);
}

}  // namespace hone
