// Quality of a model on a text, as JSON rows: perplexity by a stated protocol, and the distance to
// another model's predictions. Every figure carries what it depends on: context, stride, the text's
// hash, the number of tokens.
#pragma once

#include <string>

#include "libcommon/io/json.h"
#include "libcommon/run/engine.h"
#include "libcommon/run/perplexity.h"

namespace hone {

struct QualityOptions {
  std::string split;        // documents are separated by this mark; "": one text
  int64_t context = 0;      // 0: 2048, or what the model has
  int64_t stride = 0;       // 0: context
  int64_t max_windows = 0;  // 0: all
};

// The text's windows for this model's tokenizer. Documents are stripped of white space at both
// ends.
std::vector<TextWindow> quality_windows(const Engine& engine, const std::string& text,
                                        const QualityOptions& options);

// {"model", "text", "text_xxh3", "protocol", "context", "stride", "windows", "tokens",
//  "mean_nll", "mean_nll_se", "perplexity", "perplexity_se", "tokens_per_second"}
Json perplexity_row(Engine& engine, const std::string& name, const std::string& text,
                    const QualityOptions& options);

// As above for `engine`, and against `base`: "kl_mean", "kl_mean_se", "kl_median", "kl_99th",
// "kl_max", "same_top", "same_top_se", "base_perplexity", "perplexity_ratio", "nll_difference",
// "nll_difference_se".
Json comparison_row(Engine& base, Engine& engine, const std::string& name, const std::string& text,
                    const QualityOptions& options);

std::string quality_line(const Json& row);  // for people

}  // namespace hone
