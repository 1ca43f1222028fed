#include "libcommon/io/gguf_types.h"

#include <bit>

namespace hone::gguf {
namespace {

constexpr const char* kValueTypeNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "string", "array", "u64", "i64", "f64"};
static_assert(std::size(kValueTypeNames) == kValueTypes);

struct NamedType {
  int id;
  const char* name;
};

// Known to ggml and not in kernels/dtype.h.
constexpr NamedType kOtherTypes[] = {
    {4, "Q4_2, removed from ggml"},
    {5, "Q4_3, removed from ggml"},
    {9, "Q8_1"},
    {10, "Q2_K"},
    {11, "Q3_K"},
    {15, "Q8_K"},
    {16, "IQ2_XXS"},
    {17, "IQ2_XS"},
    {18, "IQ3_XXS"},
    {19, "IQ1_S"},
    {21, "IQ3_S"},
    {22, "IQ2_S"},
    {29, "IQ1_M"},
    {31, "Q4_0_4_4, removed from ggml"},
    {32, "Q4_0_4_8, removed from ggml"},
    {33, "Q4_0_8_8, removed from ggml"},
    {34, "TQ1_0"},
    {35, "TQ2_0"},
    {36, "IQ4_NL_4_4, removed from ggml"},
    {37, "IQ4_NL_4_8, removed from ggml"},
    {38, "IQ4_NL_8_8, removed from ggml"},
    {40, "NVFP4"},
    {41, "Q1_0"},
    {42, "Q2_0"},
};

}  // namespace

uint64_t least_bytes(int32_t value_type) {
  switch (value_type) {
    case kUint8:
    case kInt8:
    case kBool:
      return 1;
    case kUint16:
    case kInt16:
      return 2;
    case kUint32:
    case kInt32:
    case kFloat32:
      return 4;
    case kArray:
      return 12;  // element type and count
    default:
      return 8;
  }
}

std::string value_type_name(int32_t value_type) {
  if (value_type < 0 || value_type >= kValueTypes) return "type " + std::to_string(value_type);
  return kValueTypeNames[value_type];
}

std::string type_name(int32_t ggml_type) {
  std::string name = "an unknown type";
  if (const std::optional<DType> known = dtype_from_ggml(ggml_type)) name = hone::name(*known);
  for (const NamedType& other : kOtherTypes) {
    if (other.id == ggml_type) name = other.name;
  }
  return name + " (" + std::to_string(ggml_type) + ")";
}

std::string alignment_fault(uint64_t alignment) {
  if (!std::has_single_bit(alignment)) return std::to_string(alignment) + ", not a power of two";
  if (alignment > kLargestAlignment) return std::to_string(alignment) + ", more than 1 MiB";
  return "";
}

}  // namespace hone::gguf
