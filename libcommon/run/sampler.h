// How the next token is chosen from logits: the options, and what the op `sample` makes of them
// (kernels/sample.h). The draw is a pure function of (seed, stream, position), so a text does not
// depend on what is decoded beside it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "kernels/sample.h"

namespace hone {

struct SamplerOptions {
  double temperature = 0.0;         // 0: greedy; the lowest id wins a tie
  int64_t top_k = 0;                // keep the k likeliest; 0: all. Ties at the edge: lowest ids
  double top_p = 1.0;               // keep the fewest likeliest that together have p or more
  double min_p = 0.0;               // keep those at least min_p times as likely as the likeliest
  double repetition_penalty = 1.0;  // logits of ids seen: divided by it if > 0, else multiplied
                                    // (Keskar et al., "CTRL", arXiv 1909.05858, section 4.1)
  int64_t penalty_window = 0;  // ids seen: the last so many of the text; 0: all, the prompt too
  uint64_t seed = 0;
  uint64_t stream = 0;  // tells apart texts that share a seed
};

// Throws Error(kUsage) for a value outside its range, naming the option ("--top-p 1.5: ...").
void check_sampler_options(const SamplerOptions& options);

// Options that differ from their defaults and choose among tokens, which needs a temperature:
// "--top-k, --seed"; "" for none.
std::string options_of_draws(const SamplerOptions& options);

// The draw of the token that follows a text of `length` ids; `text`: those that are penalised are
// not filled in.
SampleRow sample_row(const SamplerOptions& options, size_t length);
// Of the text, the ids that are penalised; none where no penalty is.
std::span<const int32_t> penalised_ids(const SamplerOptions& options,
                                       std::span<const int32_t> text);

// Throws Error(kBadInput) when a logit is NaN or positive infinity or none is finite: what the op
// refuses, in words. position: of the token that they would choose.
void check_logits(std::span<const float> logits, size_t position);

// True where the largest logit is taken as it is: greedy().
bool is_greedy(const SamplerOptions& options);

// The largest logit's id, the lowest of equals.
int32_t greedy(std::span<const float> logits);

// log softmax(logits)[id], natural logarithm, of the unmodified logits; sums in double.
double log_probability(std::span<const float> logits, int32_t id);

}  // namespace hone
