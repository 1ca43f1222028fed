// Logits of every tiny model against the official implementation, and the promises of session.h:
// the same bytes for any number of threads, any chunking, and whatever else is in a step.
#include "libcommon/run/session.h"

#include "libcommon/base/error.h"
#include "libcommon/run/sampler.h"
#include "tests/run/models.h"

namespace hone {
namespace {

using namespace test;  // NOLINT: the tests' vocabulary

struct Expected {
  std::vector<int32_t> ids;
  std::vector<float> last;
  std::vector<float> first;
  std::vector<int32_t> greedy;
};

std::vector<Expected> expected_of(const std::string& name) {
  std::vector<Expected> all;
  const Json file = read_json(testdata(name) + "/expected.json");
  for (const Json& p : file.at("prompts")) {
    all.push_back({p.at("ids"), p.at("logits_last"), p.at("logits_first"), p.at("greedy")});
  }
  REQUIRE(!all.empty());
  return all;
}

int64_t needed_context(const Expected& expected) {
  return static_cast<int64_t>(expected.ids.size() + expected.greedy.size());
}

std::unique_ptr<Session> open(const std::string& name, SessionOptions options) {
  return Session::create(load(testdata(name)), options);
}

std::vector<int32_t> continue_greedily(Session& session, std::span<const float> last,
                                       size_t position, size_t count) {
  std::vector<int32_t> ids;
  while (ids.size() < count) {
    ids.push_back(greedy(last));
    if (ids.size() == count) break;
    last = session.step(steps({ids.back()}, 0, static_cast<int32_t>(position++)));
  }
  return ids;
}

void check_against_official(const std::string& name, const std::string& device, bool fuse,
                            double tolerance) {
  const std::shared_ptr<const LoadedModel> model = load(testdata(name));
  double worst = 0;
  for (const Expected& expected : expected_of(name)) {
    CAPTURE(expected.ids.size());
    const auto session = Session::create(
        model, {.device = device, .context = needed_context(expected), .fuse = fuse});
    const std::span<const float> logits = session->step(steps(expected.ids));
    const auto vocab = static_cast<size_t>(session->vocab());
    REQUIRE(logits.size() == expected.ids.size() * vocab);
    worst = std::max({worst, relative_error(logits.first(vocab), expected.first),
                      relative_error(logits.last(vocab), expected.last)});
    CHECK(worst <= tolerance);
    CHECK(continue_greedily(*session, logits.last(vocab), expected.ids.size(),
                            expected.greedy.size()) == expected.greedy);
  }
  // For docs/measurements.md.
  if (std::getenv("HONE_PRINT_ERRORS")) {
    MESSAGE(name << " " << device << std::string(fuse ? " fused " : " unfused ") << worst);
  }
}

TEST_CASE("every tiny model has the logits and greedy ids of the official implementation") {
  for (const std::string& name : tiny_models()) {
    for (const bool fuse : {false, true}) {
      CAPTURE(name);
      CAPTURE(fuse);
      check_against_official(name, "ref", fuse, kReferenceLogits);
      check_against_official(name, "cpu", fuse, kCpuLogits);
    }
  }
}

TEST_CASE("one and three threads give the same bytes") {
  for (const std::string& name : tiny_models()) {
    CAPTURE(name);
    const std::vector<int32_t> ids = expected_of(name).back().ids;
    const int64_t context = static_cast<int64_t>(ids.size());
    const auto one = open(name, {.device = "cpu", .threads = 1, .context = context});
    const auto three = open(name, {.device = "cpu", .threads = 3, .context = context});
    CHECK(copy(one->step(steps(ids))) == copy(three->step(steps(ids))));
  }
}

TEST_CASE("a prompt in chunks of the session has the bytes of the whole") {
  for (const std::string& name : tiny_models()) {
    CAPTURE(name);
    const std::vector<int32_t> ids = expected_of(name).back().ids;
    const int64_t context = static_cast<int64_t>(ids.size());
    const auto whole = open(name, {.device = "cpu", .context = context});
    const std::vector<float> logits = copy(whole->step(steps(ids)));
    for (const int64_t chunk : {1, 7, 39}) {
      CAPTURE(chunk);
      const auto cut = open(name, {.device = "cpu", .context = context, .max_batch_tokens = chunk});
      CHECK(copy(cut->step(steps(ids))) == logits);
    }
  }
}

TEST_CASE("a token's logits do not depend on what else is in the step") {
  for (const std::string& name : tiny_models()) {
    CAPTURE(name);
    const std::vector<Expected> prompts = expected_of(name);
    const std::vector<int32_t>& a = prompts.back().ids;
    const std::vector<int32_t>& b = prompts[1].ids;
    const int64_t context = static_cast<int64_t>(a.size()) + 1;
    const auto alone = open(name, {.device = "cpu", .context = context});
    const std::vector<float> a_alone = copy(alone->step(steps(a)));
    alone->reset(0);
    const std::vector<float> b_alone = copy(alone->step(steps(b)));

    const auto both = open(name, {.device = "cpu", .context = context, .sequences = 2});
    std::vector<StepToken> mixed = steps(b, 1);
    const std::vector<StepToken> rest = steps(a, 0);
    mixed.insert(mixed.begin() + 3, rest.begin(), rest.end());
    const std::vector<float> logits = copy(both->step(mixed));
    const size_t vocab = static_cast<size_t>(both->vocab());
    const auto row = [&](const std::vector<float>& all, size_t i) {
      return std::vector<float>(all.begin() + static_cast<ptrdiff_t>(i * vocab),
                                all.begin() + static_cast<ptrdiff_t>((i + 1) * vocab));
    };
    for (size_t i = 0; i < a.size(); ++i) CHECK(row(logits, 3 + i) == row(a_alone, i));
    for (size_t i = 0; i < b.size(); ++i) {
      CHECK(row(logits, i < 3 ? i : a.size() + i) == row(b_alone, i));
    }
  }
}

TEST_CASE("a step token by token has the bytes of the prompt at once") {
  for (const std::string& name : tiny_models()) {
    if (name == "tiny-llama-dynamic") continue;  // differs by design: session.h
    CAPTURE(name);
    const std::vector<int32_t> ids = expected_of(name).back().ids;
    const int64_t context = static_cast<int64_t>(ids.size());
    const auto session = open(name, {.device = "cpu", .context = context});
    const std::vector<float> at_once = copy(session->step(steps(ids)));
    session->reset(0);
    std::vector<float> one_by_one;
    for (size_t i = 0; i < ids.size(); ++i) {
      const auto row = session->step(steps({ids[i]}, 0, static_cast<int32_t>(i)));
      one_by_one.insert(one_by_one.end(), row.begin(), row.end());
    }
    CHECK(one_by_one == at_once);
  }
}

TEST_CASE("going back forgets what came after") {
  const auto session = open("tiny-llama", {.device = "cpu"});
  const std::vector<float> first = copy(session->step(steps({5, 6, 7, 8})));
  session->step(steps({1, 2, 3, 4, 5, 6, 7}, 0, 0));
  CHECK(session->length(0) == 7);
  const std::vector<float> again = copy(session->step(steps({5, 6, 7, 8}, 0, 0)));
  CHECK(session->length(0) == 4);
  CHECK(again == first);
}

TEST_CASE("only wanted tokens have logits, in their order") {
  const auto session = open("tiny-llama", {.device = "cpu"});
  const std::vector<float> all = copy(session->step(steps({5, 6, 7, 8})));
  session->reset(0);
  std::vector<StepToken> tokens = steps({5, 6, 7, 8});
  tokens[0].wants_logits = tokens[2].wants_logits = false;
  const std::vector<float> some = copy(session->step(tokens));
  const auto vocab = static_cast<ptrdiff_t>(session->vocab());
  REQUIRE(some.size() == static_cast<size_t>(2 * vocab));
  CHECK(std::equal(some.begin(), some.begin() + vocab, all.begin() + vocab));
  CHECK(std::equal(some.begin() + vocab, some.end(), all.begin() + 3 * vocab));
  session->reset(0);
  for (StepToken& token : tokens) token.wants_logits = false;
  CHECK(session->step(tokens).empty());
}

ExitCode code_of(const std::function<void()>& action, std::string* text) {
  try {
    action();
  } catch (const Error& error) {
    *text = error.what();
    return error.code();
  }
  return ExitCode::kOk;
}

TEST_CASE("a position beyond the context is a usage error that names --ctx") {
  const auto session = open("tiny-llama", {.device = "cpu", .context = 4});
  std::string text;
  CHECK(code_of([&] { session->step(steps({1, 2, 3, 4, 5})); }, &text) == ExitCode::kUsage);
  CHECK(text.find("--ctx") != std::string::npos);
  CHECK(session->length(0) == 0);  // nothing was run
  CHECK(!session->step(steps({1, 2, 3, 4})).empty());
}

TEST_CASE("learned positions cannot be stretched") {
  std::string text;
  const auto stretch = [] { open("tiny-gpt2", {.device = "cpu", .context = 100000}); };
  CHECK(code_of(stretch, &text) == ExitCode::kUsage);
  CHECK(text.find("learned positions") != std::string::npos);
}

TEST_CASE("ids outside the vocabulary and unknown devices are usage errors") {
  const auto session = open("tiny-llama", {.device = "cpu"});
  std::string text;
  CHECK(code_of([&] { session->step(steps({100000})); }, &text) == ExitCode::kUsage);
  CHECK(text.find("100000") != std::string::npos);
  CHECK(code_of([&] { session->step(steps({-1})); }, &text) == ExitCode::kUsage);
  CHECK(code_of([] { open("tiny-llama", {.device = "abacus"}); }, &text) == ExitCode::kUsage);
}

TEST_CASE("memory is computed beforehand and refused with its figures") {
  std::string text;
  const auto big = [] {
    open("tiny-llama", {.device = "cpu", .context = 1 << 30, .max_memory = 100'000'000});
  };
  CHECK(code_of(big, &text) == ExitCode::kResource);
  CHECK(text.find("key-value cache") != std::string::npos);
  CHECK(text.find("100 MB") != std::string::npos);
}

TEST_CASE("the cache grows with the text") {
  const auto session = open("tiny-llama", {.device = "cpu", .context = 2000});
  CHECK(session->memory().cache == 0);
  std::vector<int32_t> ids(600);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 7 % 288);
  const std::vector<float> whole = copy(session->step(steps(ids)));
  CHECK(session->memory().cache > 0);
  CHECK(session->memory().cache < session->memory().cache_limit);
  session->reset(0);
  const auto other = open("tiny-llama", {.device = "cpu", .context = 2000});
  std::vector<float> parts;  // 200 positions fit the first capacity, the rest make it grow twice
  for (size_t begin = 0; begin < ids.size(); begin += 200) {
    const std::vector<int32_t> part(ids.begin() + static_cast<ptrdiff_t>(begin),
                                    ids.begin() + static_cast<ptrdiff_t>(begin) + 200);
    const auto logits = other->step(steps(part, 0, static_cast<int32_t>(begin)));
    parts.insert(parts.end(), logits.begin(), logits.end());
  }
  CHECK(parts == whole);
}

TEST_CASE("a token's cost counts every stored weight once") {
  const auto session = open("tiny-llama", {.device = "cpu"});
  const TokenCost shallow = session->token_cost(0);
  const TokenCost deep = session->token_cost(40);
  const LoadedModel& model = session->model();
  const int64_t embedding = model.embedding.rows * payload_row_bytes(model.embedding);
  const int64_t one_row = payload_row_bytes(model.embedding);
  CHECK(shallow.weight_bytes == model.stored_bytes - embedding + one_row);
  CHECK(deep.weight_bytes == shallow.weight_bytes);
  CHECK(deep.cache_bytes > shallow.cache_bytes);
  CHECK(deep.flops > shallow.flops);
}

TEST_CASE("a vocabulary beyond what tokens are drawn from is refused before anything runs") {
  auto model = std::make_shared<LoadedModel>(*load(testdata("tiny-llama")));
  model->spec.vocab = (int64_t{1} << 21) + 1;
  CHECK_THROWS_WITH_AS(
      Session::create(model, {.device = "cpu"}),
      (model->subject + ": a vocabulary of 2097153 ids; tokens are drawn from at most 2097152")
          .c_str(),
      Error);
}

}  // namespace
}  // namespace hone
