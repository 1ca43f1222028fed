#include "libcommon/run/speed.h"

#include "kernels/check.h"
#include "libcommon/base/rng.h"
#include "libcommon/bench/measure.h"

namespace hone {
namespace {

constexpr uint64_t kTokenSeed = 7;

// Tokens for positions [begin, end) of every sequence; the last of each wants its logits.
std::vector<StepToken> tokens_for(const Session& session, int64_t batch, int64_t begin,
                                  int64_t end) {
  std::vector<StepToken> tokens;
  const auto vocab = static_cast<uint64_t>(session.vocab());
  for (int64_t sequence = 0; sequence < batch; ++sequence) {
    for (int64_t p = begin; p < end; ++p) {
      const uint64_t draw =
          random_bits(kTokenSeed, static_cast<uint64_t>(sequence), static_cast<uint64_t>(p));
      tokens.push_back({.id = static_cast<int32_t>(draw % vocab),
                        .sequence = static_cast<int32_t>(sequence),
                        .position = static_cast<int32_t>(p),
                        .wants_logits = p + 1 == end});
    }
  }
  return tokens;
}

void fill_cache(Session& session, const SpeedTest& test) {
  for (int64_t s = 0; s < test.batch; ++s) {
    if (session.length(static_cast<int32_t>(s)) < test.depth) {
      session.step(tokens_for(session, test.batch, 0, test.depth));
      return;
    }
  }
}

// As generate() does: where the session runs ahead, a step is given before the one ahead is done,
// and takes the tokens that that one draws.
void decode(Session& session, int64_t batch, int64_t begin, int64_t end) {
  const bool ahead = session.runs_ahead() && batch <= session.options().max_batch_tokens;
  const SamplerOptions greedy;
  const std::vector<Draw> draws(static_cast<size_t>(batch), {.options = &greedy});
  for (int64_t p = begin; p < end; ++p) {
    std::vector<StepToken> tokens = tokens_for(session, batch, p, p + 1);
    for (size_t row = 0; ahead && p > begin && row < tokens.size(); ++row) {
      tokens[row].id = drawn_by(row);
    }
    session.start_draws(tokens, {.rows = draws});
    if (!ahead || p > begin) session.finish_draws();
  }
  if (ahead) session.finish_draws();
}

// Where a test's average token is.
int64_t middle_of(const SpeedTest& test) { return test.depth + test.tokens / 2; }

SpeedWork work_of(const TokenCost& cost, const SpeedTest& test) {
  const auto count = static_cast<double>(test.all_tokens());
  const int64_t steps = test.kind == SpeedKind::kPrefill ? 1 : test.tokens;
  return {.bytes = static_cast<double>(cost.weight_bytes) * static_cast<double>(steps) +
                   static_cast<double>(cost.cache_bytes) * count,
          .flops = cost.flops * count};
}

// Of the tokens whose logits nobody wants.
double unwanted_head_flops(const Session& session, const SpeedTest& test) {
  const int64_t wanted = test.kind == SpeedKind::kPrefill ? test.batch : test.all_tokens();
  return 2.0 * static_cast<double>(session.vocab()) *
         static_cast<double>(session.model().spec.hidden) *
         static_cast<double>(test.all_tokens() - wanted);
}

}  // namespace

std::string SpeedTest::name() const {
  std::string text = kind == SpeedKind::kPrefill ? "prefill " : "decode ";
  text += std::to_string(tokens);
  return depth == 0 ? text : text + " @ " + std::to_string(depth);
}

std::vector<SpeedTest> speed_tests(const std::vector<int64_t>& prefill,
                                   const std::vector<int64_t>& decode,
                                   const std::vector<int64_t>& depths,
                                   const std::vector<int64_t>& batches) {
  std::vector<SpeedTest> tests;
  const auto add = [&](SpeedKind kind, const std::vector<int64_t>& lengths) {
    for (int64_t tokens : lengths) {
      for (int64_t depth : depths) {
        for (int64_t batch : batches) tests.push_back({kind, tokens, depth, batch});
      }
    }
  };
  add(SpeedKind::kPrefill, prefill);
  add(SpeedKind::kDecode, decode);
  return tests;
}

double run_speed_test(Session& session, const SpeedTest& test) {
  fill_cache(session, test);
  const int64_t end = test.depth + test.tokens;
  const double start = seconds_now();
  if (test.kind == SpeedKind::kPrefill) {
    session.step(tokens_for(session, test.batch, test.depth, end));
  } else {
    decode(session, test.batch, test.depth, end);
  }
  return seconds_now() - start;
}

SpeedWork speed_work(const Session& session, const SpeedTest& test) {
  SpeedWork work = work_of(session.token_cost(middle_of(test)), test);
  work.flops -= unwanted_head_flops(session, test);
  return work;
}

double product_peak(const Session& session, const MachinePeaks& peaks) {
  if (session.int8_products() > 0 && peaks.int8_operations_per_second > 0) {
    return peaks.int8_operations_per_second;
  }
  if (session.bf16_products() > 0 && peaks.bf16_flops_per_second > 0) {
    return peaks.bf16_flops_per_second;
  }
  return peaks.flops_per_second;
}

MachinePeaks peaks_in_turns(const Session& session, const SpeedTest& test, const MachinePeaks& cpu,
                            const MachinePeaks& gpu) {
  const std::vector<TokenCost> costs = session.part_costs(middle_of(test));
  CHECK(costs.size() == 2);
  const SpeedWork first = work_of(costs[0], test);
  SpeedWork second = work_of(costs[1], test);
  second.flops -= unwanted_head_flops(session, test);
  const auto rate = [](double a, double rate_a, double b, double rate_b) {
    return (a + b) / (a / rate_a + b / rate_b);
  };
  return {.read_bytes_per_second =
              rate(first.bytes, cpu.read_bytes_per_second, second.bytes, gpu.read_bytes_per_second),
          .flops_per_second =
              rate(first.flops, product_peak(session, cpu), second.flops, gpu.flops_per_second)};
}

}  // namespace hone
