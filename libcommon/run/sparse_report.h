// How it is said which products skip zeros: as JSON and for people.
#pragma once

#include <string>

#include "libcommon/io/json.h"
#include "libcommon/run/session.h"

namespace hone {

// {"matrices", "two_of_four", "bitmask", "share_of_weights"}
Json sparse_json(const SparseProducts& products);

// ", 154 of 155 matrices sparse (154 as 2:4, 0 by bitmask; 93.7 % of the weights)"; "" where none.
std::string sparse_text(const Json& sparse);

}  // namespace hone
