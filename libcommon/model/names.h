// Names of tensors: how a module's parts are spelled, and where a checkpoint's names lie in a
// model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libcommon/model/arch/arch.h"
#include "libcommon/model/spec.h"

namespace hone {

// The tensors that together store one matrix (weights.h), in the order in which they are written.
enum class Part : uint8_t { kWhole, kPacked, kScale, kZeroPoint, kIndex, kShape };

// "P.weight_scale" -> {"P.weight", kScale}; any other name is a whole tensor of its own.
struct PartName {
  std::string weight;
  Part part = Part::kWhole;
};
PartName part_of(std::string_view name);
std::string_view part_suffix(Part part);  // ".weight_scale"; ".weight" for kWhole

// The module of a weight: "P.weight" -> "P".
std::string module_of(std::string_view weight);

// True for buffers that old checkpoints carry and no computation needs.
bool is_ignored(const Architecture& architecture, std::string_view name);

// Position of each tensor in execution order: the index of its TensorSpec, the same for all parts
// of a matrix.
class ExecutionOrder {
 public:
  explicit ExecutionOrder(const ModelSpec& spec);
  // Sort key of a tensor; nullopt where the model has none of that name.
  std::optional<int64_t> rank(std::string_view name) const;

 private:
  std::unordered_map<std::string, int64_t> index_;
};

}  // namespace hone
