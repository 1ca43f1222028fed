// From a request to steps: which tensors change and how.
#include <algorithm>
#include <cmath>
#include <set>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "libcommon/base/log.h"
#include "libcommon/compress/targets.h"
#include "libcommon/prune/pruner.h"

namespace hone {
namespace {

// Tensors that share a threshold.
struct SelectionGroup {
  std::vector<int64_t> tensors;  // header indices
  int64_t elements = 0;
  bool bf16 = true;  // all of them
  std::shared_ptr<Selection> selection;
};

// Refuses tensors whose values cannot be set to zero one by one.
void check_prunable(const CheckpointHeader& header, const std::set<std::string>& names,
                    const TensorSpec& tensor, const std::string& subject) {
  CHECK(tensor.name.size() > 6);
  const std::string module = tensor.name.substr(0, tensor.name.size() - 6);  // "weight"
  for (const char* part : {"weight_packed", "weight_scale"}) {
    if (names.count(module + part) > 0) {
      throw Error(subject + ": '" + module + part +
                  "': the model is already quantized; prune first, then quantize");
    }
  }
  if (names.count(module + "weight_index") > 0) {
    throw Error(subject + ": '" + tensor.name +
                "' is already pruned to 2:4 and packed; start from " +
                "the dense model (hone-prune --dense keeps it so)");
  }
  const auto found = std::find_if(header.tensors.begin(), header.tensors.end(),
                                  [&](const TensorInfo& t) { return t.name == tensor.name; });
  const bool weights = found == header.tensors.end() || is_block(found->type) ||
                       (is_float(found->type) && found->type <= DType::kBF16);
  if (!weights) {
    throw Error(subject + ": tensor '" + tensor.name + "' has type " +
                std::string(name(found->type)) + ", which has no weights to prune");
  }
}

bool stored_out_in(const TensorInfo& info, const TensorSpec& tensor) {
  return is_block(info.type) || tensor.layout != StoredLayout::kInOut;
}

class MaskPlanner {
 public:
  MaskPlanner(const PrunePlanner& planner, ThreadPool& pool)
      : planner_(planner),
        pool_(pool),
        header_(planner.reader.header()),
        filter_(planner.options.include, planner.options.exclude) {
    for (const TensorInfo& tensor : header_.tensors) names_.insert(tensor.name);
  }

  PrunePlan plan() {
    find_targets();
    if (planner_.request.pattern == PatternKind::kUnstructured) make_selections();
    PrunePlan result;
    std::vector<Step> steps;
    for (size_t i = 0; i < header_.tensors.size(); ++i) {
      const auto index = static_cast<int64_t>(i);
      steps.push_back(targets_.count(index) > 0 ? mask_step(index, result.tensors)
                                                : copy_step(header_, index));
    }
    result.plan = plan_stage(header_, std::move(steps));
    return result;
  }

 private:
  void warn_of_unmatched() const {
    std::vector<std::string> names;
    for (const TensorSpec& tensor : planner_.spec.tensors) names.push_back(tensor.name);
    for (const std::string& fault : filter_.unmatched(names)) {
      log_warning(planner_.reader.subject() + ": " + fault);
    }
  }

  void find_targets() {
    for (const TensorSpec& tensor : planner_.spec.tensors) {
      if (filter_.chosen(tensor)) {
        check_prunable(header_, names_, tensor, planner_.reader.subject());
      }
    }
    for (size_t i = 0; i < header_.tensors.size(); ++i) {
      const TensorSpec* tensor = planner_.spec.find(header_.tensors[i].name);
      if (tensor != nullptr && filter_.chosen(*tensor)) targets_[static_cast<int64_t>(i)] = tensor;
    }
    if (targets_.empty()) {
      throw usage_error(planner_.reader.subject() +
                        ": no tensor to prune; do --include and --exclude leave any?");
    }
    warn_of_unmatched();
    for (const auto& [index, tensor] : targets_) {
      if (is_block(header_.tensors[static_cast<size_t>(index)].type)) ++blocks_;
    }
    if (blocks_ > 0) {
      log_warning(planner_.reader.subject() + ": " + std::to_string(blocks_) +
                  " pruned tensors are of GGUF block types and become BF16");
    }
  }

  std::string group_of(const TensorSpec& tensor) const {
    switch (planner_.request.scope) {
      case Scope::kTensor:
        return tensor.name;
      case Scope::kLayer:
        return std::to_string(tensor.layer);
      case Scope::kGlobal:
        return "";
    }
    return "";
  }

  void make_selections() {
    const PruneRequest& request = planner_.request;
    for (const auto& [index, tensor] : targets_) {
      SelectionGroup& group = groups_[group_of(*tensor)];
      group.tensors.push_back(index);
      const TensorInfo& info = header_.tensors[static_cast<size_t>(index)];
      group.elements += info.elements();
      group.bf16 &= info.type == DType::kBF16 && request.score->is_magnitude;
    }
    for (auto& [key, group] : groups_) {
      if (request.has_threshold) {
        group.selection =
            std::make_shared<Selection>(Selection::below(static_cast<float>(request.threshold)));
        group.bf16 = false;  // the threshold need not be a BF16 number
        continue;
      }
      const double exact = request.sparsity * static_cast<double>(group.elements);
      group.selection = std::make_shared<Selection>(std::llround(exact));
      if (request.scope != Scope::kTensor && planner_.decided) settle(group);
    }
  }

  void settle(SelectionGroup& group) {
    const BoundMaskJob looks{.scan_here = true, .bf16 = group.bf16};
    const int levels = bound_mask(group.selection, looks)->scans();
    for (int level = 0; level < levels; ++level) {
      for (int64_t index : group.tensors) {
        const TensorInfo& info = header_.tensors[static_cast<size_t>(index)];
        MaskTransform scores(MatrixInput::plain(info, false), bound_mask(group.selection, looks),
                             job(info, info.type));
        scan_tensor(planner_.reader, index, 1,
                    [&](const Chunk& chunk) { scores.scan(level, chunk, pool_); });
      }
      bound_mask(group.selection, looks)->settle(level);
    }
  }

  MaskJob job(const TensorInfo& info, DType stored) const {
    MaskJob job;
    job.name = info.name;
    job.subject = planner_.reader.subject();
    job.type = pruned_type(stored);
    job.score = planner_.request.score;
    job.has_threshold = planner_.request.has_threshold;
    job.threshold = planner_.request.threshold;
    return job;
  }

  std::unique_ptr<Mask> mask(const TensorSpec& tensor, bool rows_are_inputs) const {
    const PruneRequest& request = planner_.request;
    if (request.pattern == PatternKind::kGroups) {
      NeighbourGroups groups = request.groups;
      groups.along_rows = rows_are_inputs;
      return group_mask(groups);
    }
    const bool here = request.scope == Scope::kTensor && !request.has_threshold;
    const SelectionGroup& group = groups_.at(group_of(tensor));
    return bound_mask(group.selection, {.scan_here = here, .bf16 = group.bf16});
  }

  bool packs(const TensorSpec& tensor) const {
    const NeighbourGroups& groups = planner_.request.groups;
    const bool two_of_four =
        planner_.request.pattern == PatternKind::kGroups && groups.keep == 2 && groups.total == 4;
    const bool in_out = tensor.layout == StoredLayout::kInOut;
    const int64_t inputs = in_out ? tensor.shape[0] : tensor.shape[1];
    return planner_.packed && two_of_four && inputs % 8 == 0;
  }

  Step mask_step(int64_t index, std::vector<PrunedTensor>& pruned) const {
    const TensorInfo& info = header_.tensors[static_cast<size_t>(index)];
    const TensorSpec& tensor = *targets_.at(index);
    MaskJob work = job(info, info.type);
    work.packed = packs(tensor);
    const bool in_out = !stored_out_in(info, tensor);
    const bool transpose = work.packed && in_out;
    PrunedTensor entry;
    entry.name = entry.renamed = info.name;
    entry.shape_before = entry.shape_after = info.shape;
    entry.packed = work.packed;
    Step step;
    step.input = index;
    step.outputs = outputs(info, work, transpose);
    entry.mask = std::make_shared<MaskTransform>(MatrixInput::plain(info, transpose),
                                                 mask(tensor, in_out && !transpose), work);
    step.transform = entry.mask;
    pruned.push_back(entry);
    return step;
  }

  static std::vector<TensorInfo> outputs(const TensorInfo& info, const MaskJob& work,
                                         bool transpose) {
    TensorInfo out = info;
    out.type = work.type;
    if (!work.packed) return {out};
    if (transpose) std::swap(out.shape[0], out.shape[1]);
    const int64_t columns = out.shape[1];
    out.shape[1] = columns / 2;
    return {out, {info.name + "_index", DType::kU8, {out.shape[0], columns / 8}}};
  }

  const PrunePlanner& planner_;
  ThreadPool& pool_;
  const CheckpointHeader& header_;
  TargetFilter filter_;
  std::set<std::string> names_;
  std::map<int64_t, const TensorSpec*> targets_;
  std::map<std::string, SelectionGroup> groups_;
  int64_t blocks_ = 0;
};

class StructurePlanner {
 public:
  StructurePlanner(const PrunePlanner& planner, ThreadPool& pool)
      : planner_(planner), pool_(pool), header_(planner.reader.header()) {}

  PrunePlan plan() {
    const StructureRequest& request = planner_.request.structure;
    check_structure(planner_.spec, request, planner_.reader.subject());
    check_tensors();
    structure_ = planner_.decided ? choose_structure(planner_.reader, planner_.spec, request, pool_)
                                  : guess_structure(planner_.spec, request);
    PrunePlan result;
    std::vector<Step> steps;
    for (size_t i = 0; i < header_.tensors.size(); ++i) {
      add_steps(static_cast<int64_t>(i), steps, result.tensors);
    }
    result.plan = plan_stage(header_, std::move(steps));
    const std::string& config = header_.files.at("config.json");
    result.plan.header.files["config.json"] =
        structured_config(parse_json(config, planner_.reader.subject() + ": config.json"),
                          planner_.spec, structure_)
            .dump(2) +
        "\n";
    rename_aliases(result.plan.header);
    for (int64_t layer = 0; layer < static_cast<int64_t>(planner_.spec.layers.size()); ++layer) {
      if (!kept_as(layer)) result.dropped_layers.push_back(layer);
    }
    return result;
  }

 private:
  void check_tensors() const {
    std::set<std::string> names;
    for (const TensorInfo& tensor : header_.tensors) names.insert(tensor.name);
    for (const TensorSpec& tensor : planner_.spec.tensors) {
      if (tensor.linear && !tensor.bias) {
        check_prunable(header_, names, tensor, planner_.reader.subject());
      }
    }
  }

  std::optional<int64_t> kept_as(int64_t layer) const {
    const auto& kept = structure_.layers;
    const auto at = std::find(kept.begin(), kept.end(), layer);
    if (at == kept.end()) return std::nullopt;
    return at - kept.begin();
  }

  // Aliases name tensors, too (tied heads do not, but a file may alias any).
  void rename_aliases(CheckpointHeader& header) const {
    std::map<std::string, std::string> aliases;
    for (const auto& [alias, stored] : header_.aliases) {
      const auto from = renamed(alias);
      const auto to = renamed(stored);
      if (from && to) aliases[*from] = *to;
    }
    header.aliases = aliases;
  }

  std::optional<std::string> renamed(const std::string& name) const {
    const int64_t layer = layer_of(name);
    if (layer < 0) return name;
    const auto place = kept_as(layer);
    if (!place) return std::nullopt;
    return with_layer(name, *place);
  }

  void add_steps(int64_t index, std::vector<Step>& steps, std::vector<PrunedTensor>& pruned) const {
    const TensorInfo& info = header_.tensors[static_cast<size_t>(index)];
    const auto new_name = renamed(info.name);
    if (!new_name) return;
    const TensorSpec* tensor = planner_.spec.find(info.name);
    Selected selected;
    if (tensor != nullptr) {
      selected = select_units(planner_.spec, *tensor, structure_, stored_out_in(info, *tensor));
    }
    if (selected.nothing()) {
      steps.push_back(copy_step(header_, index));
      steps.back().outputs[0].name = *new_name;
      return;
    }
    const DType type = pruned_type(info.type);
    PrunedTensor entry;
    entry.name = info.name;
    entry.renamed = *new_name;
    entry.shape_before = info.shape;
    entry.select = std::make_shared<SelectTransform>(info, selected, type);
    Step step;
    step.input = index;
    step.outputs = {selected_tensor(info, selected, type)};
    step.outputs[0].name = *new_name;
    step.transform = entry.select;
    entry.shape_after = step.outputs[0].shape;
    steps.push_back(step);
    pruned.push_back(entry);
  }

  const PrunePlanner& planner_;
  ThreadPool& pool_;
  const CheckpointHeader& header_;
  Structure structure_;
};

}  // namespace

bool needs_all_weights(const PruneRequest& request) {
  if (request.pattern == PatternKind::kStructured) return true;
  return request.pattern == PatternKind::kUnstructured && !request.has_threshold &&
         request.scope != Scope::kTensor;
}

PrunePlan PrunePlanner::plan(ThreadPool& pool) const {
  if (request.pattern == PatternKind::kStructured) return StructurePlanner(*this, pool).plan();
  return MaskPlanner(*this, pool).plan();
}

}  // namespace hone
