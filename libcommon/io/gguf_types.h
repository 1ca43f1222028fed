// Numbers of the GGUF v3 format (ggml's gguf.h): value types, limits, and the names of the element
// types, also of those hone does not decode, for messages.
#pragma once

#include <cstdint>
#include <string>

#include "libcommon/io/gguf.h"

namespace hone::gguf {

enum ValueType : int32_t {
  kUint8 = 0,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
  kValueTypes
};

inline constexpr uint32_t kVersion = 3;
inline constexpr uint64_t kMostDimensions = 4;
inline constexpr uint64_t kLongestName = 63;  // GGML_MAX_NAME without its NUL
inline constexpr uint64_t kLongestString = 1u << 30;
inline constexpr uint64_t kMostElements = 1u << 30;   // of an array
inline constexpr uint64_t kLargestHeader = 1u << 28;  // hone's own: a pipe may go on for ever
inline constexpr uint32_t kDefaultAlignment = 32;
inline constexpr uint32_t kLargestAlignment = 1u << 20;
inline constexpr char kAlignmentKey[] = "general.alignment";

// Least bytes a value of this type takes in the file: strings and arrays, their counts.
uint64_t least_bytes(int32_t value_type);
std::string value_type_name(int32_t value_type);

// "IQ2_XXS (16)", "an unknown type (99)".
std::string type_name(int32_t ggml_type);

// Next multiple of a power of two; the value must be below 2^63.
inline uint64_t align_up(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

// "" or what is wrong with it.
std::string alignment_fault(uint64_t alignment);

}  // namespace hone::gguf
