#include "libcommon/model/names.h"

#include <algorithm>
#include <array>

namespace hone {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr auto kSuffixes =
    std::to_array<std::string_view>({".weight", ".weight_packed", ".weight_scale",
                                     ".weight_zero_point", ".weight_index", ".weight_shape"});

}  // namespace

std::string_view part_suffix(Part part) { return kSuffixes[static_cast<size_t>(part)]; }

PartName part_of(std::string_view name) {
  for (size_t i = 1; i < kSuffixes.size(); ++i) {
    if (!name.ends_with(kSuffixes[i])) continue;
    const std::string_view module = name.substr(0, name.size() - kSuffixes[i].size());
    return {std::string(module) + std::string(kWeight), static_cast<Part>(i)};
  }
  return {std::string(name), Part::kWhole};
}

std::string module_of(std::string_view weight) {
  if (weight.ends_with(kWeight)) weight.remove_suffix(kWeight.size());
  return std::string(weight);
}

bool is_ignored(const Architecture& architecture, std::string_view name) {
  // A leading dot lets a rule match whole components only, also at the start of a name.
  const std::string dotted = "." + std::string(name);
  return std::any_of(architecture.ignored.begin(), architecture.ignored.end(),
                     [&](std::string_view end) { return dotted.ends_with(end); });
}

ExecutionOrder::ExecutionOrder(const ModelSpec& spec) {
  for (size_t i = 0; i < spec.tensors.size(); ++i) {
    index_[spec.tensors[i].name] = static_cast<int64_t>(i);
  }
}

std::optional<int64_t> ExecutionOrder::rank(std::string_view name) const {
  const auto found = index_.find(part_of(name).weight);
  if (found == index_.end()) return std::nullopt;
  return found->second;
}

}  // namespace hone
