// Both graphs as one Graphviz file: "dot -Tsvg". Fused ops are filled and carry the names of their
// fusions.
#include <string>

#include "libcommon/graph/fuse_report.h"

namespace hone {
namespace {

std::string node_id(const std::string& prefix, size_t index) {
  return prefix + std::to_string(index);
}

// Names come from the program, but a quote or backslash in one would break the file.
std::string escaped(const std::string& text) {
  std::string result;
  for (char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

std::string node_line(const Node& node, const std::string& id) {
  std::string label = escaped(node.name) + "\\n" + std::string(op_name(node.op));
  std::string fill;
  if (!node.merged.empty()) {
    label += "\\n";
    for (size_t i = 0; i < node.merged.size(); ++i) {
      label += (i > 0 ? ", " : "") + escaped(node.merged[i]);
    }
    fill = ", style=filled, fillcolor=lightblue";
  }
  return "    " + id + " [label=\"" + label + "\"" + fill + "];\n";
}

std::string edge_label(const Value& value) {
  if (value.rows == Rows::kState) return "cache";
  return (value.rows == Rows::kWanted ? "wanted x " : "tokens x ") + std::to_string(value.columns);
}

std::string cluster(const Graph& graph, const std::string& prefix, const std::string& title) {
  std::string text = "  subgraph cluster_" + prefix + " {\n    label=\"" + title + ": " +
                     std::to_string(graph.nodes.size()) + " ops\";\n";
  const std::vector<int> producer = producers(graph);
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    text += node_line(graph.nodes[i], node_id(prefix, i));
  }
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    for (int id : graph.nodes[i].inputs) {
      const auto from = static_cast<size_t>(producer[static_cast<size_t>(id)]);
      text += "    " + node_id(prefix, from) + " -> " + node_id(prefix, i) + " [label=\"" +
              edge_label(graph.values[static_cast<size_t>(id)]) + "\"];\n";
    }
  }
  return text + "  }\n";
}

}  // namespace

std::string dot_text(const Graph& before, const Graph& after) {
  return "digraph fusions {\n  node [shape=box, fontname=\"sans-serif\"];\n" +
         cluster(before, "before", "before") + cluster(after, "after", "after") + "}\n";
}

}  // namespace hone
