// GGUF v3 as a container: keys, tensor headers, data. What the keys and names mean for a model is
// model/gguf_map.h. Layout and rules: the reader checks every count against the bytes really there
// before it allocates (a 160-byte file must not cost a gigabyte).
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "libcommon/io/checkpoint.h"

namespace hone {

struct GgufArray;
using GgufValue = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool,
                               std::string, uint64_t, int64_t, double, std::shared_ptr<GgufArray>>;
struct GgufArray {  // one of these is filled, by element type
  std::vector<std::string> strings;
  std::vector<double> floats;     // f32, f64
  std::vector<int64_t> integers;  // all integer types and bool (u64 beyond int64 is refused)
  int element_type = 0;           // GGUF value type id
};

struct GgufKeys {
  std::vector<std::pair<std::string, GgufValue>> entries;  // file order, unique

  const GgufValue* find(std::string_view key) const;
  // Typed access; any integer type fits where it holds the value. Missing or mistyped: Error that
  // names `subject` and key.
  int64_t integer(std::string_view key, const std::string& subject) const;
  double number(std::string_view key, const std::string& subject) const;
  std::string string(std::string_view key, const std::string& subject) const;
};

// Raw reader: header().tensors carry GGUF names, torch-order shapes (fastest dimension last), and
// types; header().files is empty. "-" reads stdin front to back.
class GgufReader : public CheckpointReader {
 public:
  virtual const GgufKeys& keys() const = 0;
};
std::unique_ptr<GgufReader> open_gguf(const std::string& where);

// Raw writer: begin() takes GGUF names and torch-order shapes; "-" and /dev/null stream, a path
// appears whole.
std::unique_ptr<CheckpointWriter> create_gguf(const std::string& where, GgufKeys keys,
                                              const SinkOptions& options);

}  // namespace hone
