#include "libcommon/compress/stage_options.h"

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/cli/tool.h"
#include "libcommon/model/model_io.h"

namespace hone {

SinkOptions sink_options(const std::string& output, const std::string& shard_size) {
  if (shard_size.empty()) return {};
  if (!writes_directory(output)) {
    throw usage_error("--shard-size has no meaning with -o " + output +
                      ": only a Hugging Face directory has shards");
  }
  return {.shard_bytes = parse_bytes(shard_size, "--shard-size")};
}

void check_memory(const std::string& max_memory, int64_t needed) {
  if (max_memory.empty() || needed <= parse_bytes(max_memory, "--max-memory")) return;
  throw resource_error("this takes up to " + human_bytes(static_cast<double>(needed)) +
                       ", more than --max-memory " + max_memory);
}

}  // namespace hone
