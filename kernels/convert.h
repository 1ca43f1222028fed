// Rows of weights from one storage to another at memory speed: what quantizing, pruning and making
// random weights spend their time in. codec.h defines the formats, element by element; these give
// the same bytes, vectorised in cpu/ with run-time dispatch.
//
// Sums are the same bits at every vector width: within a row (or a group of it) element i goes to
// partial sum i % 16, and the sixteen are added in order. Squares are exact in double.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/dtype.h"

namespace hone {

// decode_row and encode_row of codec.h; types without a vector version go there.
void widen_row(DType type, const std::byte* row, int64_t count, float* out);
void narrow_row(DType type, const float* values, int64_t count, std::byte* out);

// What a conversion did to the numbers of a row. Not finite where a number, before or after, is not
// finite: the sums then say that and no more.
struct RowError {
  double square_sum = 0;    // of the numbers before
  double square_error = 0;  // of after - before, each difference rounded to f32
  float worst = 0;          // largest |after - before|
};

// narrow_row, and what it did.
RowError narrow_and_compare(DType type, const float* values, int64_t count, std::byte* out);

// ---- Integers and fp8 with scales. A row is cut into groups of `group` numbers, count a multiple.

// Lowest and highest number of each group, and 0. False, with nothing useful in low and high, where
// a number is not finite.
bool group_ranges(const float* values, int64_t count, int64_t group, float* low, float* high);

struct GroupRow {
  const float* values = nullptr;  // [count], finite
  int64_t count = 0;
  int64_t group = 0;
  const float* scales = nullptr;  // [count / group], positive
  const int8_t* zeros = nullptr;  // [count / group], inside the range of the codes; null: all 0
};

// codes[i] = round(clamp(values[i] / scale + zero)) to [-2^(bits-1), 2^(bits-1) - 1], ties to even;
// what it stands for is (code - zero) * scale. bits: 2 to 8.
RowError round_row(const GroupRow& row, int bits, int8_t* codes);
// codes[i] = e4m3(clamp(values[i] / scale, -448, 448)), as bits.
RowError round_row_f8(const GroupRow& row, int8_t* codes);

// pack_row of codec.h for codes that are known to be in range.
void pack_codes(const int8_t* codes, int64_t count, int bits, std::byte* out);

// ---- Pruning of rows of F16 or BF16, whose magnitudes order as their bits do. Numbers are copied
// bit for bit or become 0.

// Two of each four numbers stay: those of largest magnitude, of equals the first. count: a multiple
// of 8. live: bit i % 8 of byte i / 8 says that out[i] is neither pruned nor 0.
void prune_2_4(const std::byte* row, int64_t count, std::byte* out, uint8_t* live);
// compress_2_4 of codec.h for such a row.
void pack_2_4(const std::byte* row, const uint8_t* live, int64_t count, std::byte* kept,
              std::byte* index);
// Numbers whose magnitude, as bits without the sign, is at most `limit` become 0; none for -1.
void prune_up_to(const std::byte* row, int64_t count, int limit, std::byte* out);
// How many magnitudes are exactly `bits`.
int64_t count_magnitude(const std::byte* row, int64_t count, int bits);

struct RowChange {
  RowError error;  // square_error: of what was removed
  int64_t zeros_before = 0;
  int64_t zeros_after = 0;
};
RowChange compare_pruned(DType type, const std::byte* before, const std::byte* after,
                         int64_t count);

// ---- Random weights, approximately normal: the sum of the four 16-bit quarters of draw i of
// rng.h's generator with this key, made to have mean 0 and the given deviation, plus `mean`.
struct RandomRow {
  uint64_t key = 0;
  uint64_t first = 0;  // index of the first draw
  float mean = 0;
  float deviation = 1;
};
void random_row(const RandomRow& row, int64_t count, float* out);

}  // namespace hone
