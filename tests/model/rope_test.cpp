// Rotary frequencies and ALiBi slopes against values that transformers 5.23 printed
// (ROPE_INIT_FUNCTIONS; head_dim 64; elements 0 5 11 16 20 25 31).
#include <cmath>
#include <string>
#include <vector>

#include "libcommon/model/gguf_rope.h"
#include "libcommon/model/rope.h"
#include "libcommon/model/spec.h"
#include "tests/model/memory_checkpoint.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using testing::contains;
using testing::error_of;

constexpr double kFloatTolerance = 1e-6;  // transformers computes in float
constexpr size_t kElements[] = {0, 5, 11, 16, 20, 25, 31};

RopeSpec rope_of(const std::string& config, int64_t context, int64_t head_dim = 64) {
  return rope_from_config(parse_json(config, "test"), {head_dim, context}, "config.json");
}

struct Case {
  const char* name;
  const char* config;
  int64_t context;
  int64_t length;
  double attention_factor;
  double expected[7];
};

const Case kCases[] = {
    {"default, both spellings absent",
     R"({})",
     4096,
     1,
     1.0,
     {1.0, 0.237137362, 0.0421696492, 0.00999999978, 0.00316227786, 0.000749894185, 0.00013335215}},
    {"linear, version 4",
     R"({"rope_theta": 10000.0, "rope_scaling": {"type": "linear",
      "factor": 4.0}})",
     4096,
     1,
     1.0,
     {0.25, 0.0592843406, 0.0105424123, 0.00249999994, 0.000790569466, 0.000187473546,
      3.33380376e-05}},
    {"dynamic within the context",
     R"({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}})",
     4096,
     100,
     1.0,
     {1.0, 0.237137362, 0.0421696492, 0.00999999978, 0.00316227786, 0.000749894185, 0.00013335215}},
    {"dynamic beyond it",
     R"({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}})",
     4096,
     10000,
     1.0,
     {1.0, 0.190535709, 0.0260584168, 0.00496505899, 0.00131796999, 0.000251120364,
      3.43442152e-05}},
    {"llama3, version 5",
     R"({"rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0,
      "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 8192}})",
     131072,
     1,
     1.0,
     {1.0, 0.128687382, 0.0109895291, 0.000524846022, 3.42810235e-05, 4.41153452e-06,
      3.7673226e-07}},
    {"yarn",
     R"({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1000000.0, "factor": 4.0,
      "original_max_position_embeddings": 32768}})",
     131072,
     1,
     1.138629436111989,
     {1.0, 0.115478203, 0.00865964312, 0.000583333371, 4.44569851e-05, 5.13381246e-06,
      3.84981632e-07}},
    {"yarn with mscale, no truncation",
     R"({"rope_theta": 10000.0, "rope_scaling": {"type": "yarn",
      "factor": 40.0, "original_max_position_embeddings": 4096, "mscale": 0.707,
      "mscale_all_dim": 1.0, "beta_fast": 16, "beta_slow": 2, "truncate": false}})",
     163840,
     1,
     0.9210423553163399,
     {1.0, 0.237137362, 0.0421696492, 0.00579010462, 0.000123952457, 1.87473543e-05,
      3.33380353e-06}},
    {"yarn, factor from the contexts",
     R"({"rope_scaling": {"rope_type": "yarn", "factor": null,
      "original_max_position_embeddings": 1024, "attention_factor": 1.25}})",
     4096,
     1,
     1.25,
     {1.0, 0.237137362, 0.0275724642, 0.00365384622, 0.000790569466, 0.000187473546,
      3.33380376e-05}},
};

TEST_CASE("frequencies and attention factors are those of transformers") {
  for (const Case& example : kCases) {
    CAPTURE(example.name);
    const RopeSpec rope = rope_of(example.config, example.context);
    const auto frequencies = rope_frequencies(rope, example.length, example.context);
    REQUIRE(frequencies.size() == 32);
    CHECK(rope.attention_factor == doctest::Approx(example.attention_factor).epsilon(1e-12));
    for (size_t i = 0; i < std::size(kElements); ++i) {
      CAPTURE(kElements[i]);
      const double expected = example.expected[i];
      CHECK(std::abs(frequencies[kElements[i]] - expected) <= kFloatTolerance * expected);
    }
  }
}

TEST_CASE("rope values that are not implemented are refused by name") {
  const auto refused = [](const char* config, const char* words) {
    const std::string text = error_of([&] { rope_of(config, 4096); });
    CAPTURE(text);
    CHECK(contains(text, words));
  };
  refused(R"({"rope_scaling": {"rope_type": "longrope", "factor": 2.0}})", "'longrope'");
  refused(R"({"rope_scaling": {"type": "mrope", "mrope_section": [1]}})", "'mrope'");
  refused(R"({"rope_scaling": {"rope_type": "linear"}})", "'factor' is missing");
  refused(R"({"rope_scaling": {"rope_type": "yarn", "beta_fast": 32}})", "'factor' is missing");
  refused(R"({"rope_scaling": {"rope_type": "linear", "factor": 0}})", "'factor' must be positive");
  refused(R"({"rope_scaling": {"rope_type": "linear", "factor": "2"}})", "must be a number");
  refused(R"({"rope_scaling": {"rope_type": "linear", "factor": 2, "twist": 3}})", "'twist'");
  refused(R"({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}})", "'full_attention'");
  refused(R"({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}})",
          "partial_rotary_factor");
  refused(R"({"rope_theta": -5})", "'rope_theta' must be positive");
  refused(R"({"rope_scaling": []})", "rope_scaling is not an object");
}

TEST_CASE("an odd head has no rotary pairs") {
  CHECK(contains(error_of([] { rope_of("{}", 64, 7); }), "odd"));
}

TEST_CASE("ALiBi slopes") {
  const std::vector<float> eight = alibi_slopes(8);
  for (int k = 0; k < 8; ++k) CHECK(eight[static_cast<size_t>(k)] == std::exp2f(-1.0f - k));
  // 5 heads: 4 of the power below, then every other slope of 8.
  const std::vector<float> five = alibi_slopes(5);
  CHECK(five == std::vector<float>{0.25f, 0.0625f, 0.015625f, 0.00390625f, 0.5f});
  CHECK(alibi_slopes(1) == std::vector<float>{0.00390625f});
}

TEST_CASE("llama3 scaling survives GGUF's divisors") {
  for (const auto& [factor, low, high, original, dim] : {
           std::tuple{8.0, 1.0, 4.0, 8192, 128},
           {32.0, 1.0, 4.0, 8192, 64},
           {8.0, 1.0, 4.0, 32, 16},
           {6.0, 1.0, 3.0, 5000, 128},
           {4.0, 2.0, 8.0, 8192, 128},
           {8.0, 3.0, 8.0, 1000, 128},
           {8.0, 2.0, 4.0, 16, 40},     // one between
           {8.0, 0.5, 8.0, 32, 4},      // none
           {8.0, 1.0, 4.0, 16, 2},      // one at all
           {8.0, 1.0, 4.0, 4, 16},      // all scaled
           {8.0, 1.0, 4.0, 999999, 16}  // none wholly
       }) {
    RopeSpec rope{.theta = 500000.0, .rotary = dim};
    const RopeSpec plain = rope;
    rope.scaling = RopeScaling::kLlama3;
    rope.factor = factor;
    rope.low_freq_factor = low;
    rope.high_freq_factor = high;
    rope.original_context = original;
    CAPTURE(original);
    const auto found = rope_from_divisors(rope_divisors(rope), plain);
    REQUIRE(found.has_value());
    const auto expected = rope_frequencies(rope, 1, 1);
    const auto frequencies = rope_frequencies(*found, 1, 1);
    for (size_t i = 0; i < expected.size(); ++i) {
      CHECK(frequencies[i] == doctest::Approx(expected[i]).epsilon(1e-5));
    }
  }
}

TEST_CASE("divisors of another scaling are not taken for llama3") {
  const RopeSpec plain{.theta = 10000.0, .rotary = 16};
  CHECK_FALSE(rope_from_divisors(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}, plain));
  CHECK_FALSE(rope_from_divisors(std::vector<float>{1, 1, 1, 1, 1, 1, 0.5f, 0.5f}, plain));
  CHECK_FALSE(rope_from_divisors(std::vector<float>{1, 1}, plain));
  const auto none = rope_from_divisors(std::vector<float>(8, 1.0f), plain);
  REQUIRE(none.has_value());
  CHECK(none->scaling == RopeScaling::kNone);
}

}  // namespace
}  // namespace hone
