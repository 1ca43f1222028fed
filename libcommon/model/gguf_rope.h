// Llama 3's RoPE scaling has no keys in GGUF: the file carries the divisor of each frequency as
// rope_freqs.weight. Here divisors are made from the config's numbers and the numbers found again.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "libcommon/model/spec.h"

namespace hone {

// Divisors [rotary / 2] of a spec with llama3 scaling.
std::vector<float> rope_divisors(const RopeSpec& rope);

// A llama3 scaling whose divisors are these, each to the last few bits of a float; kNone where all
// are 1; nullopt where there is none. `plain` has theta and rotary; only the ratio of
// original_context, low and high matters, so low is 1 where that reproduces them.
std::optional<RopeSpec> rope_from_divisors(std::span<const float> divisors, const RopeSpec& plain);

}  // namespace hone
