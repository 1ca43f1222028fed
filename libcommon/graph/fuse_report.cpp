#include "libcommon/graph/fuse_report.h"

#include <algorithm>
#include <cctype>

#include "libcommon/graph/plan.h"

namespace hone {
namespace {

// "layer 12 " taken out wherever it stands: what is left is equal for identical layers.
std::string without_layers(const std::string& text) {
  static constexpr std::string_view kWord = "layer ";
  std::string result;
  for (size_t i = 0; i < text.size();) {
    if (text.compare(i, kWord.size(), kWord) == 0) {
      size_t end = i + kWord.size();
      while (end < text.size() && std::isdigit(static_cast<unsigned char>(text[end]))) ++end;
      if (end > i + kWord.size()) {
        i = end + (end < text.size() && text[end] == ' ' ? 1 : 0);
        continue;
      }
    }
    result += text[i++];
  }
  return result;
}

std::string matrix_text(int64_t rows, int64_t columns) {
  return "[" + std::to_string(rows) + ", " + std::to_string(columns) + "]";
}

std::vector<const WeightView*> matrices(const Candidate& candidate, const WeightTable& weights) {
  std::vector<const WeightView*> views;
  for (const Node& node : candidate.chain) {
    for (const WeightKey& key : node.weights) {
      const auto found = weights.matrices.find(key);
      if (!key.bias && found != weights.matrices.end()) views.push_back(&found->second);
    }
  }
  return views;
}

// Equal neighbours are counted: "2 x [512, 64]".
std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (size_t i = 0; i < parts.size();) {
    size_t end = i;
    while (end < parts.size() && parts[end] == parts[i]) ++end;
    if (!text.empty()) text += " + ";
    if (end - i > 1) text += std::to_string(end - i) + " x ";
    text += parts[i];
    i = end;
  }
  return text;
}

std::string shapes_text(const FuseReportInputs& inputs, const Graph& graph,
                        const Candidate& candidate) {
  std::vector<std::string> parts;
  for (const WeightView* view : matrices(candidate, inputs.weights)) {
    parts.push_back(matrix_text(view->rows, view->columns));
  }
  if (parts.empty()) {
    const Value& value = graph.values[static_cast<size_t>(candidate.chain.back().outputs[0])];
    const int64_t rows = value.rows == Rows::kWanted ? inputs.shape.wanted : inputs.shape.tokens;
    parts.push_back(matrix_text(rows, value.columns) + " values");
  }
  return joined(parts);
}

std::string storage_of(const FuseReportInputs& inputs, const Candidate& candidate) {
  std::vector<std::string> parts;
  for (const WeightView* view : matrices(candidate, inputs.weights)) {
    const std::string text = storage_text(*view);
    if (parts.empty() || parts.back() != text) parts.push_back(text);
  }
  return parts.empty() ? "F32" : joined(parts);
}

FusionLine line_of(const FuseReportInputs& inputs, const Graph& graph, Candidate candidate) {
  FusionLine line;
  line.cost = fusion_cost(graph, candidate, inputs.weights, inputs.shape);
  line.shapes = shapes_text(inputs, graph, candidate);
  line.storage = storage_of(inputs, candidate);
  const std::string separator = " | ";
  line.group = std::string(candidate.fusion->name) + separator + without_layers(candidate.place) +
               separator + (candidate.fused ? "fused" : without_layers(candidate.reason)) +
               separator + line.shapes + separator + line.storage;
  line.candidate = std::move(candidate);
  return line;
}

// Fused places first, by fusion factor; places of one group have equal factors and stay together.
void rank(std::vector<FusionLine>& lines) {
  std::stable_sort(lines.begin(), lines.end(), [](const FusionLine& a, const FusionLine& b) {
    if (a.candidate.fused != b.candidate.fused) return a.candidate.fused;
    if (a.cost.fusion_factor != b.cost.fusion_factor) {
      return a.cost.fusion_factor > b.cost.fusion_factor;
    }
    return a.group < b.group;
  });
  int64_t rank = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i == 0 || lines[i].group != lines[i - 1].group) ++rank;
    lines[i].rank = rank;
  }
}

GraphFigures figures(const Graph& graph, const FuseReportInputs& inputs) {
  const Plan plan = plan_arena(
      graph, {.tokens = inputs.shape.tokens, .wanted = std::max<int64_t>(inputs.shape.wanted, 1)});
  return {.cost = total_cost(graph, graph.nodes, inputs.weights, inputs.shape),
          .arena_bytes = plan.arena_bytes,
          .sum_bytes = plan.sum_bytes};
}

}  // namespace

FuseReport fuse_report(const FuseReportInputs& inputs) {
  FuseReport report;
  report.subject = inputs.subject;
  report.shape = inputs.shape;
  report.before = build_graph(inputs.spec);
  check_weights(report.before, inputs.weights, inputs.subject);
  Rewritten rewritten = rewrite(report.before, inputs.weights, inputs.rewrite);
  report.after = std::move(rewritten.graph);
  for (Candidate& candidate : rewritten.candidates) {
    report.lines.push_back(line_of(inputs, report.before, std::move(candidate)));
  }
  rank(report.lines);
  report.figures_before = figures(report.before, inputs);
  report.figures_after = figures(report.after, inputs);
  return report;
}

bool FuseReport::passed() const {
  if (model && !model->passed()) return false;
  return std::all_of(lines.begin(), lines.end(),
                     [](const FusionLine& line) { return !line.check || line.check->passed(); });
}

bool FuseReport::has_fused(std::string_view name) const {
  return std::any_of(lines.begin(), lines.end(), [&](const FusionLine& line) {
    return line.candidate.fused && line.candidate.fusion->name == name;
  });
}

}  // namespace hone
