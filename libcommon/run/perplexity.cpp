#include "libcommon/run/perplexity.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"
#include "libcommon/base/clock.h"
#include "libcommon/base/error.h"
#include "libcommon/run/sampler.h"

namespace hone {
namespace {

// Logits of one call of step() stay below this: 512 tokens of a 128 k vocabulary would be 268 MB.
constexpr int64_t kLogitBytes = 64 << 20;

// Welford's running mean and variance ("Note on a method for calculating corrected sums of squares
// and products", Technometrics 1962).
class Accumulator {
 public:
  void add(double x) {
    ++count_;
    const double delta = x - mean_;
    mean_ += delta / static_cast<double>(count_);
    squares_ += delta * (x - mean_);
  }

  MeanValue result() const {
    MeanValue value = {.count = count_, .mean = mean_};
    if (count_ > 1) {
      const auto n = static_cast<double>(count_);
      value.standard_error = std::sqrt(squares_ / (n - 1) / n);
    }
    return value;
  }

 private:
  int64_t count_ = 0;
  double mean_ = 0;
  double squares_ = 0;
};

// Tokens of a window that may go into one call of step().
int64_t call_tokens(const Session& session, int64_t window) {
  const ModelSpec& spec = session.model().spec;
  const bool whole = spec.positions == PositionKind::kRope &&
                     spec.rope.scaling == RopeScaling::kDynamic && window > spec.context;
  if (whole) return window;  // the frequencies are those of the call: see session.h
  const int64_t row = session.vocab() * static_cast<int64_t>(sizeof(float));
  return std::clamp<int64_t>(kLogitBytes / row, 1, session.options().max_batch_tokens);
}

// Runs ids[begin, begin + count) and returns the logits of those that predict a scored id.
std::span<const float> run_part(Session& session, const TextWindow& window, int64_t begin,
                                int64_t count) {
  std::vector<StepToken> tokens;
  for (int64_t i = begin; i < begin + count; ++i) {
    tokens.push_back({.id = window.ids[static_cast<size_t>(i)],
                      .sequence = 0,
                      .position = static_cast<int32_t>(i),
                      .wants_logits = i + 1 >= window.first_scored});
  }
  return session.step(tokens);
}

// A visit of each scored id: visit(i, rows) with i its index in the window, rows its logits in each
// session.
template <typename Visit>
void for_each_scored(std::span<Session* const> sessions, const TextWindow& window, Visit visit) {
  CHECK(window.first_scored >= 1);
  const auto predicting = static_cast<int64_t>(window.ids.size()) - 1;  // the last predicts none
  int64_t part = predicting;
  for (Session* session : sessions) {
    session->reset(0);
    part = std::min(part, call_tokens(*session, predicting + 1));
  }
  const auto vocab = static_cast<size_t>(sessions[0]->vocab());
  std::vector<std::span<const float>> logits(sessions.size());
  std::vector<std::span<const float>> rows(sessions.size());
  for (int64_t begin = 0; begin < predicting; begin += part) {
    const int64_t count = std::min(part, predicting - begin);
    for (size_t s = 0; s < sessions.size(); ++s) {
      logits[s] = run_part(*sessions[s], window, begin, count);
    }
    size_t row = 0;
    for (int64_t i = std::max(begin + 1, window.first_scored); i <= begin + count; ++i, ++row) {
      for (size_t s = 0; s < sessions.size(); ++s) rows[s] = logits[s].subspan(row * vocab, vocab);
      visit(i, rows);
    }
  }
}

double nll_of(std::span<const float> logits, int32_t id) {
  const double nll = -log_probability(logits, id);
  if (std::isnan(nll)) {
    throw Error(
        "a logit is not a number: a weight is NaN or infinite, or an activation overflowed");
  }
  return nll;
}

// log of the sum of exponentials: log-probability = logit - this.
double log_normaliser(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return top + std::log(sum);
}

double kl_divergence(std::span<const float> base, std::span<const float> other) {
  const double base_norm = log_normaliser(base);
  const double other_norm = log_normaliser(other);
  double sum = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    const double log_p = base[i] - base_norm;
    const double p = std::exp(log_p);
    if (p > 0) sum += p * (log_p - (other[i] - other_norm));
  }
  return std::max(sum, 0.0);  // rounding only: KL is never negative
}

double quantile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  const auto at = static_cast<ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<size_t>(at)];
}

}  // namespace

std::vector<TextWindow> text_windows(std::span<const int32_t> ids, int64_t context,
                                     int64_t stride) {
  if (context < 2) throw usage_error("--context must be at least 2 to predict anything");
  if (stride < 1 || stride > context) throw usage_error("--stride must be from 1 to the context");
  const auto total = static_cast<int64_t>(ids.size());
  if (total < 2) throw Error("--text: fewer than 2 tokens, nothing to predict");
  std::vector<TextWindow> windows;
  int64_t scored_to = 1;  // ids before this have been scored; the very first never is
  for (int64_t begin = 0; begin < total; begin += stride) {
    const int64_t end = std::min(begin + context, total);
    const bool rest = end - begin < context;
    if (rest && stride == context && !windows.empty()) break;
    const int64_t first = stride == context ? begin + 1 : std::max(scored_to, begin + 1);
    if (first < end) {
      windows.push_back({{ids.begin() + begin, ids.begin() + end}, first - begin});
    }
    scored_to = end;
    if (end == total) break;
  }
  return windows;
}

std::vector<TextWindow> document_windows(const std::vector<std::vector<int32_t>>& documents,
                                         std::optional<int32_t> bos, int64_t context) {
  std::vector<TextWindow> windows;
  for (const std::vector<int32_t>& document : documents) {
    TextWindow window;
    if (bos) window.ids.push_back(*bos);
    window.ids.insert(window.ids.end(), document.begin(), document.end());
    if (static_cast<int64_t>(window.ids.size()) > context) {
      window.ids.resize(static_cast<size_t>(context));
    }
    if (window.ids.size() >= 2) windows.push_back(std::move(window));
  }
  if (windows.empty()) throw Error("--text: no document has 2 tokens, nothing to predict");
  return windows;
}

double PerplexityResult::perplexity() const { return std::exp(nll.mean); }
double PerplexityResult::perplexity_standard_error() const {
  return perplexity() * nll.standard_error;
}

PerplexityResult perplexity(Session& session, std::span<const TextWindow> windows,
                            const WindowProgress& progress) {
  const Clock::time_point start = Clock::now();
  PerplexityResult result;
  Accumulator nll;
  Session* const sessions[] = {&session};
  for (size_t w = 0; w < windows.size(); ++w) {
    for_each_scored(sessions, windows[w], [&](int64_t i, const auto& rows) {
      nll.add(nll_of(rows[0], windows[w].ids[static_cast<size_t>(i)]));
    });
    result.tokens_run += static_cast<int64_t>(windows[w].ids.size()) - 1;
    if (progress) progress(w + 1);
  }
  result.nll = nll.result();
  result.seconds = seconds_since(start);
  return result;
}

ComparisonResult compare_predictions(Session& base, Session& other,
                                     std::span<const TextWindow> windows,
                                     const WindowProgress& progress) {
  if (base.vocab() != other.vocab()) {
    throw Error(other.model().subject + ": vocabulary of " + std::to_string(other.vocab()) +
                " ids, " + base.model().subject + " has " + std::to_string(base.vocab()) +
                ": their predictions cannot be compared");
  }
  const Clock::time_point start = Clock::now();
  ComparisonResult result;
  Accumulator base_nll, other_nll, difference, kl, same;
  std::vector<double> kls;
  Session* const sessions[] = {&base, &other};
  for (size_t w = 0; w < windows.size(); ++w) {
    for_each_scored(sessions, windows[w], [&](int64_t i, const auto& rows) {
      const int32_t id = windows[w].ids[static_cast<size_t>(i)];
      const double a = nll_of(rows[0], id);
      const double b = nll_of(rows[1], id);
      base_nll.add(a);
      other_nll.add(b);
      difference.add(b - a);
      kls.push_back(kl_divergence(rows[0], rows[1]));
      kl.add(kls.back());
      same.add(greedy(rows[0]) == greedy(rows[1]) ? 1 : 0);
    });
    result.base.tokens_run += static_cast<int64_t>(windows[w].ids.size()) - 1;
    if (progress) progress(w + 1);
  }
  result.base.nll = base_nll.result();
  result.other.nll = other_nll.result();
  result.other.tokens_run = result.base.tokens_run;
  result.base.seconds = result.other.seconds = seconds_since(start);
  result.kl = kl.result();
  result.same_top = same.result();
  result.nll_difference = difference.result();
  result.kl_median = quantile(kls, 0.5);
  result.kl_99th = quantile(kls, 0.99);
  result.kl_max = quantile(kls, 1.0);
  return result;
}

}  // namespace hone
