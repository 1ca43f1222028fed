// Moves rows and columns between the layouts in which models are stored: pure byte movement, any
// element type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace hone {

// Where a row of the result comes from.
enum class RowOrder : uint8_t {
  kSame,
  kQkvToHeads,     // q | k | v -> [head][q, k, v][head_dim]: BLOOM as Hugging Face stores it
  kHeadsToQkv,     // the reverse
  kToInterleaved,  // rotate-half -> interleaved RoPE (GGUF's llama): halves of a head become pairs
  kToHalves,       // the reverse
};

struct RowMove {
  RowOrder order = RowOrder::kSame;
  int64_t head_dim = 0;
  int64_t rows = 0;  // a multiple of head_dim; of 3 head_dim for the Qkv orders
};

// Row of the source that becomes `row` of the result.
int64_t source_row(const RowMove& move, int64_t row);

// A matrix of plain elements, turned: out[c - first][r] = in[r][c] for c in [first, first + count).
struct Turn {
  const std::byte* in;  // [rows, columns]
  int64_t rows;
  int64_t columns;
  int64_t element;  // bytes
};
void turn_rows(const Turn& turn, int64_t first, int64_t count, std::byte* out);

}  // namespace hone
