// Speed tests of a session: how long prefill and decode of given sizes take, and what work that
// was.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libcommon/run/session.h"

namespace hone {

enum class SpeedKind : uint8_t { kPrefill, kDecode };

struct SpeedTest {
  SpeedKind kind = SpeedKind::kPrefill;
  int64_t tokens = 0;  // prefill: of each prompt, in one go; decode: steps, one token each
  int64_t depth = 0;   // positions already in the cache
  int64_t batch = 1;   // sequences side by side

  std::string name() const;  // "prefill 512", "decode 64 @ 1024"
  int64_t all_tokens() const { return tokens * batch; }
};

// All combinations, prefill first. Lists hold positive numbers (depths: 0 or more).
std::vector<SpeedTest> speed_tests(const std::vector<int64_t>& prefill,
                                   const std::vector<int64_t>& decode,
                                   const std::vector<int64_t>& depths,
                                   const std::vector<int64_t>& batches);

// One run; the seconds it took without filling the cache up to `depth`. The session needs `batch`
// sequences and a context of depth + tokens. Token ids are drawn from a fixed seed.
double run_speed_test(Session& session, const SpeedTest& test);

// Bytes of weights and caches that one run reads and writes, and its floating-point operations.
struct SpeedWork {
  double bytes = 0;
  double flops = 0;
};
SpeedWork speed_work(const Session& session, const SpeedTest& test);

// The multiply-adds that products can make a second, in the arithmetic that they are done in.
double product_peak(const Session& session, const MachinePeaks& peaks);

// What the parts of a split session can do, which run in turns, each at its share of that work.
MachinePeaks peaks_in_turns(const Session& session, const SpeedTest& test, const MachinePeaks& cpu,
                            const MachinePeaks& gpu);

}  // namespace hone
