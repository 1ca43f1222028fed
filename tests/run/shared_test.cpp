// Trained models from $HONE_SHARED against reference.json: losses, logits and greedy ids computed
// in float64 by an independent implementation.
#include <chrono>

#include "libcommon/base/error.h"
#include "libcommon/run/batch.h"
#include "libcommon/run/perplexity.h"
#include "libcommon/run/sampler.h"
#include "libcommon/text/tokenizer.h"
#include "tests/run/models.h"

namespace hone {
namespace {

using namespace test;  // NOLINT

struct SharedModel {
  const char* path;
  const char* key;  // in reference.json
  double logits;    // how near the top logits must be
  int64_t context;  // to which the reference cut its texts; the GGUF file itself allows more
};

constexpr SharedModel kModels[] = {
    {"models/stories260K-hf-llama", "stories260K", 2e-5, 512},
    {"models/stories260K/stories260K.gguf", "stories260K", 2e-5, 512},
    {"models/tinystories656K-hf", "TinyStories-656K", 2e-5, 512},
};

std::string path_of(const SharedModel& model) { return shared(model.path).value(); }

Json reference(const SharedModel& model) {
  return read_json(*shared("models/reference.json")).at(model.key);
}

TEST_CASE("trained models have the reference's top logits and greedy ids") {
  if (!shared("models")) return;
  for (const SharedModel& shared_model : kModels) {
    CAPTURE(std::string(shared_model.path));
    const Json expected = reference(shared_model);
    const auto session = Session::create(load(path_of(shared_model)), {.device = "cpu"});
    const std::vector<int32_t> prompt = expected.at("prompt_ids");
    const std::vector<float> logits = copy(session->step(steps(prompt)));
    const auto last = std::span(logits).last(static_cast<size_t>(session->vocab()));
    for (const Json& pair : expected.at("last_logits_top5")) {
      const double value = pair.at(1);
      CHECK(std::fabs(last[pair.at(0).get<size_t>()] - value) <= shared_model.logits * value);
    }
    const std::vector<int32_t> greedy_ids = expected.at("greedy_64_ids");
    const GenerateRequest request = {.ids = prompt,
                                     .max_new = static_cast<int64_t>(greedy_ids.size())};
    CHECK(generate(*session, {&request, 1})[0].ids == greedy_ids);
  }
}

// Parts 1 to `count` of the file: part 0, which the excerpt may have cut, is left out.
std::vector<std::string> stories(size_t count) {
  const std::string text = read_text(*shared("text/tinystories_train_sample_2M.txt"));
  std::vector<std::string> result;
  static constexpr std::string_view kEnd = "<|endoftext|>";
  for (size_t begin = 0; begin < text.size() && result.size() <= count;) {
    const size_t end = std::min(text.find(kEnd, begin), text.size());
    std::string story = text.substr(begin, end - begin);
    story.erase(0, story.find_first_not_of(" \n\r\t"));
    story.erase(story.find_last_not_of(" \n\r\t") + 1);
    result.push_back(std::move(story));
    begin = end + kEnd.size();
  }
  result.erase(result.begin());
  return result;
}

#ifdef NDEBUG
constexpr bool kOptimised = true;
#else
constexpr bool kOptimised = false;
#endif

TEST_CASE("trained models have the reference's loss on 60 stories") {
  if (!shared("models")) return;
  for (const SharedModel& shared_model : kModels) {
    CAPTURE(std::string(shared_model.path));
    const Json expected = reference(shared_model).at("eval");
    const auto model = load(path_of(shared_model));
    std::unique_ptr<Tokenizer> tokenizer;
    try {
      tokenizer = Tokenizer::from_files(model->files, model->subject);
    } catch (const Error& error) {
      MESSAGE("skipped: " << std::string(error.what()));
      continue;
    }
    std::vector<std::vector<int32_t>> documents;
    for (const std::string& story : stories(kOptimised ? 60 : 1)) {
      documents.push_back(tokenizer->encode(story, false));
    }
    const auto session = Session::create(model, {.device = "cpu"});
    const auto windows = document_windows(documents, tokenizer->bos(), shared_model.context);
    const std::vector<int32_t> first_ids = expected.at("story1_first_ids");
    REQUIRE(windows[0].ids.size() >= first_ids.size());
    CHECK(std::equal(first_ids.begin(), first_ids.end(), windows[0].ids.begin()));
    const PerplexityResult first = perplexity(*session, {&windows[0], 1});
    CHECK(first.nll.mean * static_cast<double>(first.nll.count) ==
          doctest::Approx(expected.at("nll_story1_sum").get<double>()).epsilon(1e-5));
    if (!kOptimised) continue;
    const PerplexityResult all = perplexity(*session, windows);
    CHECK(all.nll.mean == doctest::Approx(expected.at("mean_nll").get<double>()).epsilon(2e-6));
    CHECK(all.nll.count == expected.at("tokens").get<int64_t>());
  }
}

}  // namespace
}  // namespace hone
