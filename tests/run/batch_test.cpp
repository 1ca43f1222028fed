// Generation: many prompts side by side give what each gives alone, and every way to end.
#include "libcommon/run/batch.h"

#include "libcommon/base/error.h"
#include "tests/run/models.h"

namespace hone {
namespace {

using namespace test;  // NOLINT

std::vector<GenerateRequest> many_requests() {
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < 9; ++i) {
    GenerateRequest request;
    for (int k = 0; k <= i * 3 % 11; ++k) request.ids.push_back((i * 37 + k * 11) % 288);
    request.max_new = 5 + i;
    request.sampler = {.temperature = i % 2 ? 1.0 : 0.0, .seed = static_cast<uint64_t>(i)};
    request.log_probabilities = true;
    requests.push_back(std::move(request));
  }
  return requests;
}

std::unique_ptr<Session> open(int64_t sequences, const std::string& name = "tiny-llama") {
  return Session::create(load(testdata(name)), {.device = "cpu", .sequences = sequences});
}

TEST_CASE("prompts decoded together give what each gives alone, in order") {
  for (const std::string name : {"tiny-llama", "tiny-mistral", "tiny-bloom", "tiny-gpt2"}) {
    CAPTURE(name);
    const std::vector<GenerateRequest> requests = many_requests();
    const auto together = generate(*open(4, name), requests);
    const auto alone = open(1, name);
    REQUIRE(together.size() == requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      const auto single = generate(*alone, {&requests[i], 1});
      CHECK(together[i].ids == single[0].ids);
      CHECK(together[i].log_probabilities == single[0].log_probabilities);
      CHECK(together[i].ids.size() == static_cast<size_t>(requests[i].max_new));
      CHECK(together[i].finish == Finish::kLength);
    }
  }
}

TEST_CASE("the same text comes again after a reset") {
  const auto session = open(2);
  const std::vector<GenerateRequest> requests = many_requests();
  const auto first = generate(*session, requests);
  const auto second = generate(*session, requests);
  for (size_t i = 0; i < requests.size(); ++i) CHECK(first[i].ids == second[i].ids);
}

TEST_CASE("what the session knows of a prompt is not computed again, and changes nothing") {
  for (const std::string name :
       {"tiny-llama", "tiny-mistral", "tiny-bloom", "tiny-llama-dynamic"}) {
    CAPTURE(name);
    const auto session = open(1, name);
    GenerateRequest request = {.ids = {1, 2, 3, 4}, .max_new = 6, .log_probabilities = true};
    std::vector<int32_t> text = request.ids;
    const auto first = generate(*session, {&request, 1})[0].ids;
    text.insert(text.end(), first.begin(), first.end());
    for (const size_t kept : {text.size(), size_t{7}, size_t{0}}) {
      request.ids.assign(text.begin(), text.begin() + static_cast<ptrdiff_t>(kept));
      request.ids.insert(request.ids.end(), {9, 8, 7});
      request.known = {};
      const auto alone = generate(*open(1, name), {&request, 1})[0];
      request.known = text;
      GenerateStatistics statistics;
      const auto again = generate(*session, {&request, 1}, {.statistics = &statistics})[0];
      CHECK(again.ids == alone.ids);
      CHECK(again.log_probabilities == alone.log_probabilities);
      // The last token that was drawn was never given to the session.
      const size_t shared = name == "tiny-llama-dynamic" ? 0 : std::min(kept, text.size() - 1);
      CHECK(statistics.prompt_tokens == static_cast<int64_t>(request.ids.size() - shared));
      text = request.ids;
      text.insert(text.end(), again.ids.begin(), again.ids.end());
    }
  }
}

TEST_CASE("a text ends at a stop id, at its length, at the context, by the caller") {
  const auto session = Session::create(load(testdata("tiny-llama")),
                                       {.device = "cpu", .context = 20, .sequences = 2});
  GenerateRequest request = {.ids = {1, 2, 3}, .max_new = 10};
  const auto plain = generate(*session, {&request, 1})[0];
  REQUIRE(plain.ids.size() == 10);
  CHECK(plain.finish == Finish::kLength);
  CHECK(plain.total_seconds >= plain.first_token_seconds);

  request.stop_ids = {plain.ids[4]};
  size_t first = 0;
  while (plain.ids[first] != plain.ids[4]) ++first;
  const auto stopped = generate(*session, {&request, 1})[0];
  CHECK(stopped.finish == Finish::kStop);
  CHECK(stopped.ids ==
        std::vector<int32_t>(plain.ids.begin(), plain.ids.begin() + static_cast<ptrdiff_t>(first)));

  request.stop_ids.clear();
  request.max_new = 1000;
  const auto full = generate(*session, {&request, 1})[0];
  CHECK(full.finish == Finish::kContext);
  CHECK(full.ids.size() == 18);  // positions 0..19 hold 3 + 17; the last id needs none

  int seen = 0;
  const auto caller =
      generate(*session, {&request, 1},
               {.on_token = [&](size_t, int32_t) { return ++seen < 4; }, .cancel = nullptr});
  CHECK(caller[0].finish == Finish::kCaller);
  CHECK(caller[0].ids.size() == 4);

  request.max_new = 0;
  CHECK(generate(*session, {&request, 1})[0].ids.empty());
}

TEST_CASE("cancelling ends all texts, and keeps what is there") {
  const auto session = open(2);
  const std::vector<GenerateRequest> requests = many_requests();
  std::atomic<bool> cancel{false};
  int tokens = 0;
  const GenerateControl control = {.on_token =
                                       [&](size_t, int32_t) {
                                         if (++tokens == 3) cancel = true;
                                         return true;
                                       },
                                   .cancel = &cancel};
  const auto results = generate(*session, requests, control);
  size_t made = 0;
  for (const GenerateResult& result : results) {
    made += result.ids.size();
    CHECK(result.finish == Finish::kCancelled);
  }
  CHECK(made >= 3);
  CHECK(made <= 4);  // the step that ran when the flag was set is finished
}

TEST_CASE("statistics count every token once") {
  const auto session = open(3);
  const std::vector<GenerateRequest> requests = many_requests();
  GenerateStatistics statistics;
  const auto results = generate(*session, requests, {.statistics = &statistics});
  int64_t prompts = 0, made = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    prompts += static_cast<int64_t>(requests[i].ids.size());
    made += static_cast<int64_t>(results[i].ids.size());
  }
  CHECK(statistics.prompt_tokens == prompts);
  CHECK(statistics.new_tokens == made);
  CHECK(statistics.decode_tokens <= made);
  CHECK(statistics.decode_seconds > 0);
}

TEST_CASE("prompts that cannot be run are refused before the first step") {
  const auto session =
      Session::create(load(testdata("tiny-llama")), {.device = "cpu", .context = 8});
  const auto refused = [&](const GenerateRequest& request) {
    const std::vector<GenerateRequest> requests = {{.ids = {1}, .max_new = 1}, request};
    int tokens = 0;
    try {
      generate(*session, requests, {.on_token = [&](size_t, int32_t) { return ++tokens > 0; }});
    } catch (const Error& error) {
      return error.code() == ExitCode::kUsage && tokens == 0;
    }
    return false;
  };
  CHECK(refused({.ids = {}}));
  CHECK(refused({.ids = {1, 2, 3, 4, 5, 6, 7, 8, 9}}));
  CHECK(refused({.ids = {1}, .sampler = {.temperature = -1}}));
}

}  // namespace
}  // namespace hone
