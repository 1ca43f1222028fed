// How well a model predicts a text, and how far two models' predictions lie apart.
//
// Perplexity is exp(mean negative log-likelihood per predicted token). A text is cut into windows;
// each is predicted from its own first token on, without what came before it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "libcommon/run/session.h"

namespace hone {

struct TextWindow {
  std::vector<int32_t> ids;
  int64_t first_scored = 1;  // ids[first_scored ..] are predicted, each from all ids before it
};

// Windows of `context` ids, each `stride` further on. stride == context: the WikiText protocol of
// GPTQ and its successors (Frantar et al., arXiv 2210.17323): no overlap, all but the first id of a
// window are scored, a rest shorter than context is dropped unless it is all there is.
// stride < context: only ids that no window before has scored (the protocol of transformers'
// perplexity guide), rest included. Throws Error(kUsage) where 1 <= stride <= context, context >= 2
// does not hold, and Error(kBadInput) for fewer than 2 ids.
std::vector<TextWindow> text_windows(std::span<const int32_t> ids, int64_t context, int64_t stride);

// One window for each document, bos in front of it where given, cut to `context` ids. Documents
// with nothing to predict give none.
std::vector<TextWindow> document_windows(const std::vector<std::vector<int32_t>>& documents,
                                         std::optional<int32_t> bos, int64_t context);

// Mean of a quantity per token, with the standard error of that mean (tokens taken as independent).
struct MeanValue {
  int64_t count = 0;
  double mean = 0;
  double standard_error = 0;
};

struct PerplexityResult {
  MeanValue nll;  // nats per token
  double seconds = 0;
  int64_t tokens_run = 0;
  double perplexity() const;
  double perplexity_standard_error() const;  // perplexity * standard error of the mean nll
};

using WindowProgress = std::function<void(size_t windows_done)>;

PerplexityResult perplexity(Session& session, std::span<const TextWindow> windows,
                            const WindowProgress& progress = {});

// KL(base || other) per predicted token, and how often both have the same likeliest token. Both
// models see the same ids; their vocabularies must have the same size (Error kBadInput).
struct ComparisonResult {
  PerplexityResult base;
  PerplexityResult other;
  MeanValue kl;  // nats
  double kl_median = 0;
  double kl_99th = 0;
  double kl_max = 0;
  MeanValue same_top;        // share in 0..1
  MeanValue nll_difference;  // other - base, paired per token
};
ComparisonResult compare_predictions(Session& base, Session& other,
                                     std::span<const TextWindow> windows,
                                     const WindowProgress& progress = {});

}  // namespace hone
