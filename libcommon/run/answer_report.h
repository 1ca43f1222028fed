// How answers and their timings are shown: JSON for programs, one line for people.
#pragma once

#include <string>

#include "libcommon/io/json.h"
#include "libcommon/run/answer.h"

namespace hone {

// {"id", "text", "ids", "prompt_ids", "logprobs", "finish_reason"}; id is left out when null.
Json answer_json(const Json& id, const Answer& answer);

// Load, prefill and decode: seconds, tokens, tokens per second, and the rate at which decoding
// read the stored weights.
Json timings_json(const Session& session, const GenerateStatistics& statistics);
std::string timings_line(const Session& session, const GenerateStatistics& statistics,
                         double first_token_seconds);

// One line, never throwing on bytes that are no UTF-8.
std::string json_line(const Json& json);

}  // namespace hone
