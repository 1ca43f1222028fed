// What the options that every stage of a pipe has mean to its work.
#pragma once

#include <cstdint>
#include <string>

#include "libcommon/io/checkpoint.h"

namespace hone {

// shard_size: as given to --shard-size, "" for the default. Error(kUsage) for what is no size, and
// where `output` is one file, which would ignore it.
SinkOptions sink_options(const std::string& output, const std::string& shard_size);

// Error(kResource) where work that needs so many bytes exceeds --max-memory; "": no limit.
void check_memory(const std::string& max_memory, int64_t needed);

}  // namespace hone
