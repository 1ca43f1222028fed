// Small made-up models for the tests of the graph: a spec and the header-only weights it needs.
#pragma once

#include "libcommon/graph/weight_table.h"

namespace hone::test {

struct MadeModel {
  ModelSpec spec;
  WeightTable weights;
};

inline WeightView view(int64_t rows, int64_t columns, DType type = DType::kF32) {
  WeightView w;
  w.type = type;
  w.rows = rows;
  w.columns = columns;
  w.row_stride = row_bytes(type, columns);
  return w;
}

// A matrix or vector, of the right shape and type F32, for all that the graph asks for.
inline WeightTable weights_for(const Graph& graph) {
  WeightTable table;
  for (const Node& node : graph.nodes) {
    for (const WeightKey& key : node.weights) {
      const auto columns = [&](int id) { return graph.values[static_cast<size_t>(id)].columns; };
      if (key.bias || node.op == OpKind::kNorm) {
        table.vectors[key] = nullptr;
      } else if (node.op == OpKind::kEmbed) {
        table.matrices[key] = view(1000, columns(node.outputs[0]));
      } else {
        table.matrices[key] = view(columns(node.outputs[0]), columns(node.inputs[0]));
      }
    }
  }
  return table;
}

// Llama-like: RMS norms, RoPE, gated, no bias.
inline MadeModel made_llama(int64_t layers = 2) {
  MadeModel model;
  ModelSpec& spec = model.spec;
  spec.architecture = "llama";
  spec.vocab = 1000;
  spec.hidden = 512;
  spec.context = 64;
  spec.rope.rotary = 64;
  LayerSpec layer;
  layer.attention = {.heads = 8, .kv_heads = 4, .head_dim = 64, .scale = 0.125};
  layer.ffn = {.dim = 1024};
  spec.layers.assign(static_cast<size_t>(layers), layer);
  model.weights = weights_for(build_graph(spec));
  return model;
}

// GPT-2-like: layer norms, learned positions, biases everywhere, GELU.
inline MadeModel made_gpt2(int64_t layers = 2) {
  MadeModel model = made_llama(layers);
  ModelSpec& spec = model.spec;
  spec.architecture = "gpt2";
  spec.positions = PositionKind::kLearned;
  spec.norm = {.kind = NormKind::kLayer, .eps = 1e-5, .bias = true};
  for (LayerSpec& layer : spec.layers) {
    layer.attention.kv_heads = 8;
    layer.attention.qkv_bias = layer.attention.output_bias = true;
    layer.ffn = {.dim = 2048, .gated = false, .activation = Activation::kGeluTanh, .bias = true};
  }
  model.weights = weights_for(build_graph(spec));
  return model;
}

}  // namespace hone::test
