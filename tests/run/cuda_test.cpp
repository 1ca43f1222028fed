// Sessions on the CUDA backend. Without a GPU its kernels run on the emulator of kernels/simt, as a
// plug-in beside libhone.so; HONE_CUDA_PLUGIN names another, and "" takes the real one.
#include <dlfcn.h>

#include <atomic>
#include <filesystem>

#include "kernels/open.h"
#include "kernels/out_of_device_memory.h"
#include "libcommon/base/error.h"
#include "libcommon/graph/fuse_run.h"
#include "libcommon/run/batch.h"
#include "libcommon/run/model_parts.h"
#include "libcommon/run/session.h"
#include "libcommon/run/speed.h"
#include "tests/run/stored_model.h"

namespace hone {
namespace {

using namespace test;  // NOLINT: the tests' vocabulary

// Left out where the emulator is sanitized: minutes (scripts/test).
const doctest::test_suite kLong("long");

// The emulated plug-in of this build, where it has one.
std::string emulated_plugin() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&open_backend), &info)) return "";
  const auto path =
      std::filesystem::path(info.dli_fname).parent_path() / "libhone-cuda-emulated.so";
  return std::filesystem::exists(path) ? path.string() : "";
}

bool has_cuda() {
  if (!std::getenv("HONE_CUDA_PLUGIN") && !emulated_plugin().empty()) {
    setenv("HONE_CUDA_PLUGIN", emulated_plugin().c_str(), 1);
  }
  std::string why;
  if (open_backend("cuda", 1, &why)) return true;
  MESSAGE("skipped: " << why);
  return false;
}

std::vector<std::vector<int32_t>> continued(const std::shared_ptr<const LoadedModel>& model,
                                            const SessionOptions& options,
                                            const std::vector<std::vector<int32_t>>& prompts,
                                            int64_t count) {
  const auto session = Session::create(model, options);
  std::vector<GenerateRequest> requests;
  for (const auto& prompt : prompts) {
    requests.push_back({.ids = prompt, .max_new = count, .stop_ids = {}, .sampler = {}});
  }
  std::vector<std::vector<int32_t>> ids;
  for (GenerateResult& result : generate(*session, requests)) ids.push_back(std::move(result.ids));
  return ids;
}

// Of sessions on the CPU that round nothing but by the order of sums; the others are compared.
SessionOptions unrounded(int64_t context, int64_t sequences) {
  return {.device = "cpu",
          .context = context,
          .sequences = sequences,
          .compute = Compute::kF32,
          .kv_type = DType::kF32};
}

// A tiny model's weights are f32, so that nothing is rounded but by order.
constexpr double kLogits = 2e-5;
// Of a model whose activations are rounded to int8: the effect of a few that round to the
// neighbour.
constexpr double kNeighbours = 0.1;

// Kernels that the emulator has run, counted from the first call on; -1 on a GPU.
int64_t kernels_run() {
  static std::atomic<int64_t> count = 0;
  using Hook = void (*)(const void* kernel);
  void* const plugin = dlopen(std::getenv("HONE_CUDA_PLUGIN"), RTLD_NOW | RTLD_NOLOAD);
  auto* const hook = static_cast<Hook*>(dlsym(plugin, "_ZN4hone4simt3emu9on_launchE"));
  if (!hook) return -1;
  *hook = [](const void*) { ++count; };
  return count;
}

TEST_CASE("cuda: a token is 6 kernels a layer, and 5") {
  if (!has_cuda() || kernels_run() < 0) return;
  for (const char* name : {"tiny-llama", "tiny-qwen2", "tiny-qwen3"}) {
    const auto model = load(testdata(name));
    const auto kernels = [&](int64_t tokens) {
      const int64_t before = kernels_run();
      continued(model, {.device = "cuda", .context = 32}, {{1, 2, 3}}, tokens);
      return kernels_run() - before;
    };
    const auto layers = static_cast<int64_t>(model->spec.layers.size());
    CHECK(kernels(12) - kernels(8) == 4 * (6 * layers + 5));
  }
}

TEST_CASE("cuda: logits and greedy ids of every tiny model" * kLong) {
  if (!has_cuda()) return;
  for (const std::string& name : tiny_models()) {
    CAPTURE(name);
    const auto model = load(testdata(name));
    const std::vector<int32_t> prompt = {5, 6, 7, 8, 9, 10, 11};
    for (const bool fuse : {false, true}) {
      CAPTURE(fuse);
      SessionOptions options = {.device = "cpu",
                                .context = 24,
                                .fuse = fuse,
                                .compute = Compute::kF32,
                                .kv_type = DType::kF32};
      const auto cpu = Session::create(model, options);
      options.device = "cuda";
      const auto cuda = Session::create(model, options);
      REQUIRE(cuda->backend_name() == "cuda");
      for (int i = 0; i < 4; ++i) {  // a prompt, then steps: plain, recorded, replayed
        const auto tokens = i == 0 ? steps(prompt) : steps({40 + i}, 0, 6 + i);
        const auto expected = cpu->step(tokens);
        CHECK(relative_error(cuda->step(tokens), expected) <= kLogits);
      }
    }
  }
}

// Activations that lie next to the middle of two int8 may round the one way here and the other way
// there, because sums before them were added in another order: then logits differ by what a step of
// one activation does, and by all that follows in the text. Else they differ as those of f32 do.
TEST_CASE("cuda: W8A8 of 2:4 gives the CPU's logits, and seldom those of a neighbouring int8" *
          kLong) {
  if (!has_cuda()) return;
  const StoredModel stored("w8a8", true);
  SessionOptions options = unrounded(8, 1);
  options.compute = Compute::kAuto;
  const auto cpu = Session::create(stored.model(), options);
  options.device = "cuda";
  const auto cuda = Session::create(stored.model(), options);
  constexpr int kTokens = 24;
  int same = 0;
  for (int32_t id = 0; id < kTokens; ++id) {  // each a text of its own
    const std::vector<StepToken> token = steps({40 * id});
    const double error = relative_error(cuda->step(token), copy(cpu->step(token)));
    CHECK(error <= kNeighbours);
    same += error <= kLogits;
    cpu->reset(0);
    cuda->reset(0);
  }
  CHECK(same >= kTokens * 3 / 4);
}

TEST_CASE("cuda: texts decoded together, a growing cache, another device memory" * kLong) {
  if (!has_cuda()) return;
  const auto model = load(testdata("tiny-llama"));
  const std::vector<std::vector<int32_t>> prompts = {{5, 6, 7}, {9}, {11, 12, 13, 14, 15, 16}};
  SessionOptions options = {.device = "cpu", .sequences = 2, .compute = Compute::kF32};
  const auto expected = continued(model, options, prompts, 12);
  options.device = "cuda";
  options.kv_type = DType::kF32;
  CHECK(continued(model, options, prompts, 12) == expected);
}

// Sampling prompts whose texts end at different steps, some by a stop id.
std::vector<GenerateResult> sampled(const std::shared_ptr<const LoadedModel>& model,
                                    const SessionOptions& options, bool penalties) {
  const auto session = Session::create(model, options);
  std::vector<GenerateRequest> requests;
  for (int32_t i = 0; i < 5; ++i) {
    GenerateRequest request{.ids = {5 + i, 6, 7 * i},
                            .max_new = 6 + 3 * i,
                            .stop_ids = {},
                            .sampler = {.temperature = i % 2 ? 3.0 : 0.0,
                                        .top_k = 50,
                                        .top_p = 0.95,
                                        .min_p = 0.01,
                                        .repetition_penalty = penalties ? 1.2 : 1.0,
                                        .seed = static_cast<uint64_t>(i)},
                            .log_probabilities = i % 3 == 0};
    for (int32_t id = i; id < 500; id += 40) request.stop_ids.push_back(id);
    requests.push_back(std::move(request));
  }
  return generate(*session, requests);
}

TEST_CASE("cuda: sampled texts are the CPU's, with and without recorded steps" * kLong) {
  if (!has_cuda()) return;
  const auto model = load(testdata("tiny-llama"));
  for (const bool penalties : {false, true}) {
    CAPTURE(penalties);
    SessionOptions options = unrounded(24, 2);
    const auto expected = sampled(model, options, penalties);
    options.device = "cuda";
    for (const bool record : {true, false}) {
      CAPTURE(record);
      options.record = record;
      const auto results = sampled(model, options, penalties);
      for (size_t i = 0; i < expected.size(); ++i) {
        CAPTURE(i);
        CHECK(results[i].ids == expected[i].ids);
        CHECK(results[i].finish == expected[i].finish);
        REQUIRE(results[i].log_probabilities.size() == expected[i].log_probabilities.size());
        for (size_t t = 0; t < results[i].log_probabilities.size(); ++t) {
          CHECK(std::abs(results[i].log_probabilities[t] - expected[i].log_probabilities[t]) <
                1e-4);
        }
      }
    }
  }
}

TEST_CASE("cuda: a model split between CPU and GPU computes what the CPU does") {
  if (!has_cuda()) return;
  for (const std::string& name : tiny_models()) {
    CAPTURE(name);
    const auto model = load(testdata(name));
    SessionOptions options = unrounded(24, 1);
    const auto cpu = Session::create(model, options);
    options.device = "cuda";
    for (options.gpu_layers = 0; options.gpu_layers < 2; ++*options.gpu_layers) {
      CAPTURE(*options.gpu_layers);
      const auto split = Session::create(model, options);
      CHECK(split->backend_name() == (options.gpu_layers == 0 ? "cpu" : "cpu+cuda"));
      for (int i = 0; i < 4; ++i) {  // a prompt, then steps: plain, recorded, replayed
        const auto tokens = i == 0 ? steps({5, 6, 7, 8, 9, 10, 11}) : steps({40 + i}, 0, 6 + i);
        const auto expected = cpu->step(tokens);
        CHECK(relative_error(split->step(tokens), expected) <= kLogits);
      }
    }
    for (const int64_t layers : {0, 1}) {  // no fewer than the model has
      options.gpu_layers = static_cast<int64_t>(model->spec.layers.size()) + layers;
      CHECK(Session::create(model, options)->backend_name() == "cuda");
    }
  }
}

TEST_CASE("cuda: a split model's parts have their own weights and caches") {
  if (!has_cuda()) return;
  const auto model = load(testdata("tiny-llama"));
  const auto session_of = [&](std::optional<int64_t> layers) {
    auto session = Session::create(
        model, {.device = "cuda", .context = 300, .gpu_layers = layers, .kv_type = DType::kF16});
    session->step(steps({5, 6, 7}));
    return session;
  };
  const auto one = session_of(std::nullopt), two = session_of(1);
  const std::vector<SessionPart> whole = one->parts(), parts = two->parts();
  const SessionMemory all = one->memory(), together = two->memory();
  REQUIRE(whole.size() == 1);
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].layers.count + parts[1].layers.count == whole[0].layers.count);
  CHECK(parts[0].cache_limit == parts[1].cache_limit);
  CHECK(together.cache == all.cache);
  CHECK(together.cache_limit == all.cache_limit);
  CHECK(together.weights - model->resident_bytes == parts[1].weights);
  CHECK(parts[1].weights < whole[0].weights);
  CHECK(parts[0].weights > 0);
  CHECK(two->token_cost(9).cache_bytes == one->token_cost(9).cache_bytes);
}

TEST_CASE("cuda: the limit of a split model lies between those of its parts") {
  if (!has_cuda()) return;
  const auto session =
      Session::create(load(testdata("tiny-llama")), {.device = "cuda", .gpu_layers = 1});
  const MachinePeaks slow = {.read_bytes_per_second = 1e9, .flops_per_second = 1e9};
  const MachinePeaks fast = {.read_bytes_per_second = 1e12, .flops_per_second = 1e12};
  for (const SpeedTest& test : speed_tests({8}, {4}, {0}, {1})) {
    const MachinePeaks same = peaks_in_turns(*session, test, slow, slow);
    CHECK(same.read_bytes_per_second == doctest::Approx(1e9));
    CHECK(same.flops_per_second == doctest::Approx(1e9));
    // About half of the work takes next to no time.
    const MachinePeaks mixed = peaks_in_turns(*session, test, slow, fast);
    CHECK(mixed.read_bytes_per_second > 1.5e9);
    CHECK(mixed.read_bytes_per_second < 4e9);
    CHECK(mixed.flops_per_second > 1.5e9);
    CHECK(mixed.flops_per_second < 4e9);
  }
}

TEST_CASE("cuda: a split model's texts are the CPU's, sampled, side by side, as caches grow" *
          kLong) {
  if (!has_cuda()) return;
  const auto model = load(testdata("tiny-qwen3"));
  SessionOptions options = unrounded(300, 2);
  const auto drawn = sampled(model, options, false);
  std::vector<int32_t> prompt(250);  // and from 256 positions on the cache is another
  for (size_t i = 0; i < prompt.size(); ++i) prompt[i] = static_cast<int32_t>(i * 7 % 288);
  const auto grown = continued(model, options, {prompt}, 12);
  options.device = "cuda";
  options.gpu_layers = 1;
  const auto results = sampled(model, options, false);
  for (size_t i = 0; i < drawn.size(); ++i) CHECK(results[i].ids == drawn[i].ids);
  CHECK(continued(model, options, {prompt}, 12) == grown);
  options.max_batch_tokens = 100;
  CHECK(continued(model, options, {prompt}, 12) == grown);
}

TEST_CASE("cuda: a step is started before the one that draws its token is finished") {
  if (!has_cuda()) return;
  const auto model = load(testdata("tiny-llama"));
  const auto session = Session::create(model, {.device = "cuda", .context = 24});
  REQUIRE(session->runs_ahead());
  const SamplerOptions options = {.temperature = 1};
  const auto draw = [&](size_t position) {
    return Draw{.options = &options, .position = position};
  };
  const std::vector<StepToken> prompt = steps({5, 6, 7});
  const Draw first = draw(3), second = draw(4);
  const auto start = [&](const std::vector<StepToken>& tokens, const Draw& one) {
    session->start_draws(tokens, {.rows = {&one, 1}});
  };
  auto tokens = prompt;
  for (StepToken& token : tokens) token.wants_logits = token.position == 2;
  start(tokens, first);
  start({{.id = drawn_by(0), .position = 3, .wants_logits = true}}, second);
  const int32_t id = session->finish_draws()[0].id, next = session->finish_draws()[0].id;
  session->reset(0);
  start(tokens, first);
  CHECK(session->finish_draws()[0].id == id);
  start({{.id = id, .position = 3, .wants_logits = true}}, second);
  CHECK(session->finish_draws()[0].id == next);
}

TEST_CASE("cuda: a session goes on after a text that was cancelled with a step ahead") {
  if (!has_cuda()) return;
  const auto session = Session::create(load(testdata("tiny-llama")), {.device = "cuda"});
  const std::vector<GenerateRequest> requests = {
      {.ids = {5, 6, 7}, .max_new = 6, .stop_ids = {}, .sampler = {}}};
  const std::vector<int32_t> whole = generate(*session, requests)[0].ids;
  std::atomic<bool> cancel = false;
  const auto set_cancel = [&](size_t, int32_t) { return cancel = true; };
  const GenerateResult cut =
      generate(*session, requests, {.on_token = set_cancel, .cancel = &cancel})[0];
  CHECK(cut.finish == Finish::kCancelled);
  CHECK(cut.ids.size() == 1);
  CHECK(generate(*session, requests)[0].ids == whole);
}

// Logits of the token after so many others, of which it is the next.
std::vector<float> logits_at(ModelParts& parts, int32_t position) {
  const std::vector<StepToken> token = steps({40 + position}, 0, position);
  const std::span<const float> logits = parts.run(token, std::vector<int64_t>{position + 1});
  return {logits.begin(), logits.end()};
}

TEST_CASE("cuda: a session goes on after an op that threw while its step was recorded") {
  if (!has_cuda()) return;
  const auto model = load(testdata("tiny-llama"));
  SessionOptions options = {.device = "cuda"};
  ModelParts recorded(*model, options, 16);
  options.record = false;
  ModelParts plain(*model, options, 16);
  for (ModelParts* parts : {&recorded, &plain}) {
    parts->reserve(16);
    parts->make_room({.tokens = 1, .wanted = 1});
  }
  CHECK(logits_at(recorded, 0) == logits_at(plain, 0));
  auto& attention = recorded.last().run.attention;
  const auto whole = attention;
  attention.function = [](BackendContext&, const AttentionArgs&) {
    throw std::runtime_error("cuda: launch: planted");
  };
  CHECK_THROWS_WITH_AS(logits_at(recorded, 1), "cuda: launch: planted", std::runtime_error);
  attention = whole;
  for (int32_t position = 1; position < 5; ++position) {
    CAPTURE(position);
    CHECK(logits_at(recorded, position) == logits_at(plain, position));
  }
}

TEST_CASE("cuda: recorded steps turn by the frequencies of their text's length") {
  if (!has_cuda()) return;
  const auto model = load(testdata("tiny-llama-dynamic"));
  const auto trained = static_cast<int32_t>(model->spec.context);
  SessionOptions options = unrounded(trained + 8, 1);
  const auto cpu = Session::create(model, options);
  options.device = "cuda";
  const auto cuda = Session::create(model, options);
  for (int32_t at = 0; at < trained + 8; at += at == 0 ? trained - 4 : 1) {
    CAPTURE(at);
    const std::vector<int32_t> ids(static_cast<size_t>(at == 0 ? trained - 4 : 1), 40 + at);
    const auto tokens = steps(ids, 0, at);
    CHECK(relative_error(cuda->step(tokens), copy(cpu->step(tokens))) <= kLogits);
  }
}

TEST_CASE("cuda: what does not fit the device is refused with the figures") {
  if (!has_cuda()) return;
  const auto model = load(testdata("tiny-llama"));
  try {
    Session::create(model, {.device = "cuda", .context = 1500000});
    FAIL("not refused");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::kResource);
    const std::string what = error.what();
    for (const char* part : {"needs ", "(weights ", ", key-value cache ", ", activations ",
                             " free; --gpu-layers 1 fits; --device cpu, a smaller --ctx, or"}) {
      CHECK_MESSAGE(what.find(part) != std::string::npos, what);
    }
  }
  const auto split =
      Session::create(model, {.device = "auto", .context = 1500000, .gpu_layers = 1});
  CHECK(split->backend_name() == "cpu+cuda");
  CHECK_THROWS_AS(Session::create(model, {.device = "auto", .context = 5000000, .gpu_layers = 1}),
                  Error);
  const auto fallen_back = Session::create(model, {.device = "auto", .context = 1500000});
  CHECK(fallen_back->backend_name() == "cpu");
}

// After a session of a known context is made, its steps take no memory: what was compared with the
// device's was all.
TEST_CASE("cuda: what ops take for themselves is there before the first step" * kLong) {
  if (!has_cuda()) return;
  const auto check = [](const LoadedModel& model, Compute compute) {
    constexpr int32_t kContext = 300;
    const SessionOptions options = {.device = "cuda", .context = kContext, .compute = compute};
    ModelParts parts(model, options, kContext);
    parts.reserve(kContext);
    parts.make_room({.tokens = kContext, .wanted = 1});
    const size_t free = parts.last().free_bytes();
    int32_t position = 0;
    for (const int32_t count : {1, 5, 16, 17, 33, 64, 65, 99}) {
      std::vector<StepToken> tokens =
          steps(std::vector<int32_t>(static_cast<size_t>(count), 7), 0, position);
      for (StepToken& token : tokens) token.wants_logits = &token == &tokens.back();
      position += count;
      parts.run(tokens, std::vector<int64_t>(tokens.size(), position));
    }
    CHECK(position == kContext);
    CHECK(parts.last().free_bytes() == free);
  };
  check(*load(testdata("tiny-llama")), Compute::kF32);
  check(*load(testdata("tiny-qwen3")), Compute::kAuto);
  check(*StoredModel("w4a16", false).model(), Compute::kAuto);
  check(*StoredModel("w8a8", true).model(), Compute::kAuto);
}

// Across the plug-in's border, as the tools catch it.
TEST_CASE("cuda: device memory that runs out is said to be the device's") {
  if (!has_cuda()) return;
  std::string why;
  const auto backend = open_backend("cuda", 1, &why);
  CHECK_THROWS_AS(backend->allocate(size_t{1} << 48), OutOfDeviceMemory);
}

TEST_CASE("cuda: fused chains compute what their ops do" * kLong) {
  if (!has_cuda()) return;
  std::string why;
  for (const char* name : {"tiny-llama", "tiny-qwen3", "tiny-gpt2", "tiny-bloom"}) {
    CAPTURE(name);
    const auto model = load(testdata(name));
    const auto backend = open_backend("cuda", 1, &why);
    FuseReport report = fuse_report({.subject = name,
                                     .spec = model->spec,
                                     .weights = weight_table(*model),
                                     .shape = {.tokens = 7, .wanted = 7},
                                     .rewrite = {.few_ops = backend->few_ops()}});
    run_fusions(report, *model, *backend, {.measure = false});
    CHECK(report.passed());
    const bool is_llama = std::string(name).find("gpt2") == std::string::npos &&
                          std::string(name).find("bloom") == std::string::npos;
    for (const char* row : {"norm-qkv", "norm-gated", "norm-matmul", "rotary-attention"}) {
      CHECK(report.has_fused(row) == is_llama);
    }
    CHECK(report.has_fused("norm-rotary") == (std::string(name) == "tiny-qwen3"));
  }
}

TEST_CASE("cuda: fused chains are timed by the device") {
  if (!has_cuda()) return;
  std::string why;
  const auto model = load(testdata("tiny-llama"));
  const auto backend = open_backend("cuda", 1, &why);
  FuseReport report = fuse_report({.subject = "tiny-llama",
                                   .spec = model->spec,
                                   .weights = weight_table(*model),
                                   .shape = {.tokens = 2, .wanted = 2},
                                   .rewrite = {.few_ops = backend->few_ops()}});
  run_fusions(report, *model, *backend, {.measure = true, .reference_flops = 0});
  CHECK(report.passed());
  CHECK(report.model->decode.fused_seconds > 0);
  CHECK(report.model->decode.unfused_seconds > 0);
}

TEST_CASE("cuda: what it does not have is refused") {
  if (!has_cuda()) return;
  const auto model = load(testdata("tiny-llama"));
  CHECK_THROWS_WITH_AS(
      Session::create(model, {.device = "cuda", .compute = Compute::kInt8}),
      "--compute int8: the cuda backend rounds no activations to int8; auto or f32", Error);
}

}  // namespace
}  // namespace hone
