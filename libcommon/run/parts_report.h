// How it is said which layers run where: as JSON and for people.
#pragma once

#include <span>
#include <string>

#include "libcommon/io/json.h"
#include "libcommon/run/session.h"

namespace hone {

// [{"backend", "backend_detail", "first_layer", "layers", "weight_bytes", "kv_bytes_limit"}]
Json parts_json(std::span<const SessionPart> parts);

// Of one of them: "layers 8 to 21 on cuda: weights 640 MB, keys and values up to 92 MB".
std::string part_text(const Json& part);
// Of two parts: "cpu and cuda work in turns: ...".
std::string turns_text(std::span<const SessionPart> parts);

}  // namespace hone
