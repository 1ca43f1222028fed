// open_model: one door for every container.
#include "libcommon/model/gguf_source.h"
#include "libcommon/model/model_io.h"
#include "libcommon/model/ordered_reader.h"
#include "libcommon/model/random_model.h"

namespace hone {
namespace {

std::unique_ptr<CheckpointReader> open_container(const std::string& where) {
  switch (detect_container(where)) {
    case Container::kDirectory:
      return open_directory(where);
    case Container::kGguf:
      return open_gguf_model(open_gguf(where));
    case Container::kSafetensors:
      break;
  }
  return open_safetensors(where);
}

}  // namespace

std::unique_ptr<CheckpointReader> open_model(const std::string& where) {
  if (is_random_model(where)) return open_random_model(where);
  return in_execution_order(open_container(where));
}

}  // namespace hone
