#include "libcommon/model/gguf_map.h"

#include "kernels/check.h"

namespace hone {
namespace {

std::string_view gguf_role(Role role) {
  switch (role) {
    case Role::kEmbedding:
      return "token_embd";
    case Role::kPositionEmbedding:
      return "position_embd";
    case Role::kEmbeddingNorm:
      return "token_embd_norm";
    case Role::kAttentionNorm:
      return "attn_norm";
    case Role::kQ:
      return "attn_q";
    case Role::kK:
      return "attn_k";
    case Role::kV:
      return "attn_v";
    case Role::kQkv:
      return "attn_qkv";
    case Role::kQNorm:
      return "attn_q_norm";
    case Role::kKNorm:
      return "attn_k_norm";
    case Role::kAttentionOutput:
      return "attn_output";
    case Role::kFfnNorm:
      return "ffn_norm";
    case Role::kGate:
      return "ffn_gate";
    case Role::kUp:
      return "ffn_up";
    case Role::kDown:
      return "ffn_down";
    case Role::kFinalNorm:
      return "output_norm";
    case Role::kHead:
      return "output";
  }
  CHECK(false);
  return {};
}

}  // namespace

std::string gguf_name(const TensorSpec& tensor) {
  const std::string block = tensor.layer < 0 ? "" : "blk." + std::to_string(tensor.layer) + ".";
  return block + std::string(gguf_role(tensor.role)) + (tensor.bias ? ".bias" : ".weight");
}

GgufLayout gguf_layout(const Architecture& architecture, const ModelSpec& spec,
                       const TensorSpec& tensor, GgufDirection direction) {
  const bool to_gguf = direction == GgufDirection::kToGguf;
  GgufLayout layout;
  layout.head_dim = spec.layers.front().attention.head_dim;
  layout.turn = tensor.layout == StoredLayout::kInOut;
  if (tensor.layout == StoredLayout::kHeadQkv) {
    layout.order = to_gguf ? RowOrder::kHeadsToQkv : RowOrder::kQkvToHeads;
  }
  if (architecture.gguf_permutes_qk && (tensor.role == Role::kQ || tensor.role == Role::kK)) {
    layout.order = to_gguf ? RowOrder::kToInterleaved : RowOrder::kToHalves;
  }
  return layout;
}

bool gguf_wants_f32(const TensorSpec& tensor) {
  return tensor.shape.size() == 1 || tensor.role == Role::kPositionEmbedding;
}

}  // namespace hone
