// Every element type that a tensor can have on disk or in memory, one row each: plain scalars and
// GGUF's blocks (a block packs a fixed number of neighbouring elements of one row).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace hone {

// X(name, elements per block, bytes per block, safetensors name or "", ggml type id or -1)
// Layouts of the blocks are drawn in formats.h.
#define FOR_EACH_DTYPE(X)        \
  X(F64, 1, 8, "F64", 28)        \
  X(F32, 1, 4, "F32", 0)         \
  X(F16, 1, 2, "F16", 1)         \
  X(BF16, 1, 2, "BF16", 30)      \
  X(F8E4M3, 1, 1, "F8_E4M3", -1) \
  X(F8E5M2, 1, 1, "F8_E5M2", -1) \
  X(I64, 1, 8, "I64", 27)        \
  X(I32, 1, 4, "I32", 26)        \
  X(I16, 1, 2, "I16", 25)        \
  X(I8, 1, 1, "I8", 24)          \
  X(U64, 1, 8, "U64", -1)        \
  X(U32, 1, 4, "U32", -1)        \
  X(U16, 1, 2, "U16", -1)        \
  X(U8, 1, 1, "U8", -1)          \
  X(Bool, 1, 1, "BOOL", -1)      \
  X(Q8_0, 32, 34, "", 8)         \
  X(Q4_0, 32, 18, "", 2)         \
  X(Q4_1, 32, 20, "", 3)         \
  X(Q5_0, 32, 22, "", 6)         \
  X(Q5_1, 32, 24, "", 7)         \
  X(Q4_K, 256, 144, "", 12)      \
  X(Q5_K, 256, 176, "", 13)      \
  X(Q6_K, 256, 210, "", 14)      \
  X(IQ4_NL, 32, 18, "", 20)      \
  X(IQ4_XS, 256, 136, "", 23)    \
  X(MXFP4, 32, 17, "", 39)

enum class DType : uint8_t {
#define X(name, elements, bytes, safetensors, ggml) k##name,
  FOR_EACH_DTYPE(X)
#undef X
};

struct DTypeInfo {
  std::string_view name;   // "BF16", "Q4_K": as users and GGUF spell it
  int64_t block_elements;  // 1 for scalars
  int64_t block_bytes;
  std::string_view safetensors;  // "" where safetensors has no such type
  int ggml_id;                   // -1 where GGUF has no such type
};

inline constexpr DTypeInfo kDTypes[] = {
#define X(name, elements, bytes, safetensors, ggml) {#name, elements, bytes, safetensors, ggml},
    FOR_EACH_DTYPE(X)
#undef X
};

constexpr const DTypeInfo& info(DType type) { return kDTypes[static_cast<size_t>(type)]; }
constexpr std::string_view name(DType type) { return info(type).name; }
constexpr bool is_block(DType type) { return info(type).block_elements > 1; }
constexpr bool is_float(DType type) { return type <= DType::kF8E5M2; }

// Bytes of `columns` neighbouring elements; `columns` must be a multiple of the block.
constexpr int64_t row_bytes(DType type, int64_t columns) {
  return columns / info(type).block_elements * info(type).block_bytes;
}

inline std::optional<DType> dtype_from_safetensors(std::string_view text) {
  for (size_t i = 0; i < std::size(kDTypes); ++i) {
    if (!text.empty() && kDTypes[i].safetensors == text) return static_cast<DType>(i);
  }
  return std::nullopt;
}

inline std::optional<DType> dtype_from_ggml(int id) {
  for (size_t i = 0; i < std::size(kDTypes); ++i) {
    if (id >= 0 && kDTypes[i].ggml_id == id) return static_cast<DType>(i);
  }
  return std::nullopt;
}

inline std::optional<DType> dtype_from_name(std::string_view text) {
  for (size_t i = 0; i < std::size(kDTypes); ++i) {
    if (kDTypes[i].name == text) return static_cast<DType>(i);
  }
  return std::nullopt;
}

}  // namespace hone
