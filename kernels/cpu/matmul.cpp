// Matrix products on weights as they are stored. Rows are cut into blocks of kBlock, which threads
// take a few at a time; each block meets many tokens before the next comes. tile-inl.h
// multiplies floats and pairs of BF16, dot-inl.h says how their sums are formed; int8_product-inl.h
// multiplies integers.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "hwy/highway.h"
#include "kernels/convert.h"
#include "kernels/cpu/activation-inl.h"
#include "kernels/cpu/bf16_amx-inl.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/float_tiles-inl.h"
#include "kernels/cpu/int8_input-inl.h"
#include "kernels/cpu/int8_kernels-inl.h"
#include "kernels/cpu/quantize-inl.h"
#include "kernels/cpu/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kBlock = 32;
constexpr int64_t kRangeElements = 256 * 1024;  // multiply-adds worth handing to a thread
constexpr int64_t kRanges = 32;                 // at most about so many of an op
// From one range to the next the processor's prefetching stops: 16 ranges a thread cost a product
// of 4096 rows a twentieth of its time. Where there are threads enough, so many multiply-adds at
// once.
constexpr int64_t kStretch = 2 * 1024 * 1024;

// The most tokens of an area, which is a block of rows with them, or several: their sums stay in
// L2.
constexpr int64_t kAreaTokens = 528;
// Blocks of an area in tile registers: there each tile of tokens, which L2 has no room for, meets
// so many rows that it is there in time.
constexpr int64_t kAmxAreaBlocks = 4;
static_assert(kAreaTokens % kGroupTokens == 0 && kAreaTokens % kInt8Tokens == 0 &&
              kAreaTokens % kAmxTokens == 0);
static_assert(kBlock <= kAreaRows && kBlock % (2 * kLanes) == 0);

// Tokens from which on tile registers are faster, and faster for rows of bytes and nibbles; and
// areas of several blocks.
constexpr int64_t kTilesFrom = 9;
constexpr int64_t kByteTilesFrom = 5;
constexpr int64_t kAmxAreaFrom = 16;

TokenOrder token_order(const Context& context, const Int8Kernel& kernel, const Int8Layout& layout,
                       int64_t tokens) {
  const int64_t columns = kernel.row_tile_columns;
  const bool in_place = columns > 0 && layout.run % columns == 0 && tokens <= kAmxFewTokens;
  const int64_t from = in_place && columns >= kLine ? kByteTilesFrom : kTilesFrom;
  if (!context.amx || tokens < from) return TokenOrder::kQuads;
  return in_place ? TokenOrder::kTileQuads : TokenOrder::kTileTokens;
}

// One matrix and the tokens that it meets.
struct Product {
  Decoder weight;
  const float* x;                      // [tokens, columns], rounded where the weight asks for it
  const float* token_scale = nullptr;  // [tokens] or null
  bool pairs = false;                  // x and weight: PairLane instead of FloatLane
  bool in_tiles = false;               // pairs: x as round_to_tiles lays it out
  const Int8Tokens* int8 = nullptr;    // instead of x and token_scale
  Int8Kernel kernel = {};
};

bool rounds_to_fp8(const WeightView& w) { return w.packed_bits == 0 && w.type == DType::kF8E4M3; }

// How a weight wants its activations.
struct Rounding {
  enum class Kind { kNone, kToken, kRuns, kInt8, kBF16, kPairs, kTilePairs } kind = Kind::kNone;
  bool fp8 = false;
  Int8Layout layout = {};
  bool operator==(const Rounding&) const = default;

  Rounding(const Context& context, const WeightView& w, const Product& product, int64_t tokens) {
    if (rounds_to_bf16(w)) {
      kind = !product.pairs ? Kind::kBF16 : context.amx ? Kind::kTilePairs : Kind::kPairs;
    }
    if (!w.quantize_input && !rounds_in_runs(w)) return;
    fp8 = w.quantize_input && rounds_to_fp8(w);
    kind = w.quantize_input ? Kind::kToken : Kind::kRuns;
    layout = {.columns = w.columns, .run = input_run(w), .per_token = w.quantize_input};
    if (!product.kernel.make) return;
    kind = Kind::kInt8;
    layout.per_byte = product.kernel.per_byte;
    layout.order = token_order(context, product.kernel, layout, tokens);
  }
};

// Rounded floats with a scale per token, which waits until the end.
void round_tokens(ThreadPool& pool, const WeightView& w, const float* x, int64_t tokens,
                  RoundedTokens& out) {
  const int64_t columns = w.columns;
  const bool fp8 = rounds_to_fp8(w);
  grow(out.scale, tokens);
  grow(out.values, tokens * columns);
  const int64_t grain = std::max<int64_t>(1, kRangeElements / 4 / columns);
  pool.parallel_for(tokens, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      out.scale[t] = token_step(x + t * columns, columns, fp8);
      round_token(x + t * columns, columns, out.scale[t], fp8, out.values.data() + t * columns);
    }
  });
}

// Rounded floats times their scales: for storages that have no kernel of integers.
void round_runs(ThreadPool& pool, const Int8Layout& layout, const float* x, int64_t tokens,
                RoundedTokens& out) {
  const int64_t runs = run_count(layout);
  grow(out.values, tokens * layout.columns);
  pool.parallel_for(tokens * runs, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t c = i % runs * layout.run;
      const int64_t at = i / runs * layout.columns + c;
      const int64_t count = std::min(layout.run, layout.columns - c);
      const float step = run_step(x + at, count);
      const float factor = 1.0f / step;
      transform1(x + at, out.values.data() + at, count, [factor, step](auto d, auto v) {
        const auto scaled = hn::Min(hn::Mul(v, hn::Set(d, factor)), hn::Set(d, 127.0f));
        return hn::Mul(hn::Round(scaled), hn::Set(d, step));
      });
    }
  });
}

// To BF16: two in a lane.
void round_to_pairs(ThreadPool& pool, const WeightView& w, const float* x, int64_t tokens,
                    RoundedTokens& out) {
  const int64_t columns = w.columns;
  grow(out.values, tokens * columns / 2);
  const int64_t grain = std::max<int64_t>(1, kRangeElements / columns);
  pool.parallel_for(tokens, grain, [&](int64_t begin, int64_t end) {
    auto* const pairs = reinterpret_cast<std::byte*>(out.values.data() + begin * columns / 2);
    narrow_row(DType::kBF16, x + begin * columns, (end - begin) * columns, pairs);
  });
}

#if HWY_TARGET != HWY_AVX3
// Never chosen.
void round_to_tiles(ThreadPool&, int64_t, const float*, int64_t, LineVector<float>&) {}
#endif

// To BF16, as floats.
void round_to_bf16(ThreadPool& pool, const WeightView& w, const float* x, int64_t tokens,
                   RoundedTokens& out) {
  constexpr int64_t kPiece = 4096;
  const int64_t all = tokens * w.columns;
  grow(out.values, all);
  pool.parallel_for(all, kPiece, [&](int64_t begin, int64_t end) {
    std::byte narrow[kPiece * sizeof(uint16_t)];
    narrow_row(DType::kBF16, x + begin, end - begin, narrow);
    widen_row(DType::kBF16, narrow, end - begin, out.values.data() + begin);
  });
}

// The products of one op: `count` matrices over the same tokens, which are rounded once for all
// matrices that round them alike.
struct Products {
  std::vector<Product> each;

  Products(Context& context, const WeightView* const* weights, int count, const float* x,
           int64_t tokens) {
    std::vector<Rounding> roundings;
    for (int i = 0; i < count; ++i) {
      const WeightView& w = *weights[i];
      CHECK(w.columns > 0 && w.columns == weights[0]->columns);
      const bool pairs = context.bf16_products && has_pairs(w);
      each.push_back({.weight = pairs ? Decoder::of_pairs(w) : Decoder(w), .x = x, .pairs = pairs});
      if ((w.quantize_input || rounds_in_runs(w)) && context.int8_kernels && !rounds_to_fp8(w)) {
        each[i].kernel = choose_int8_kernel(w);
      }
      roundings.emplace_back(context, w, each[i], tokens);
      int source = 0;
      while (!(roundings[source] == roundings[i])) ++source;
      if (source == i) round(context, w, x, tokens, roundings[i], i);
      take(context, roundings[i], source, each[i]);
    }
  }

 private:
  static void round(Context& context, const WeightView& w, const float* x, int64_t tokens,
                    const Rounding& rounding, int slot) {
    ThreadPool& pool = context.pool;
    using Kind = Rounding::Kind;
    if (rounding.kind == Kind::kToken) round_tokens(pool, w, x, tokens, context.rounded[slot]);
    if (rounding.kind == Kind::kRuns) {
      round_runs(pool, rounding.layout, x, tokens, context.rounded[slot]);
    }
    if (rounding.kind == Kind::kInt8) {
      round_to_int8(pool, rounding.layout, x, tokens, context.int8[slot]);
    }
    if (rounding.kind == Kind::kBF16) round_to_bf16(pool, w, x, tokens, context.rounded[slot]);
    if (rounding.kind == Kind::kPairs) round_to_pairs(pool, w, x, tokens, context.rounded[slot]);
    if (rounding.kind == Kind::kTilePairs) {
      round_to_tiles(pool, w.columns, x, tokens, context.rounded[slot].values);
    }
  }

  static void take(const Context& context, const Rounding& rounding, int slot, Product& product) {
    using Kind = Rounding::Kind;
    if (rounding.kind == Kind::kNone) return;
    if (rounding.kind == Kind::kInt8) {
      product.int8 = &context.int8[slot];
      return;
    }
    product.x = context.rounded[slot].values.data();
    product.in_tiles = rounding.kind == Kind::kTilePairs;
    if (rounding.kind == Kind::kToken) product.token_scale = context.rounded[slot].scale.data();
  }
};

// Results of an area: token(t)[r]; of one token, room for as many rows as there are values. Memory
// that a thread keeps, for each matrix of a gated product.
class Sums {
 public:
  static constexpr int64_t kRoom = kAreaTokens * kAmxAreaBlocks * kBlock;

  explicit Sums(int64_t stride, int matrix = 0) : stride_(stride) {
    thread_local LineVector<float> memory[2];
    grow(memory[matrix], kRoom);
    values_ = memory[matrix].data();
  }
  float* token(int64_t t) const { return values_ + t * stride_; }
  int64_t stride() const { return stride_; }

 private:
  float* values_;
  int64_t stride_;
};

// A product with what a thread needs of its own.
class Multiplier {
 public:
  // For the blocks up to end.
  Multiplier(const Product& product, int64_t end, int64_t tokens) : product_(product) {
    const WeightView& w = product.weight.weight();
    if (product.int8) int8_ = product.kernel.make(w, std::min(end * kBlock, w.rows), tokens);
  }

  void multiply(const Area& area, const Sums& sums) const {
    const SumsView view{sums.token(0), sums.stride()};
    if (int8_) {
      int8_->multiply(area.row, area.rows, *product_.int8, area.token, area.tokens, view.at,
                      view.stride);
      return;
    }
    const WeightView& w = product_.weight.weight();
    if (product_.in_tiles) return multiply_in_tiles(w, area, view);
    if (w.tiles) {
      const auto multiply =
          w.type == DType::kBF16 ? multiply_float_tiles<BF16Tiles> : multiply_float_tiles<F16Tiles>;
      return multiply(w, product_.x, area, view);
    }
    const auto multiply = product_.pairs ? multiply_lanes<PairLane> : multiply_lanes<FloatLane>;
    multiply(product_.weight, product_.x, area, view);
    if (!product_.token_scale) return;
    for (int64_t t = 0; t < area.tokens; ++t) {
      for (int64_t r = 0; r < area.rows; ++r) {
        sums.token(t)[r] *= product_.token_scale[area.token + t];
      }
    }
  }

 private:
#if HWY_TARGET == HWY_AVX3
  void multiply_in_tiles(const WeightView& w, const Area& area, SumsView sums) const {
    TilePairs(w, product_.x).multiply(area, sums);
  }
#else
  static void multiply_in_tiles(const WeightView&, const Area&, SumsView) {}  // never chosen
#endif

  const Product& product_;
  std::unique_ptr<Int8Product> int8_;
};

int64_t block_count(int64_t rows) { return (rows + kBlock - 1) / kBlock; }

// Blocks in a range that a thread takes at once: long stretches of memory, but enough of them that
// no thread waits long for the last one.
int64_t block_grain(int64_t blocks, int64_t columns, int64_t tokens, int64_t threads) {
  const int64_t of_block = kBlock * columns * tokens;
  const int64_t stretch = std::min(kStretch / of_block, blocks / (2 * threads));
  return std::max<int64_t>({1, kRangeElements / of_block, stretch, blocks / kRanges});
}

// The areas of one op. Of one token, one is as long as its sums have room: each matrix is a stream,
// and a gated product that changed between two every few rows would break both.
struct Areas {
  int64_t tokens;
  int64_t rows;   // of an area
  int64_t grain;  // blocks in a range

  Areas(const Context& context, int64_t token_count, int64_t blocks, int64_t columns)
      : tokens(token_count),
        rows(kBlock),
        grain(block_grain(blocks, columns, token_count, context.pool.threads())) {
    if (tokens == 1) rows = Sums::kRoom;
    if (context.amx && tokens >= kAmxAreaFrom) {
      rows = kAmxAreaBlocks * kBlock;
      grain = (grain + kAmxAreaBlocks - 1) / kAmxAreaBlocks * kAmxAreaBlocks;
    }
  }
  Sums sums(int matrix = 0) const { return Sums(rows, matrix); }

  // Calls body(area) for every area of the blocks [begin, end).
  template <class Body>
  void for_each(int64_t begin, int64_t end, int64_t all_rows, const Body& body) const {
    const int64_t last = std::min(end * kBlock, all_rows);
    for (int64_t t = 0; t < tokens; t += kAreaTokens) {
      for (int64_t row = begin * kBlock; row < last; row += rows) {
        body(Area{.row = row,
                  .rows = std::min(rows, last - row),
                  .token = t,
                  .tokens = std::min(kAreaTokens, tokens - t)});
      }
    }
  }
};

struct Epilogue {
  float* out;
  int64_t out_stride;
  const float* bias;
  Activation activation;
  const float* residual;
  int64_t residual_stride;
};

void finish(const Epilogue& e, const Area& area, const Sums& sums) {
  for (int64_t t = 0; t < area.tokens; ++t) {
    float* const values = sums.token(t);
    for (int64_t r = 0; e.bias && r < area.rows; ++r) values[r] += e.bias[area.row + r];
    if (e.activation != Activation::kNone) {
      transform1(values, values, area.rows,
                 [&e](auto d, auto v) { return activate(d, e.activation, v); });
    }
    float* const out = e.out + (area.token + t) * e.out_stride + area.row;
    const float* const residual =
        e.residual ? e.residual + (area.token + t) * e.residual_stride + area.row : nullptr;
    for (int64_t r = 0; r < area.rows; ++r) out[r] = residual ? values[r] + residual[r] : values[r];
  }
}

}  // namespace

void matmul(BackendContext& opaque, const MatmulArgs& args) {
  Context& context = own(opaque);
  const WeightView& w = args.weight;
  if (args.tokens == 0 || w.rows == 0) return;
  const WeightView* const weights[] = {&w};
  const Products products(context, weights, 1, args.x, args.tokens);
  const Epilogue epilogue{.out = args.out,
                          .out_stride = args.out_stride ? args.out_stride : w.rows,
                          .bias = args.bias,
                          .activation = args.activation,
                          .residual = args.residual,
                          .residual_stride = w.rows};
  const int64_t blocks = block_count(w.rows);
  const Areas areas(context, args.tokens, blocks, w.columns);
  context.pool.parallel_for(blocks, areas.grain, [&](int64_t begin, int64_t end) {
    const Sums sums = areas.sums();
    const Multiplier multiplier(products.each[0], end, args.tokens);
    areas.for_each(begin, end, w.rows, [&](const Area& area) {
      multiplier.multiply(area, sums);
      finish(epilogue, area, sums);
    });
  });
}

void gated_matmul(BackendContext& opaque, const GatedMatmulArgs& args) {
  Context& context = own(opaque);
  const int64_t rows = args.gate.rows;
  CHECK(args.up.rows == rows);
  if (args.tokens == 0 || rows == 0) return;
  const WeightView* const weights[] = {&args.gate, &args.up};
  const Products products(context, weights, 2, args.x, args.tokens);
  const int64_t blocks = block_count(rows);
  const Areas areas(context, args.tokens, blocks, 2 * args.gate.columns);
  context.pool.parallel_for(blocks, areas.grain, [&](int64_t begin, int64_t end) {
    const Sums gates = areas.sums();
    const Sums ups = areas.sums(1);
    const Multiplier gate(products.each[0], end, args.tokens);
    const Multiplier up(products.each[1], end, args.tokens);
    areas.for_each(begin, end, rows, [&](const Area& area) {
      gate.multiply(area, gates);
      up.multiply(area, ups);
      for (int64_t t = 0; t < area.tokens; ++t) {
        float* const out = args.out + (area.token + t) * rows + area.row;
        transform2(gates.token(t), ups.token(t), out, area.rows, [&args](auto d, auto g, auto u) {
          return hn::Mul(activate(d, args.activation, g), u);
        });
      }
    });
  });
}

void qkv_matmul(BackendContext& opaque, const QkvMatmulArgs& args) {
  Context& context = own(opaque);
  if (args.tokens == 0) return;
  const int64_t columns = args.weight[0].columns;
  const WeightView* const weights[] = {&args.weight[0], &args.weight[1], &args.weight[2]};
  const Products products(context, weights, 3, args.x, args.tokens);
  int64_t first[4] = {0};  // blocks of the three matrices, one after the other
  for (int i = 0; i < 3; ++i) first[i + 1] = first[i] + block_count(args.weight[i].rows);
  const Areas areas(context, args.tokens, first[3], columns);
  context.pool.parallel_for(first[3], areas.grain, [&](int64_t begin, int64_t end) {
    const Sums sums = areas.sums();
    for (int i = 0; i < 3; ++i) {
      const int64_t rows = args.weight[i].rows;
      const Epilogue epilogue{.out = args.out[i],
                              .out_stride = rows,
                              .bias = args.bias[i],
                              .activation = Activation::kNone,
                              .residual = nullptr,
                              .residual_stride = rows};
      const int64_t from = std::max(begin, first[i]) - first[i];
      const int64_t to = std::min(end, first[i + 1]) - first[i];
      if (from >= to) continue;
      const Multiplier multiplier(products.each[i], to, args.tokens);
      areas.for_each(from, to, rows, [&](const Area& area) {
        multiplier.multiply(area, sums);
        finish(epilogue, area, sums);
      });
    }
  });
}

}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone::cpu {
HWY_EXPORT(matmul);
HWY_EXPORT(gated_matmul);
HWY_EXPORT(qkv_matmul);
CHOOSE_OP(matmul, MatmulArgs)
CHOOSE_OP(gated_matmul, GatedMatmulArgs)
CHOOSE_OP(qkv_matmul, QkvMatmulArgs)
}  // namespace hone::cpu
#endif
