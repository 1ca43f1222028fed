// Causal attention over the cache, by the online softmax (Milakov and Gimelshein 2018; Dao et al.
// 2022, FlashAttention): keys come in blocks, and when a block holds a new maximum, what was summed
// so far is scaled down. So no row of scores as long as the context is ever stored.
//
// Positions are cut into ranges of kRange, and each range gets a softmax of its own (Flash-
// Decoding, Dao et al. 2023): partial sums that are merged in the order of the ranges. A long
// context is thereby work for many threads even for one token. Blocks and ranges lie at multiples
// of their size, so the order of all sums depends on a token's position and window alone.
//
// Neighbouring tokens of one sequence make a tile, which meets each block of keys and values while
// it is in L1. A task is a tile and a kv head over one range; where so many tokens come together
// that their partial sums would not stay in the caches, it is over all ranges, merged as it goes.
#include <algorithm>
#include <vector>

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "hwy/highway.h"
#include "kernels/cpu/attention-tile-inl.h"
#include "kernels/cpu/cpu_ops.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kTileRows = 128;            // query rows of a tile: its tokens times their heads
constexpr int64_t kPartialFloats = 1 << 20;   // of all partial sums: 4 MiB
constexpr int64_t kTaskElements = 32 * 1024;  // multiply-adds worth handing to a thread

thread_local Scratch task_scratch;
thread_local Scratch total_scratch;
thread_local Scratch partials_scratch;  // of the thread that calls the op

void check_shapes(const AttentionArgs& args) {
  CHECK(args.kv_heads > 0 && args.heads % args.kv_heads == 0);
  CHECK(args.capacity % kKvTile == 0);
  for (int64_t t = 0; t < args.tokens; ++t) {
    CHECK(args.positions[t] >= 0 && args.positions[t] < args.capacity);
  }
}

std::vector<Tile> cut_tiles(const AttentionArgs& args) {
  const int64_t most = std::max<int64_t>(1, kTileRows / (args.heads / args.kv_heads));
  std::vector<Tile> tiles;
  for (int64_t begin = 0; begin < args.tokens;) {
    int64_t end = begin + 1;
    while (end < args.tokens && end - begin < most &&
           args.sequences[end] == args.sequences[begin] &&
           args.positions[end] == args.positions[end - 1] + 1) {
      ++end;
    }
    tiles.push_back({.token = begin,
                     .count = end - begin,
                     .first_range = first_visible(args, begin) / kRange,
                     .end_range = args.positions[end - 1] / kRange + 1});
    begin = end;
  }
  return tiles;
}

// Multiply-adds of one row over so many positions.
int64_t row_work(const AttentionArgs& args, int64_t positions) {
  return 2 * std::max<int64_t>(1, positions * args.head_dim);
}

// One task a tile and kv head, over all ranges. The last tiles see the most: they go first.
void attend_whole(const AttentionArgs& args, const std::vector<Tile>& tiles, ThreadPool& pool) {
  const int64_t width = kv_width(args.head_dim);
  const auto count = static_cast<int64_t>(tiles.size());
  const int64_t positions = (tiles.back().end_range - tiles.back().first_range) * kRange;
  const int64_t grain = std::max<int64_t>(1, kTaskElements / row_work(args, positions) / kTileRows);
  pool.parallel_for(count * args.kv_heads, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Tile& tile = tiles[static_cast<size_t>(count - 1 - i / args.kv_heads)];
      const Rows rows(args, tile, i % args.kv_heads);
      const int64_t floats = Partial::floats(rows.count(), width);
      float* const memory = total_scratch.reserve(2 * floats);
      const Partial total = Partial::at(memory, rows.count());
      const Partial part = Partial::at(memory + floats, rows.count());
      total.clear(rows.count(), width);
      RangeAttention attention(rows, task_scratch);
      for (int64_t range = tile.first_range; range < tile.end_range; ++range) {
        attention.attend(range, part);
        merge(total, part, rows.count(), width);
      }
      write_out(rows, total);
    }
  });
}

// A tile's range, and where its partial sums lie in those of a kv head.
struct RangeTask {
  const Tile* tile;
  int64_t range;
  int64_t partial;
};

// One task a tile, kv head and range; then the partial sums of each tile are merged.
class SplitAttention {
 public:
  SplitAttention(const AttentionArgs& args, const std::vector<Tile>& tiles)
      : args_(args), tiles_(tiles), width_(kv_width(args.head_dim)) {
    for (const Tile& tile : tiles) {
      first_partial_.push_back(head_floats_);
      for (int64_t range = tile.first_range; range < tile.end_range; ++range) {
        tasks_.push_back({&tile, range, head_floats_});
        head_floats_ += partial_floats(tile);
      }
    }
  }

  int64_t floats() const { return head_floats_ * args_.kv_heads; }

  void run(ThreadPool& pool, float* partials) const {
    const auto count = static_cast<int64_t>(tasks_.size());
    const int64_t beside = args_.heads / args_.kv_heads;
    const int64_t positions = std::min(kRange, tiles_.back().end_range * kRange);
    const int64_t grain =
        std::max<int64_t>(1, kTaskElements / (row_work(args_, positions) * beside));
    pool.parallel_for(count * args_.kv_heads, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        attend_range(tasks_[static_cast<size_t>(i % count)], i / count, partials);
      }
    });
    const int64_t ranges = count / static_cast<int64_t>(tiles_.size());
    const int64_t merge_grain =
        std::max<int64_t>(1, kTaskElements / (4 * ranges * partial_floats(tiles_.front())));
    pool.parallel_for(std::ssize(tiles_) * args_.kv_heads, merge_grain,
                      [&](int64_t begin, int64_t end) {
                        for (int64_t i = begin; i < end; ++i) merge_tile(i, partials);
                      });
  }

 private:
  int64_t partial_floats(const Tile& tile) const {
    return Partial::floats(tile.count * (args_.heads / args_.kv_heads), width_);
  }

  void attend_range(const RangeTask& task, int64_t kv_head, float* partials) const {
    const Rows rows(args_, *task.tile, kv_head);
    float* const memory = partials + kv_head * head_floats_ + task.partial;
    RangeAttention(rows, task_scratch).attend(task.range, Partial::at(memory, rows.count()));
  }

  void merge_tile(int64_t i, const float* partials) const {
    const auto at = static_cast<size_t>(i / args_.kv_heads);
    const Tile& tile = tiles_[at];
    const Rows rows(args_, tile, i % args_.kv_heads);
    float* memory = const_cast<float*>(partials) + rows.kv_head * head_floats_ + first_partial_[at];
    const int64_t floats = partial_floats(tile);
    const Partial total = Partial::at(total_scratch.reserve(floats), rows.count());
    total.clear(rows.count(), width_);
    for (int64_t range = tile.first_range; range < tile.end_range; ++range, memory += floats) {
      merge(total, Partial::at(memory, rows.count()), rows.count(), width_);
    }
    write_out(rows, total);
  }

  const AttentionArgs& args_;
  const std::vector<Tile>& tiles_;
  int64_t width_;
  int64_t head_floats_ = 0;  // of the partial sums of one kv head
  std::vector<int64_t> first_partial_;
  std::vector<RangeTask> tasks_;
};

}  // namespace

void attention(BackendContext& opaque, const AttentionArgs& args) {
  check_shapes(args);
  if (args.tokens == 0) return;
  const std::vector<Tile> tiles = cut_tiles(args);
  ThreadPool& pool = own(opaque).pool;
  const SplitAttention split(args, tiles);
  if (split.floats() > kPartialFloats) return attend_whole(args, tiles, pool);
  split.run(pool, partials_scratch.reserve(split.floats()));
}

}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::cpu {
HWY_EXPORT(attention);
CHOOSE_OP(attention, AttentionArgs)
}  // namespace hone::cpu
#endif
