// Placing of weights: see weights.h. The host turns rows of a file into placed rows in pinned
// memory, piece by piece, several threads at a time, while the device copies earlier pieces.
#include "kernels/cuda/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "kernels/convert.h"
#include "kernels/cuda/block_codes.h"
#include "kernels/cuda/staging.h"
#include "kernels/parallel.h"

namespace hone::cuda {

constexpr int64_t kPieceBytes = 8 << 20;  // on their way at once

struct Loader {
  ThreadPool pool{default_threads()};
  std::unique_ptr<Staging> staging = open_staging(kPieceBytes);
};

namespace {

constexpr int64_t kSparseColumns = 32;  // of a 2:4 matrix: that share a scale
constexpr int64_t kSegment = 64;        // bytes that words are turned in; rows are multiples of it
constexpr int64_t kAlignment = 256;     // of each array
constexpr int64_t kSlack = 32;          // zero bytes after scales and after zero points

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// ---- What becomes of a matrix.

struct Form {
  DType type = DType::kF32;  // as in a WeightView
  int packed_bits = 0;
  int64_t group = 0;  // 0: no scales
  DType scale_type = DType::kF32;
  bool zeros = false;
  bool sparse = false;  // stays 2:4

  bool integer() const { return packed_bits != 0 || type == DType::kI8; }
  bool narrow() const { return integer() || type == DType::kF8E4M3; }  // at most a byte
};

bool group_allowed(const WeightView& host, int64_t multiple) {
  return !host.scales || host.group == host.columns || host.group % multiple == 0;
}

// Integers and fp8 with the scales of the file, or one of 1 for each row.
Form with_scales(const WeightView& host, DType type, int packed_bits) {
  return {.type = type,
          .packed_bits = packed_bits,
          .group = host.scales ? host.group : host.columns,
          .scale_type = host.scales ? host.scale_type : DType::kF32,
          .zeros = host.zeros != nullptr,
          .sparse = host.index && group_allowed(host, kSparseColumns)};
}

// Columns that `stored` neighbouring elements of a row stand for.
int64_t spread(const WeightView& host, int64_t stored) { return host.index ? 2 * stored : stored; }

Form dense_form_of_blocks(const WeightView& host) {
  switch (host.type) {
    case DType::kQ8_0:
    case DType::kQ5_0:
    case DType::kIQ4_NL:
      return {.type = DType::kI8, .group = spread(host, 32), .scale_type = DType::kF16};
    case DType::kIQ4_XS:
    case DType::kMXFP4:
      return {.type = DType::kI8, .group = spread(host, 32), .scale_type = DType::kF32};
    case DType::kQ4_0:
      return {.type = DType::kI32,
              .packed_bits = 4,
              .group = spread(host, 32),
              .scale_type = DType::kF16};
    case DType::kQ6_K:
      return {.type = DType::kI8, .group = spread(host, 16), .scale_type = DType::kF32};
    default:
      return {.type = blocks_fit_f16(host) ? DType::kF16 : DType::kF32};
  }
}

// Groups of 2:4 blocks are at least of kSparseColumns.
Form form_of_blocks(const WeightView& host) {
  Form form = dense_form_of_blocks(host);
  form.sparse = host.index && form.type != DType::kF32;
  return form;
}

bool is_integer(const WeightView& host) { return host.packed_bits != 0 || host.type == DType::kI8; }

Form form_of(const WeightView& host) {
  if (is_integer(host)) {
    if (host.packed_bits == 4 && group_allowed(host, 32)) {
      return with_scales(host, DType::kI32, 4);
    }
    if (group_allowed(host, 16)) return with_scales(host, DType::kI8, 0);
    return {};
  }
  if (host.type == DType::kF8E4M3 && !host.zeros && group_allowed(host, 16)) {
    return with_scales(host, DType::kF8E4M3, 0);
  }
  if (host.scales) return {};
  if (is_block(host.type)) return form_of_blocks(host);
  if (host.type == DType::kF16 || host.type == DType::kBF16) {
    return {.type = host.type, .sparse = host.index != nullptr};
  }
  return {};
}

// ---- Where its parts lie.

struct Layout {
  int64_t row_bytes = 0;   // of elements, without padding
  int64_t row_stride = 0;  // of the payload
  int64_t groups = 0;      // a row
  int64_t scales = 0;      // offsets from the matrix's start
  int64_t zeros = 0;
  int64_t index = 0;  // where 2:4
  int64_t units = 0;  // of the index, in a segment
  int64_t bytes = 0;

  int64_t index_bytes() const { return row_stride / kSegment * units * 128; }  // of 16 rows
};

constexpr int64_t kIndexRows = 16;
int64_t index_tiles(const WeightView& host) { return (host.rows + kIndexRows - 1) / kIndexRows; }

Layout layout_of(const WeightView& host, const Form& form) {
  Layout at;
  at.row_bytes =
      form.packed_bits ? (host.columns * 4 + 31) / 32 * 4 : row_bytes(form.type, host.columns);
  if (form.sparse) at.row_bytes /= 2;
  at.row_stride = round_up(at.row_bytes, kSegment);
  at.groups = form.group ? host.columns / form.group : 0;
  at.scales = round_up(host.rows * at.row_stride, kAlignment);
  at.bytes = at.scales;
  if (at.groups > 0) {
    const int64_t scale_bytes = host.rows * at.groups * row_bytes(form.scale_type, 1);
    at.zeros = round_up(at.scales + scale_bytes + kSlack, kAlignment);
    at.bytes = at.zeros + (form.zeros ? host.rows * at.groups + kSlack : 0);
  }
  if (form.sparse) {
    at.units = form.packed_bits == 4 ? 4 : form.narrow() ? 2 : 1;
    at.index = round_up(at.bytes, kAlignment);
    at.bytes = at.index + index_tiles(host) * at.index_bytes();
  }
  return at;
}

// ---- Rows.

// Turns each segment as weights.h draws it: what lanes take from it one after the other, of the
// size of a T, comes together.
template <typename T>
void turn(std::byte* row, int64_t bytes) {
  constexpr int kEach = kSegment / (4 * sizeof(T));  // of a lane
  for (std::byte* segment = row; segment < row + bytes; segment += kSegment) {
    T from[kEach][4], to[4][kEach];
    std::memcpy(from, segment, sizeof from);
    for (int j = 0; j < kEach; ++j) {
      for (int t = 0; t < 4; ++t) to[t][j] = from[j][t];
    }
    std::memcpy(segment, to, sizeof to);
  }
}

// Brings the even elements of each word to its low half, the odd ones to its high half.
template <int kBits>
void part_words(std::byte* row, int64_t bytes) {
  for (std::byte* at = row; at < row + bytes; at += sizeof(uint32_t)) {
    uint32_t from, to = 0;
    std::memcpy(&from, at, sizeof from);
    for (int e = 0; e < 32 / kBits; ++e) {
      to |= (from >> kBits * e & ((1u << kBits) - 1)) << (kBits * (e / 2) + 16 * (e % 2));
    }
    std::memcpy(at, &to, sizeof to);
  }
}

// A row in stored order becomes a placed one.
void order(const Form& form, std::byte* row, int64_t bytes) {
  if (!form.sparse) {
    if (form.narrow()) turn<uint32_t>(row, bytes);
  } else if (form.packed_bits == 4) {
    turn<uint16_t>(row, bytes);
    part_words<4>(row, bytes);
  } else if (form.narrow()) {
    turn<uint32_t>(row, bytes);
    if (form.integer()) part_words<8>(row, bytes);
  } else {
    turn<uint64_t>(row, bytes);
  }
}

// The stored integers of a row.
void stored_codes(const WeightView& host, const std::byte* payload, int8_t* out) {
  const int64_t count = host.stored_columns();
  if (host.packed_bits != 0) return unpack_row(payload, count, host.packed_bits, out);
  if (is_block(host.type)) return codes_of_blocks(host.type, payload, count, out);
  std::memcpy(out, payload, static_cast<size_t>(count));  // I8, F8E4M3
}

// The codes of a 2:4 row with those that were not kept, which stand for zero.
void expand(const WeightView& host, const Form& form, int64_t row, const int8_t* kept,
            int8_t* dense) {
  const std::byte* const index = host.index + row * (host.columns / 8);
  const int8_t* const zeros = host.zeros ? host.zeros + row * (host.columns / form.group) : nullptr;
  for (int64_t q = 0; q < host.columns / 4; ++q) {
    const unsigned nibble = std::to_integer<unsigned>(index[q / 2]) >> q % 2 * 4;
    std::fill_n(dense + 4 * q, 4, zeros ? zeros[4 * q / form.group] : int8_t{0});
    dense[4 * q + (nibble & 3)] = kept[2 * q];
    dense[4 * q + (nibble >> 2 & 3)] = kept[2 * q + 1];
  }
}

void pack_nibbles(const int8_t* codes, int64_t count, std::byte* out) {
  for (int64_t i = 0; i + 1 < count; i += 2) {
    out[i / 2] = static_cast<std::byte>((codes[i] + 8) | (codes[i + 1] + 8) << 4);
  }
  if (count % 2 == 1) out[count / 2] = static_cast<std::byte>(codes[count - 1] + 8);
}

// True where placed elements are stored elements, byte for byte, but for their order.
bool same_elements(const WeightView& host, const Form& form) {
  return host.type == form.type && host.packed_bits == form.packed_bits &&
         (form.sparse || !host.index) && (form.group != 0 || !host.scales);
}

void fill_codes(const WeightView& host, const Form& form, int64_t row, std::byte* out) {
  thread_local std::vector<int8_t> stored, dense;
  stored.resize(static_cast<size_t>(host.stored_columns()));
  stored_codes(host, host.payload + row * host.row_stride, stored.data());
  const std::vector<int8_t>* codes = &stored;
  if (host.index && !form.sparse) {
    dense.resize(static_cast<size_t>(host.columns));
    expand(host, form, row, stored.data(), dense.data());
    codes = &dense;
  }
  if (form.packed_bits == 4) {
    pack_nibbles(codes->data(), static_cast<int64_t>(codes->size()), out);
  } else {
    std::memcpy(out, codes->data(), codes->size());
  }
}

void fill_floats(const WeightView& host, const Form& form, int64_t row, std::byte* out) {
  if (form.type == DType::kF32) return decode_weight_row(host, row, reinterpret_cast<float*>(out));
  thread_local std::vector<float> values;
  const int64_t count = host.stored_columns();
  values.resize(static_cast<size_t>(count));
  widen_row(host.type, host.payload + row * host.row_stride, count, values.data());
  narrow_row(form.type, values.data(), count, out);
}

void fill_payload(const WeightView& host, const Form& form, const Layout& at, int64_t row,
                  std::byte* out) {
  std::memset(out + at.row_bytes, 0, static_cast<size_t>(at.row_stride - at.row_bytes));
  if (same_elements(host, form)) {
    std::memcpy(out, host.payload + row * host.row_stride, static_cast<size_t>(at.row_bytes));
  } else if (form.narrow()) {
    std::memset(out, 0, static_cast<size_t>(at.row_bytes));
    fill_codes(host, form, row, out);
  } else {
    fill_floats(host, form, row, out);
  }
  order(form, out, at.row_stride);
}

// Positions of the kept elements of four quadruples of columns, from the first on, 2 apart.
uint32_t positions(const WeightView& host, int64_t row, int64_t first) {
  constexpr uint32_t kFirstTwo = 4;  // where a row has ended: 0 and 1
  uint32_t packed = 0;
  for (int i = 0; i < 4; ++i) {
    const int64_t quad = first + 2 * i;
    uint32_t nibble = kFirstTwo;
    if (row < host.rows && quad < host.columns / 4) {
      const std::byte pair = host.index[row * (host.columns / 8) + quad / 2];
      nibble = std::to_integer<uint32_t>(pair) >> quad % 2 * 4 & 15;
    }
    packed |= nibble << 4 * i;
  }
  return packed;
}

// Of 16 rows: 32 lanes' words for each segment, one for each unit of 64 columns (weights.h).
void fill_index(const WeightView& host, const Layout& at, int64_t tile, std::byte* out) {
  for (int64_t segment = 0; segment < at.row_stride / kSegment; ++segment) {
    for (int lane = 0; lane < 32; ++lane) {
      for (int64_t u = 0; u < at.units; ++u, out += sizeof(uint32_t)) {
        const int64_t row = kIndexRows * tile + lane / 4;
        const int64_t first = 16 * (segment * at.units + u) + lane % 4 / 2 * 8 + lane % 2;
        const uint32_t word = positions(host, row, first) | positions(host, row + 8, first) << 16;
        std::memcpy(out, &word, sizeof word);
      }
    }
  }
}

void fill_scales(const WeightView& host, int64_t groups, int64_t row, std::byte* out) {
  if (host.scales) {
    const int64_t bytes = row_bytes(host.scale_type, groups);
    std::memcpy(out, host.scales + (host.scale_rows == 1 ? 0 : row * bytes),
                static_cast<size_t>(bytes));
    return;
  }
  if (host.packed_bits == 0 && is_block(host.type)) {
    return scales_of_blocks(host.type, host.payload + row * host.row_stride, groups, out);
  }
  constexpr float kOne = 1;
  for (int64_t g = 0; g < groups; ++g) std::memcpy(out + 4 * g, &kOne, sizeof kOne);
}

// ---- Sending.

// fill(row, out) writes `stride` bytes for each of `rows`, which go to `to` one after the other.
template <typename Fill>
void send_rows(Context& context, std::byte* to, int64_t rows, int64_t stride, Fill fill) {
  if (rows == 0 || stride == 0) return;
  constexpr int64_t kRangeBytes = 64 << 10;  // of one thread's share of the work
  Loader& loader = *context.loader;
  const int64_t piece = std::max<int64_t>(1, kPieceBytes / stride);
  const int64_t grain = std::max<int64_t>(1, kRangeBytes / stride);
  for (int64_t first = 0; first < rows; first += piece) {
    const int64_t count = std::min(piece, rows - first);
    std::byte* const memory = loader.staging->next(static_cast<size_t>(count * stride));
    loader.pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) fill(first + r, memory + r * stride);
    });
    loader.staging->send(context.stream, to + first * stride, static_cast<size_t>(count * stride));
  }
}

// Kernels read scales and zeros by words, some beyond the end.
void zero_slack(Context& context, std::byte* array, int64_t bytes) {
  fill_zero(context.stream, array + bytes, kSlack);
}

WeightView view_of(const WeightView& host, const Form& form, const Layout& at,
                   const std::byte* memory) {
  WeightView view;
  view.payload = memory;
  view.type = form.type;
  view.packed_bits = form.packed_bits;
  view.rows = host.rows;
  view.columns = host.columns;
  view.row_stride = at.row_stride;
  view.quantize_input = host.quantize_input;
  if (form.sparse) view.index = memory + at.index;
  if (form.group == 0) return view;
  view.scales = memory + at.scales;
  view.scale_type = form.scale_type;
  view.scale_rows = host.rows;
  view.group = form.group;
  if (form.zeros) view.zeros = reinterpret_cast<const int8_t*>(memory + at.zeros);
  return view;
}

}  // namespace

size_t placed_bytes(const WeightView& host) {
  return static_cast<size_t>(layout_of(host, form_of(host)).bytes);
}

WeightView place(Context& context, const WeightView& host, std::byte* memory) {
  if (!context.loader) context.loader = std::make_shared<Loader>();
  const Form form = form_of(host);
  const Layout at = layout_of(host, form);
  send_rows(context, memory, host.rows, at.row_stride,
            [&](int64_t row, std::byte* out) { fill_payload(host, form, at, row, out); });
  if (form.sparse) {
    send_rows(context, memory + at.index, index_tiles(host), at.index_bytes(),
              [&](int64_t tile, std::byte* out) { fill_index(host, at, tile, out); });
  }
  const int64_t scale_bytes = at.groups * row_bytes(form.scale_type, 1);
  if (at.groups > 0) zero_slack(context, memory + at.scales, host.rows * scale_bytes);
  send_rows(context, memory + at.scales, host.rows, scale_bytes,
            [&](int64_t row, std::byte* out) { fill_scales(host, at.groups, row, out); });
  if (form.zeros) {
    zero_slack(context, memory + at.zeros, host.rows * at.groups);
    send_rows(context, memory + at.zeros, host.rows, at.groups, [&](int64_t row, std::byte* out) {
      std::memcpy(out, host.zeros + row * at.groups, static_cast<size_t>(at.groups));
    });
  }
  return view_of(host, form, at, memory);
}

}  // namespace hone::cuda
