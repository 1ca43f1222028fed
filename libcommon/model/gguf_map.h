// GGUF's names and layouts against Hugging Face's, tensor by tensor. Names go by role, so they are
// the same for every architecture (the table of convert_hf_to_gguf.py).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libcommon/model/arch/arch.h"
#include "libcommon/model/layout.h"
#include "libcommon/model/spec.h"

namespace hone {

inline constexpr std::string_view kGgufHead = "output.weight";
inline constexpr std::string_view kGgufEmbedding = "token_embd.weight";
inline constexpr std::string_view kGgufRopeDivisors = "rope_freqs.weight";

// "blk.3.attn_q.weight"
std::string gguf_name(const TensorSpec& tensor);

// What turns one tensor of Hugging Face's layout into GGUF's, or back.
struct GgufLayout {
  RowOrder order = RowOrder::kSame;
  int64_t head_dim = 0;
  bool turn = false;  // Conv1D: rows and columns change places
};

enum class GgufDirection : uint8_t { kToGguf, kFromGguf };

// Block types and quantized parts are never turned: they are [out, in] everywhere.
GgufLayout gguf_layout(const Architecture& architecture, const ModelSpec& spec,
                       const TensorSpec& tensor, GgufDirection direction);

// Norms, biases and positions are F32 in GGUF whatever the file type.
bool gguf_wants_f32(const TensorSpec& tensor);

}  // namespace hone
