// A tile of tokens against ranges of positions of one kv head: cuts ranges into blocks, rows into
// groups, and keeps the partial sums. What is added to a row, and in which order, depends on the
// row's own token alone. Compiled once per target (no ordinary include guard).
#if defined(HONE_CPU_ATTENTION_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_ATTENTION_TILE_INL_H_
#undef HONE_CPU_ATTENTION_TILE_INL_H_
#else
#define HONE_CPU_ATTENTION_TILE_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstring>

#include "hwy/aligned_allocator.h"
#include "hwy/highway.h"
#include "kernels/cpu/activation-inl.h"
#include "kernels/cpu/attention-inl.h"
#include "kernels/cpu/softmax-inl.h"
#include "kernels/ops.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kRange = 512;  // positions that share a softmax; a multiple of kKeys
static_assert(kRange % kKeys == 0);

// Memory that a thread keeps for its next task.
class Scratch {
 public:
  float* reserve(int64_t floats) {
    if (floats > floats_) {
      memory_ = hwy::AllocateAligned<float>(static_cast<size_t>(floats));
      floats_ = floats;
    }
    return memory_.get();
  }

 private:
  hwy::AlignedFreeUniquePtr<float[]> memory_;
  int64_t floats_ = 0;
};

// Neighbouring tokens of one sequence, at rising positions.
struct Tile {
  int64_t token;
  int64_t count;
  int64_t first_range;  // ranges [first_range, end_range) hold what the tokens see
  int64_t end_range;
};

// The query rows that a tile has for one kv head: token by token, head by head.
struct Rows {
  const AttentionArgs& args;
  const Tile& tile;
  int64_t kv_head;
  int64_t heads_beside;  // query heads of the kv head

  Rows(const AttentionArgs& a, const Tile& t, int64_t head)
      : args(a), tile(t), kv_head(head), heads_beside(a.heads / a.kv_heads) {}

  int64_t count() const { return tile.count * heads_beside; }
  int64_t last_position() const { return args.positions[tile.token + tile.count - 1]; }

  // body(row, token, head)
  template <class Body>
  void for_each(const Body& body) const {
    for (int64_t row = 0, t = 0; t < tile.count; ++t) {
      for (int64_t h = 0; h < heads_beside; ++h, ++row) {
        body(row, tile.token + t, kv_head * heads_beside + h);
      }
    }
  }
};

int64_t first_visible(const AttentionArgs& args, int64_t token) {
  const int64_t position = args.positions[token];
  return args.window > 0 ? std::max<int64_t>(0, position - args.window + 1) : 0;
}

// ---- Sums of some rows over a range: maxima [rows], sums of weights [rows], weighted values
// [rows, width].
struct Partial {
  float* maxima;
  float* sums;
  float* values;

  static int64_t floats(int64_t rows, int64_t width) { return rows * (width + 2); }
  static Partial at(float* memory, int64_t rows) {
    return {memory, memory + rows, memory + 2 * rows};
  }
  bool empty(int64_t row) const { return maxima[row] == kNone && sums[row] == 0; }
  void clear(int64_t rows, int64_t width) const {
    std::fill_n(maxima, rows, kNone);
    std::fill_n(sums, rows, 0.0f);
    std::fill_n(values, rows * width, 0.0f);
  }
};

// A row that saw nothing in a range leaves the total as it is, to the byte.
void merge(const Partial& total, const Partial& part, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; ++r) {
    if (part.empty(r)) continue;
    if (total.empty(r)) {
      std::copy_n(part.values + r * width, width, total.values + r * width);
      total.sums[r] = part.sums[r];
      total.maxima[r] = part.maxima[r];
      continue;
    }
    const float maximum = std::max(total.maxima[r], part.maxima[r]);
    const float old_share = power_of_two(total.maxima[r] - maximum);
    const float new_share = power_of_two(part.maxima[r] - maximum);
    const Floats kept = hn::Set(kFloatTag, old_share);
    const Floats added = hn::Set(kFloatTag, new_share);
    float* const to = total.values + r * width;
    const float* const from = part.values + r * width;
    for (int64_t i = 0; i < width; i += kLanes) {
      const Floats old = hn::Mul(kept, hn::LoadU(kFloatTag, to + i));
      hn::StoreU(hn::MulAdd(added, hn::LoadU(kFloatTag, from + i), old), kFloatTag, to + i);
    }
    total.sums[r] = total.sums[r] * old_share + part.sums[r] * new_share;
    total.maxima[r] = maximum;
  }
}

void write_out(const Rows& rows, const Partial& total) {
  const AttentionArgs& args = rows.args;
  const int64_t width = kv_width(args.head_dim);
  rows.for_each([&](int64_t row, int64_t token, int64_t head) {
    const float share = 1.0f / total.sums[row];
    transform1(total.values + row * width, args.out + (token * args.heads + head) * args.head_dim,
               args.head_dim, [share](auto d, auto v) { return hn::Mul(v, hn::Set(d, share)); });
  });
}

// ---- Rows meet blocks.
class RangeAttention {
 public:
  RangeAttention(const Rows& rows, Scratch& scratch)
      : rows_(rows),
        args_(rows.args),
        width_(kv_width(args_.head_dim)),
        tile_bytes_(kv_tile_bytes(args_.type, args_.head_dim)),
        widens_(args_.type != DType::kF32 && rows.count() > kMostRows),
        kernels_(kernels_for(widens_ ? DType::kF32 : args_.type)) {
    const int64_t row = args_.sequences[rows.tile.token] * args_.kv_heads + rows.kv_head;
    cache_ = kv_tile_offset(args_.type, args_.head_dim, args_.capacity, row, 0);
    place(scratch);
    pack_queries();
    start_rows();
  }

  // All rows over one range; every field of `out` is written.
  void attend(int64_t range, const Partial& out);

 private:
  void place(Scratch& scratch);
  void pack_queries() const;
  void start_rows() const;
  void open_block(int64_t at);
  Block widened(const std::byte* tiles, float* to, int64_t row_width) const;
  const float* gathered_scales(const std::byte* tiles, float* to) const;
  void attend_block(int64_t first, int64_t count, const Partial& out);
  void take_scores(int64_t first, int64_t count, float* shrink);
  void add_unequal(int64_t first, int64_t count, Weighted weighted) const;

  // What a row sees, and what it has seen so far.
  struct RowState {
    Softmax softmax;
    int64_t first;  // positions [first, position]
    int64_t position;
    float slope;  // ALiBi's, times log2(e)
  };

  // Positions [begin_of, end_of) of the open block that a row sees.
  int64_t begin_of(int64_t row) const {
    return std::clamp<int64_t>(states_[row].first - at_, 0, kKeys);
  }
  int64_t end_of(int64_t row) const {
    return std::clamp<int64_t>(states_[row].position + 1 - at_, 0, kKeys);
  }

  const Rows& rows_;
  const AttentionArgs& args_;
  int64_t width_;
  int64_t tile_bytes_;
  bool widens_;  // several groups of rows meet each block: it is made f32 once for them all
  const BlockKernels& kernels_;
  int64_t cache_;  // byte offset of position 0 of this sequence and kv head

  int64_t at_ = 0;  // the open block: its first position, and where it lies
  Block keys_ = {};
  Block values_ = {};
  const float* key_scales_ = nullptr;
  const float* value_scales_ = nullptr;

  float* queries_;    // groups of kMostRows rows (the last may have fewer): [head_dim][rows]
  float* scores_;     // [kMostRows][kKeys]
  float* wide_keys_;  // a block in f32
  float* wide_values_;
  float* scales_;     // [2][kKeys]
  RowState* states_;  // [rows]
};

void RangeAttention::place(Scratch& scratch) {
  static_assert(alignof(RowState) <= 64);
  constexpr int64_t kState = sizeof(RowState) / sizeof(float);
  const int64_t wide = widens_ ? kKeys * width_ : 0;
  const int64_t queries = (rows_.count() * args_.head_dim + 15) / 16 * 16;
  const int64_t scores = kMostRows * kKeys;
  float* const memory =
      scratch.reserve(queries + scores + 2 * wide + 2 * kKeys + rows_.count() * kState);
  queries_ = memory;
  scores_ = queries_ + queries;
  wide_keys_ = scores_ + scores;
  wide_values_ = wide_keys_ + wide;
  scales_ = wide_values_ + wide;
  states_ = reinterpret_cast<RowState*>(scales_ + 2 * kKeys);
}

// [head_dim][rows of the group]: so a kernel's broadcasts are neighbours.
void RangeAttention::pack_queries() const {
  const int64_t dim = args_.head_dim;
  const int64_t heads = rows_.heads_beside;
  const float* rows[kMostRows];
  for (int64_t first = 0; first < rows_.count(); first += kMostRows) {
    const int64_t count = std::min<int64_t>(kMostRows, rows_.count() - first);
    for (int64_t r = 0; r < count; ++r) {
      const int64_t token = rows_.tile.token + (first + r) / heads;
      const int64_t head = rows_.kv_head * heads + (first + r) % heads;
      rows[r] = args_.q + (token * args_.heads + head) * dim;
    }
    float* packed = queries_ + first * dim;
    if (count == kMostRows) {
      for (int64_t d = 0; d < dim; ++d, packed += kMostRows) {
        for (int r = 0; r < kMostRows; ++r) packed[r] = rows[r][d];
      }
      continue;
    }
    for (int64_t d = 0; d < dim; ++d, packed += count) {
      for (int64_t r = 0; r < count; ++r) packed[r] = rows[r][d];
    }
  }
}

void RangeAttention::start_rows() const {
  rows_.for_each([&](int64_t row, int64_t token, int64_t head) {
    const double slope = args_.alibi_slopes ? args_.alibi_slopes[head] : 0;
    states_[row].first = first_visible(args_, token);
    states_[row].position = args_.positions[token];
    states_[row].slope = static_cast<float>(slope * M_LOG2E);
  });
}

void RangeAttention::attend(int64_t range, const Partial& out) {
  for (int64_t r = 0; r < rows_.count(); ++r) states_[r].softmax.start();
  std::fill_n(out.values, rows_.count() * width_, 0.0f);
  const int64_t first = first_visible(args_, rows_.tile.token) / kKeys * kKeys;
  const int64_t end = std::min((range + 1) * kRange, rows_.last_position() + 1);
  for (int64_t at = std::max(range * kRange, first); at < end; at += kKeys) {
    open_block(at);
    for (int64_t row = 0; row < rows_.count(); row += kMostRows) {
      attend_block(row, std::min<int64_t>(kMostRows, rows_.count() - row), out);
    }
  }
  for (int64_t r = 0; r < rows_.count(); ++r) {
    out.maxima[r] = states_[r].softmax.maximum;
    out.sums[r] = states_[r].softmax.sum();
  }
}

void RangeAttention::open_block(int64_t at) {
  at_ = at;
  const int64_t offset = cache_ + at / kKvTile * tile_bytes_;
  const std::byte* const keys = args_.keys + offset;
  const std::byte* const values = args_.values + offset;
  if (args_.type == DType::kI8) {
    key_scales_ = gathered_scales(keys, scales_);
    value_scales_ = gathered_scales(values, scales_ + kKeys);
  }
  if (widens_) {
    keys_ = widened(keys, wide_keys_, kKvTile);
    values_ = widened(values, wide_values_, width_);
    return;
  }
  // The next block, also behind the range: that is most likely this thread's next one.
  const int64_t ahead = kKeys / kKvTile * tile_bytes_;
  keys_ = {.tiles = keys, .tile_bytes = tile_bytes_, .width = kKvTile, .ahead = ahead};
  values_ = {.tiles = values, .tile_bytes = tile_bytes_, .width = width_, .ahead = ahead};
}

// Tiles of f32 with the elements of the open block's tiles.
Block RangeAttention::widened(const std::byte* tiles, float* to, int64_t row_width) const {
  const int64_t elements = kKvTile * width_;
  for (int64_t t = 0; t * kKvTile < kKeys && at_ + t * kKvTile <= rows_.last_position(); ++t) {
    widen_tile(args_.type, tiles + t * tile_bytes_, elements, to + t * elements);
  }
  return {.tiles = reinterpret_cast<const std::byte*>(to),
          .tile_bytes = elements * static_cast<int64_t>(sizeof(float)),
          .width = row_width,
          .ahead = 0};
}

// [kKeys], as far as the tokens see.
const float* RangeAttention::gathered_scales(const std::byte* tiles, float* to) const {
  const int64_t elements = kv_elements_bytes(args_.type, args_.head_dim);
  for (int64_t t = 0; t * kKvTile < kKeys && at_ + t * kKvTile <= rows_.last_position(); ++t) {
    std::memcpy(to + t * kKvTile, tiles + t * tile_bytes_ + elements, kKvTile * sizeof(float));
  }
  return to;
}

// Rows [first, first + count) meet the open block.
void RangeAttention::attend_block(int64_t first, int64_t count, const Partial& out) {
  const int64_t end = end_of(first + count - 1);  // of the latest token
  if (end == 0 || begin_of(first) == kKeys) return;
  const int64_t vectors = (end + kLanes - 1) / kLanes;
  kernels_.dot[count - 1](keys_, queries_ + first * args_.head_dim, args_.head_dim, vectors,
                          scores_);
  float shrink[kMostRows];
  take_scores(first, count, shrink);
  const Weighted weighted = {.weights = scores_,
                             .shrink = shrink,
                             .begin = begin_of(first),
                             .end = end,
                             .sums = out.values + first * width_};
  const bool equal = begin_of(first + count - 1) == weighted.begin && end_of(first) == end;
  if (equal) return kernels_.add[count - 1](values_, weighted);
  add_unequal(first, count, weighted);
}

void RangeAttention::take_scores(int64_t first, int64_t count, float* shrink) {
  const auto factor = static_cast<float>(args_.scale * M_LOG2E);
  for (int64_t r = 0; r < count; ++r) {
    RowState& state = states_[first + r];
    shrink[r] = state.softmax.take({.factor = factor,
                                    .slope = state.slope,
                                    .from_query = at_ - state.position,
                                    .begin = begin_of(first + r),
                                    .end = end_of(first + r),
                                    .key_scales = key_scales_,
                                    .value_scales = value_scales_},
                                   scores_ + r * kKeys);
  }
}

// Rows that see different parts of the block: what all see together, the rest token by token. A
// weight of zero would not do: zero times a later token's infinity is no zero.
void RangeAttention::add_unequal(int64_t first, int64_t count, Weighted weighted) const {
  constexpr float kOnes[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  static_assert(kMostRows <= 8);
  const bool together = begin_of(first + count - 1) == weighted.begin;
  if (together) {
    weighted.end = end_of(first);
    kernels_.add[count - 1](values_, weighted);
  }
  for (int64_t r = 0; r < count;) {
    int64_t next = r + 1;
    while (next < count && states_[first + next].position == states_[first + r].position) ++next;
    const int64_t begin = together ? weighted.end : begin_of(first + r);
    kernels_.add[next - r - 1](values_, {.weights = weighted.weights + r * kKeys,
                                         .shrink = together ? kOnes : weighted.shrink + r,
                                         .begin = begin,
                                         .end = std::max(begin, end_of(first + r)),
                                         .sums = weighted.sums + r * width_});
    r = next;
  }
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
