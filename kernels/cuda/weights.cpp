// Placing of weights: see weights.h. The host copies bytes of the file into pinned memory, piece by
// piece, by several threads; the device fetches a piece while its kernels place others (place.cu).
// What no kernel reads, types that no model's matrices have, is decoded by the host.
#include "kernels/cuda/weights.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "kernels/cuda/place.h"
#include "kernels/cuda/placed.cuh"
#include "kernels/no_memory.h"

namespace hone::cuda {
namespace {

constexpr int64_t kSparseColumns = 32;  // of a 2:4 matrix: that share a scale
constexpr int64_t kSegment = 64;        // bytes that words are turned in; rows are multiples of it
constexpr int64_t kAlignment = 256;     // of each array
constexpr int64_t kSlack = 32;          // zero bytes after scales and after zero points
constexpr int64_t kIndexRows = 16;      // of a tile of the index
constexpr int64_t kUnitBytes = 128;     // of the index: 32 words

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// ---- What becomes of a matrix.

struct Form {
  DType type = DType::kF32;  // as in a WeightView
  int packed_bits = 0;
  int64_t group = 0;  // 0: no scales
  DType scale_type = DType::kF32;
  bool zeros = false;
  bool sparse = false;   // stays 2:4
  bool decoded = false;  // by the host
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

constexpr Form kDecoded = {.decoded = true};

Form dense_form_of_blocks(const WeightView& host, BlockRange& range) {
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
      return range.fits_f16(host) ? Form{.type = DType::kF16} : kDecoded;
  }
}

// Groups of 2:4 blocks are at least of kSparseColumns.
Form form_of_blocks(const WeightView& host, BlockRange& range) {
  Form form = dense_form_of_blocks(host, range);
  form.sparse = host.index && !form.decoded;
  return form;
}

bool is_integer(const WeightView& host) { return host.packed_bits != 0 || host.type == DType::kI8; }

Form form_of(const WeightView& host, BlockRange& range) {
  if (is_integer(host)) {
    if (host.packed_bits == 4 && group_allowed(host, 32)) {
      return with_scales(host, DType::kI32, 4);
    }
    if (group_allowed(host, 16)) return with_scales(host, DType::kI8, 0);
    return kDecoded;
  }
  if (host.type == DType::kF8E4M3 && !host.zeros && group_allowed(host, 16)) {
    return with_scales(host, DType::kF8E4M3, 0);
  }
  if (host.scales) return kDecoded;
  if (host.type == DType::kF16 || host.type == DType::kBF16) {
    return {.type = host.type, .sparse = host.index != nullptr};
  }
  if (is_block(host.type)) return form_of_blocks(host, range);
  return host.type == DType::kF32 && !host.index ? Form{} : kDecoded;
}

// ---- Where its parts lie.

struct Layout {
  int64_t row_stride = 0;  // of the payload
  int64_t groups = 0;      // a row
  int64_t scales = 0;      // offsets from the matrix's start
  int64_t zeros = 0;
  int64_t index = 0;         // where 2:4
  int64_t index_stride = 0;  // of 16 rows
  int64_t bytes = 0;
};

Layout layout_of(const WeightView& host, const Form& form) {
  Layout at;
  const int64_t elements = form.sparse ? host.columns / 2 : host.columns;
  at.row_stride = round_up(
      form.packed_bits ? packed_row_bytes(elements, 4) : row_bytes(form.type, elements), kSegment);
  at.groups = form.group ? host.columns / form.group : 0;
  at.scales = round_up(host.rows * at.row_stride, kAlignment);
  at.bytes = at.scales;
  if (at.groups > 0) {
    const int64_t scale_bytes = host.rows * at.groups * row_bytes(form.scale_type, 1);
    at.zeros = round_up(at.scales + scale_bytes + kSlack, kAlignment);
    at.bytes = at.zeros + (form.zeros ? host.rows * at.groups + kSlack : 0);
  }
  if (form.sparse) {
    const PlacedForm placed = placed_form({.type = form.type, .packed_bits = form.packed_bits});
    at.index_stride = at.row_stride / kSegment * index_units(placed) * kUnitBytes;
    at.index = round_up(at.bytes, kAlignment);
    at.bytes = at.index + (host.rows + kIndexRows - 1) / kIndexRows * at.index_stride;
  }
  return at;
}

// ---- The way there.

// What a piece has of each of its rows, one array after the other.
enum PartName { kPayload, kIndex, kScales, kZeros, kParts };
struct Part {
  const std::byte* from = nullptr;  // null: the row is decoded
  int64_t from_stride = 0;          // 0: one for all rows
  int64_t bytes = 0;                // of a row
  int64_t stride = 0;               // in the piece, filled up with zeros
  int64_t offset = 0;               // in the piece
};
using Parts = std::array<Part, kParts>;

// Rows of so many bytes, one after the other in the piece.
Part dense_part(const void* from, int64_t bytes, bool one_for_all = false) {
  return {static_cast<const std::byte*>(from), one_for_all ? 0 : bytes, bytes, bytes};
}

Parts parts_of(const WeightView& host, const Form& form) {
  static constexpr float kOne = 1;
  Parts parts;
  if (form.decoded) {
    const int64_t bytes = row_bytes(DType::kF32, host.columns);
    parts[kPayload] = {.bytes = bytes, .stride = round_up(bytes, kSegment)};
    return parts;
  }
  const int64_t bytes = payload_row_bytes(host);
  const int64_t groups = form.group ? host.columns / form.group : 0;
  parts[kPayload] = {host.payload, host.row_stride, bytes, round_up(bytes, kSegment)};
  if (host.index) parts[kIndex] = dense_part(host.index, host.columns / 8);
  if (host.scales) {
    const int64_t row = groups * row_bytes(host.scale_type, 1);
    parts[kScales] = dense_part(host.scales, row, host.scale_rows == 1);
  } else if (form.group != 0 && !is_block(host.type)) {
    parts[kScales] = dense_part(&kOne, sizeof kOne, true);
  }
  if (host.zeros) parts[kZeros] = dense_part(host.zeros, groups);
  return parts;
}

// Bytes of a piece with so many rows.
int64_t arrange(Parts& parts, int64_t rows) {
  int64_t bytes = 0;
  for (Part& part : parts) {
    part.offset = bytes;
    bytes += round_up(rows * part.stride, kSegment);
  }
  return bytes;
}

// Whole tiles of an index, as many as a piece of so many bytes takes.
int64_t rows_of_piece(const Parts& parts, int64_t bytes) {
  int64_t row = 0;
  for (const Part& part : parts) row += part.stride;
  return std::max(kIndexRows, (bytes - kParts * kSegment) / row / kIndexRows * kIndexRows);
}

// Row `row` of the matrix as row `at` of the piece.
void fill_row(const WeightView& host, const Parts& parts, int64_t row, int64_t at,
              std::byte* piece) {
  for (const Part& part : parts) {
    if (part.bytes == 0) continue;
    std::byte* const to = piece + part.offset + at * part.stride;
    if (part.from) {
      std::memcpy(to, part.from + row * part.from_stride, static_cast<size_t>(part.bytes));
    } else {
      decode_weight_row(host, row, reinterpret_cast<float*>(to));
    }
    std::memset(to + part.bytes, 0, static_cast<size_t>(part.stride - part.bytes));
  }
}

// The rows of a piece on the device.
WeightView stored_view(const WeightView& host, const Form& form, const Parts& parts,
                       const std::byte* piece, int64_t rows) {
  const auto begin = [&](PartName name) {
    return parts[name].bytes > 0 ? piece + parts[name].offset : nullptr;
  };
  WeightView stored = host;
  if (form.decoded) stored.type = form.type, stored.packed_bits = 0;
  stored.rows = rows;
  stored.payload = begin(kPayload);
  stored.row_stride = parts[kPayload].stride;
  stored.index = begin(kIndex);
  stored.scales = begin(kScales);
  stored.zeros = reinterpret_cast<const int8_t*>(begin(kZeros));
  return stored;
}

// ---- What is there then.

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

PlacedArrays arrays_from(const Form& form, const Layout& at, std::byte* memory, int64_t row) {
  const int64_t scales = row * at.groups;
  return {.payload = memory + row * at.row_stride,
          .index = memory + at.index + row / kIndexRows * at.index_stride,
          .scales = memory + at.scales + row_bytes(form.scale_type, scales),
          .zeros = memory + at.zeros + scales};
}

// Kernels read scales and zeros by words, some beyond the end.
void zero_slack(simt::Stream stream, const PlacedArrays& end, const Form& form) {
  if (form.group != 0) fill_zero(stream, end.scales, kSlack);
  if (form.zeros) fill_zero(stream, end.zeros, kSlack);
}

}  // namespace

size_t Loader::placed_bytes(const WeightView& host) {
  return static_cast<size_t>(layout_of(host, form_of(host, range_)).bytes);
}

WeightView Loader::placed_view(const WeightView& host) {
  const Form form = form_of(host, range_);
  return view_of(host, form, layout_of(host, form), no_memory<const std::byte>());
}

WeightView Loader::place(simt::Stream stream, const WeightView& host, std::byte* memory) {
  constexpr int64_t kRangeBytes = 64 << 10;  // of one thread's share of the work
  const Form form = form_of(host, range_);
  const Layout at = layout_of(host, form);
  const WeightView placed = view_of(host, form, at, memory);
  Parts parts = parts_of(host, form);
  const int64_t grain = std::max<int64_t>(1, kRangeBytes / parts[kPayload].stride);
  const int64_t at_once = rows_of_piece(parts, piece_bytes_);
  for (int64_t first = 0; first < host.rows; first += at_once) {
    const int64_t rows = std::min(at_once, host.rows - first);
    const Feed::Piece piece = feed_->next(static_cast<size_t>(arrange(parts, rows)));
    pool_.parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) fill_row(host, parts, first + r, r, piece.host);
    });
    feed_->send();
    place_rows(piece.stream, stored_view(host, form, parts, piece.device, rows), placed,
               arrays_from(form, at, memory, first));
  }
  zero_slack(stream, arrays_from(form, at, memory, host.rows), form);
  feed_->join(stream, memory, static_cast<size_t>(at.bytes));
  return placed;
}

}  // namespace hone::cuda
