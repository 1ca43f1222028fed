#include "libcommon/run/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <unordered_set>
#include <vector>

#include "kernels/check.h"
#include "libcommon/base/error.h"
#include "libcommon/base/rng.h"

namespace hone {
namespace {

struct Choice {
  int32_t id;
  double logit;            // after penalty and temperature
  double probability = 0;  // relative to the likeliest until normalised
};

[[noreturn]] void refuse(const std::string& option, double value, const std::string& range) {
  std::string number = std::to_string(value);
  while (number.ends_with('0')) number.pop_back();
  if (number.ends_with('.')) number.pop_back();
  throw usage_error(option + " " + number + ": must be " + range);
}

// Likeliest first; of equals the lowest id.
bool likelier(const Choice& a, const Choice& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// HF semantics: an id counts once however often it was seen.
void penalise(std::vector<Choice>& choices, std::span<const int32_t> text,
              const SamplerOptions& options) {
  if (options.repetition_penalty == 1.0) return;
  const auto window = static_cast<size_t>(options.penalty_window);
  if (window > 0 && text.size() > window) text = text.last(window);
  const std::unordered_set<int32_t> seen(text.begin(), text.end());
  for (int32_t id : seen) {
    if (id < 0 || static_cast<size_t>(id) >= choices.size()) continue;
    double& logit = choices[static_cast<size_t>(id)].logit;
    logit = logit > 0 ? logit / options.repetition_penalty : logit * options.repetition_penalty;
  }
}

void check_finite(std::span<const float> logits, size_t position) {
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

// Keeps the k likeliest, in order.
void keep_top_k(std::vector<Choice>& choices, int64_t k) {
  if (k <= 0 || k >= static_cast<int64_t>(choices.size())) return;
  std::partial_sort(choices.begin(), choices.begin() + k, choices.end(), likelier);
  choices.resize(static_cast<size_t>(k));
}

void normalise(std::vector<Choice>& choices) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const Choice& choice : choices) largest = std::max(largest, choice.logit);
  double sum = 0;
  for (Choice& choice : choices) sum += choice.probability = std::exp(choice.logit - largest);
  for (Choice& choice : choices) choice.probability /= sum;
}

// Takes the likeliest from a heap until they reach p: few of a vocabulary of 128 k, as a rule, so
// that it need not be sorted. Probabilities are normalised.
void keep_top_p(std::vector<Choice>& choices, double p) {
  if (p >= 1.0) return;
  const auto below = [](const Choice& a, const Choice& b) { return likelier(b, a); };
  std::make_heap(choices.begin(), choices.end(), below);
  std::vector<Choice> kept;
  double sum = 0;
  for (auto end = choices.end(); end != choices.begin() && (kept.empty() || sum < p); --end) {
    std::pop_heap(choices.begin(), end, below);
    kept.push_back(*(end - 1));
    sum += kept.back().probability;
  }
  choices = std::move(kept);
}

void keep_min_p(std::vector<Choice>& choices, double min_p) {
  if (min_p <= 0.0) return;
  double largest = 0;
  for (const Choice& choice : choices) largest = std::max(largest, choice.probability);
  std::erase_if(choices,
                [&](const Choice& choice) { return choice.probability < min_p * largest; });
}

int32_t draw(const std::vector<Choice>& choices, double uniform) {
  double sum = 0;
  for (const Choice& choice : choices) sum += choice.probability;
  double left = uniform * sum;
  for (const Choice& choice : choices) {
    left -= choice.probability;
    if (left < 0) return choice.id;
  }
  return choices.back().id;  // rounding: the sum of the parts fell short of the whole
}

int32_t largest(const std::vector<Choice>& choices) {
  return std::min_element(choices.begin(), choices.end(), likelier)->id;
}

}  // namespace

void check_sampler_options(const SamplerOptions& o) {
  if (!(o.temperature >= 0) || std::isinf(o.temperature)) {
    refuse("--temperature", o.temperature, "0 (greedy) or more");
  }
  if (o.top_k < 0) refuse("--top-k", static_cast<double>(o.top_k), "0 (all) or more");
  if (!(o.top_p > 0 && o.top_p <= 1)) refuse("--top-p", o.top_p, "above 0 and at most 1");
  if (!(o.min_p >= 0 && o.min_p <= 1)) refuse("--min-p", o.min_p, "from 0 to 1");
  if (!(o.repetition_penalty > 0) || std::isinf(o.repetition_penalty)) {
    refuse("--repetition-penalty", o.repetition_penalty, "above 0; 1 is none");
  }
  if (o.penalty_window < 0) {
    refuse("--penalty-window", static_cast<double>(o.penalty_window), "0 (all) or more");
  }
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

int32_t sample(std::span<const float> logits, std::span<const int32_t> text,
               const SamplerOptions& options) {
  CHECK(!logits.empty());
  check_finite(logits, text.size());
  if (is_greedy(options)) return greedy(logits);
  std::vector<Choice> choices(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) choices[i] = {static_cast<int32_t>(i), logits[i]};
  penalise(choices, text, options);
  if (options.temperature == 0) return largest(choices);
  for (Choice& choice : choices) choice.logit /= options.temperature;
  keep_top_k(choices, options.top_k);
  normalise(choices);
  keep_top_p(choices, options.top_p);
  keep_min_p(choices, options.min_p);
  return draw(choices, random_uniform(options.seed, options.stream, text.size()));
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
