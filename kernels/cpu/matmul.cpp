// Matrix products on weights as they are stored. Rows are cut into blocks of kBlock, which threads
// take a few at a time; a block meets the tokens kTokenBlock at a time, so that those stay in L2
// while all rows of the range pass by. dot-inl.h says how sums are formed.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "hwy/highway.h"
#include "kernels/cpu/activation-inl.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/dot-inl.h"
#include "kernels/cpu/quantize-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kBlock = 16;
constexpr int64_t kTokenBlock = 64;
constexpr int64_t kRangeElements = 128 * 1024;  // multiply-adds worth handing to a thread

// One matrix and the tokens that it meets.
struct Product {
  Decoder weight;
  const float* x;                      // [tokens, columns], rounded if quantize_input
  const int16_t* integers = nullptr;   // instead of x
  const float* token_scale = nullptr;  // [tokens] or null
};

// int8 times int8 with scales that can wait until the end.
bool is_integer_product(const WeightView& w) {
  return w.quantize_input && w.type == DType::kI8 && w.packed_bits == 0 && !w.zeros && !w.index &&
         (!w.scales || w.group == w.columns);
}

bool rounds_to_fp8(const WeightView& w) { return w.packed_bits == 0 && w.type == DType::kF8E4M3; }

void round_tokens(ThreadPool& pool, const WeightView& w, const float* x, int64_t tokens,
                  RoundedTokens& out) {
  const int64_t columns = w.columns;
  const bool fp8 = rounds_to_fp8(w);
  out.scale.resize(tokens);
  out.values.resize(tokens * columns);
  out.integers.resize(is_integer_product(w) ? tokens * columns : 0);
  const int64_t grain = std::max<int64_t>(1, kRangeElements / 4 / columns);
  pool.parallel_for(tokens, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* const values = out.values.data() + t * columns;
      out.scale[t] = token_step(x + t * columns, columns, fp8);
      round_token(x + t * columns, columns, out.scale[t], fp8, values);
    }
    if (out.integers.empty()) return;
    for (int64_t i = begin * columns; i < end * columns; ++i) {
      out.integers[i] = static_cast<int16_t>(out.values[i]);
    }
  });
}

bool round_alike(const WeightView& a, const WeightView& b) {
  return a.quantize_input == b.quantize_input && rounds_to_fp8(a) == rounds_to_fp8(b) &&
         is_integer_product(a) == is_integer_product(b);
}

// The products of one op: `count` matrices over the same tokens, which are rounded once for all
// matrices that round them alike.
struct Products {
  std::vector<Product> each;

  Products(Context& context, const WeightView* const* weights, int count, const float* x,
           int64_t tokens) {
    for (int i = 0; i < count; ++i) {
      const WeightView& w = *weights[i];
      CHECK(w.columns > 0 && w.columns == weights[0]->columns);
      each.push_back({.weight = Decoder(w), .x = x});
      if (!w.quantize_input) continue;
      int source = 0;
      while (source < i && !round_alike(*weights[source], w)) ++source;
      RoundedTokens& rounded = context.rounded[source];
      if (source == i) round_tokens(context.pool, w, x, tokens, rounded);
      each[i].x = rounded.values.data();
      each[i].token_scale = rounded.scale.data();
      if (is_integer_product(w)) each[i].integers = rounded.integers.data();
    }
  }
};

// A stretch of the work: rows [row, row + rows) of a block, tokens [token, token + tokens).
struct Area {
  int64_t row;
  int64_t rows;  // <= kBlock
  int64_t token;
  int64_t tokens;  // <= kTokenBlock
};

// Results of an area: sums[t][r].
struct Sums {
  float at[kTokenBlock][kBlock];
};

// The last columns % kLanes columns: both sides padded with zeros to one vector.
void add_tails(const Product& product, const Area& area, Sums& sums) {
  const WeightView& w = product.weight.weight();
  const int64_t whole = whole_columns(w.columns);
  const int64_t rest = w.columns - whole;
  if (rest == 0) return;
  for (int64_t r = 0; r < area.rows; ++r) {
    float weights[16] = {};
    decode_tail(w, area.row + r, whole, rest, weights);
    for (int64_t t = 0; t < area.tokens; ++t) {
      float token[16] = {};
      std::copy_n(product.x + (area.token + t) * w.columns + whole, rest, token);
      const Floats products = hn::Mul(hn::LoadU(kFloatTag, weights), hn::LoadU(kFloatTag, token));
      sums.at[t][r] += sum_lanes(products);
    }
  }
}

void multiply_one_token(const Product& product, const Area& area, Sums& sums) {
  const float* const x = product.x + area.token * product.weight.weight().columns;
  for (int64_t r = 0; r < area.rows; r += kRows) {
    const int64_t count = std::min(kRows, area.rows - r);
    product.weight.dot(area.row + r, count, x, sums.at[0] + r);
  }
}

void multiply_tiles(const Product& product, const Area& area, Sums& sums) {
  const int64_t columns = product.weight.weight().columns;
  const int64_t whole = whole_columns(columns);
  alignas(64) float tile[kRows * kChunk];
  for (int64_t r = 0; r < area.rows; r += kRows) {
    const int64_t count = std::min(kRows, area.rows - r);
    for (int64_t c = 0; c < whole; c += kChunk) {
      const int64_t end = std::min(c + kChunk, whole);
      for (int64_t i = 0; i < count; ++i) {
        product.weight.decode(area.row + r + i, c, end, tile + i * kChunk);
      }
      const float* const x = product.x + area.token * columns + c;
      if (count == kRows) {
        dot_tile_rows<kRows>(tile, x, columns, area.tokens, end - c, sums.at[0] + r, kBlock);
        continue;
      }
      for (int64_t i = 0; i < count; ++i) {
        dot_tile_rows<1>(tile + i * kChunk, x, columns, area.tokens, end - c, sums.at[0] + r + i,
                         kBlock);
      }
    }
  }
}

template <int kR>
void multiply_integer_rows(const Product& product, const Area& area, int64_t r, int64_t* sums) {
  const WeightView& w = product.weight.weight();
  const auto* const rows =
      reinterpret_cast<const int8_t*>(w.payload + (area.row + r) * w.row_stride);
  const int16_t* const x = product.integers + area.token * w.columns;
  int64_t t = 0;
  for (; t + 2 <= area.tokens; t += 2) {
    dot_integers<kR, 2>(rows, w.row_stride, x + t * w.columns, w.columns, w.columns,
                        sums + t * kBlock + r, kBlock);
  }
  for (; t < area.tokens; ++t) {
    dot_integers<kR, 1>(rows, w.row_stride, x + t * w.columns, w.columns, w.columns,
                        sums + t * kBlock + r, kBlock);
  }
}

void multiply_integers(const Product& product, const Area& area, Sums& sums) {
  int64_t exact[kTokenBlock * kBlock] = {};
  int64_t r = 0;
  for (; r + kRows <= area.rows; r += kRows) {
    multiply_integer_rows<kRows>(product, area, r, exact);
  }
  for (; r < area.rows; ++r) multiply_integer_rows<1>(product, area, r, exact);
  for (r = 0; r < area.rows; ++r) {
    const float scale = scale_of(product.weight.weight(), area.row + r, 0);
    for (int64_t t = 0; t < area.tokens; ++t) {
      sums.at[t][r] = static_cast<float>(exact[t * kBlock + r]) * scale;
    }
  }
}

void multiply(const Product& product, const Area& area, Sums& sums) {
  std::fill_n(sums.at[0], area.tokens * kBlock, 0.0f);
  if (product.integers) {
    multiply_integers(product, area, sums);
  } else {
    if (area.tokens == 1 && product.weight.has_dot()) {
      multiply_one_token(product, area, sums);
    } else {
      multiply_tiles(product, area, sums);
    }
    add_tails(product, area, sums);
  }
  if (!product.token_scale) return;
  for (int64_t t = 0; t < area.tokens; ++t) {
    for (int64_t r = 0; r < area.rows; ++r) sums.at[t][r] *= product.token_scale[area.token + t];
  }
}

int64_t block_count(int64_t rows) { return (rows + kBlock - 1) / kBlock; }

// Blocks in a range that a thread takes at once.
int64_t block_grain(int64_t columns, int64_t tokens) {
  return std::max<int64_t>(1, kRangeElements / (kBlock * columns * tokens));
}

// Calls body(area) for every area of the blocks [begin, end).
template <class Body>
void for_each_area(int64_t begin, int64_t end, int64_t rows, int64_t tokens, const Body& body) {
  for (int64_t t = 0; t < tokens; t += kTokenBlock) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t row = b * kBlock;
      body(Area{.row = row,
                .rows = std::min(kBlock, rows - row),
                .token = t,
                .tokens = std::min(kTokenBlock, tokens - t)});
    }
  }
}

struct Epilogue {
  float* out;
  int64_t out_stride;
  const float* bias;
  Activation activation;
  const float* residual;
  int64_t residual_stride;
};

void finish(const Epilogue& e, const Area& area, Sums& sums) {
  for (int64_t t = 0; t < area.tokens; ++t) {
    float* const values = sums.at[t];
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
  const int64_t grain = block_grain(w.columns, args.tokens);
  context.pool.parallel_for(block_count(w.rows), grain, [&](int64_t begin, int64_t end) {
    Sums sums;
    for_each_area(begin, end, w.rows, args.tokens, [&](const Area& area) {
      multiply(products.each[0], area, sums);
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
  const int64_t grain = block_grain(2 * args.gate.columns, args.tokens);
  context.pool.parallel_for(block_count(rows), grain, [&](int64_t begin, int64_t end) {
    Sums gates;
    Sums ups;
    for_each_area(begin, end, rows, args.tokens, [&](const Area& area) {
      multiply(products.each[0], area, gates);
      multiply(products.each[1], area, ups);
      for (int64_t t = 0; t < area.tokens; ++t) {
        float* const out = args.out + (area.token + t) * rows + area.row;
        transform2(gates.at[t], ups.at[t], out, area.rows, [&args](auto d, auto g, auto u) {
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
  const int64_t grain = block_grain(columns, args.tokens);
  context.pool.parallel_for(first[3], grain, [&](int64_t begin, int64_t end) {
    Sums sums;
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
      for_each_area(from, to, rows, args.tokens, [&](const Area& area) {
        multiply(products.each[i], area, sums);
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
