// Finding one side of a fusion's equation in a graph, from the op that ends it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "libcommon/graph/fusions.h"
#include "libcommon/graph/graph.h"

namespace hone {

// Who writes and who reads what, kept beside a graph that does not change meanwhile.
struct GraphIndex {
  explicit GraphIndex(const Graph& g) : graph(g), producer(producers(g)), readers(consumers(g)) {}

  const Node& node(int index) const { return graph.nodes[static_cast<size_t>(index)]; }
  int writer(int value) const { return producer[static_cast<size_t>(value)]; }
  const std::vector<int>& read_by(int value) const { return readers[static_cast<size_t>(value)]; }

  const Graph& graph;
  std::vector<int> producer;
  std::vector<std::vector<int>> readers;
};

struct Match {
  std::vector<int> nodes;                // of each pattern step; -1 where none was found
  std::map<std::string, int> variables;  // name -> value id
  std::string reason;                    // "" for a whole match, else why it stops

  bool whole() const { return reason.empty(); }
  int found() const;
};

// Tries to lay the pattern's last step on node `anchor`. Of the possible orders of add and mul the
// first whole match wins, else the one that got furthest.
Match match_pattern(const GraphIndex& index, const std::vector<PatternStep>& steps, int anchor);

}  // namespace hone
