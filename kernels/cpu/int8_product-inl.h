// Products of integer weights and int8 activations. In a run of columns everything is exact: 32-bit
// sums of code * integer; then, the same operations in the same order whatever the route,
//
//   result += float(sum - zero * sum of the integers) * scale * activation scale  [+ minimum ...]
//
// so a token's bytes depend on neither the batch nor the target, nor on the route: one token
// (int8_one-inl.h), few (int8_few-inl.h), panels (int8_panel-inl.h) or tile registers
// (int8_amx-inl.h). Compiled per target.
#if defined(HONE_CPU_INT8_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_PRODUCT_INL_H_
#undef HONE_CPU_INT8_PRODUCT_INL_H_
#else
#define HONE_CPU_INT8_PRODUCT_INL_H_
#endif

#include "kernels/cpu/int8_amx-inl.h"
#include "kernels/cpu/int8_amx_rows-inl.h"
#include "kernels/cpu/int8_few-inl.h"
#include "kernels/cpu/int8_one-inl.h"
#include "kernels/cpu/int8_panel-inl.h"
#include "kernels/cpu/int8_product.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

template <class Rows>
class Int8ProductOf final : public Int8Product {
 public:
  Int8ProductOf(const WeightView& w, int64_t end_row)
      : rows_(w), stream_(w, rows_.unit_bytes(), end_row) {}

  void multiply(int64_t row, int64_t count, const Int8Tokens& x, int64_t first, int64_t tokens,
                float* out, int64_t stride) override {
    if (x.layout.order == TokenOrder::kTileQuads) {
      return multiply_few_in_amx(row, count, x, first, tokens, out, stride);
    }
    if (x.layout.order == TokenOrder::kTileTokens) {
      return multiply_in_amx(row, count, x, first, tokens, out, stride);
    }
    if (tokens > kMost) {
      for (int64_t r = 0; r < count; r += kPanelRows) {
        multiply_many(row + r, std::min(kPanelRows, count - r), x, first, tokens, out + r, stride);
      }
      return;
    }
    for (int64_t r = 0; r < count; r += kLanes) {
      rows_.start(row + r, std::min(kLanes, count - r));
      for (int64_t t = 0; t < tokens; t += kInt8Tokens) {
        stream_.start(row + r, Rows::kInPlace);
        const Int8Part part(x, first + t);
        with_width(tokens - t, [&](auto width) {
          if constexpr (width <= kMost) {
            multiply_few<Rows, width>(rows_, stream_, part, out + t * stride + r, stride);
          }
        });
      }
    }
  }

 private:
  static constexpr int64_t kMost = Rows::kMultiplies ? kFewOfSparse : kFew;  // tokens of few

#if HWY_TARGET == HWY_AVX3
  void multiply_in_amx(int64_t row, int64_t count, const Int8Tokens& x, int64_t first,
                       int64_t tokens, float* out, int64_t stride) {
    AmxBands<Rows::kKind>& bands = amx_scratch<Rows::kKind>();
    if (tokens <= kAmxFewTokens) {
      AmxProduct<Rows::kKind> product(bands, Int8Part(x, first), tokens);
      return for_each_band(
          row, count, [&](int64_t r) { product.run_in_place(rows_, stream_, out + r, stride); });
    }
    const int64_t band_count = (count + kLanes - 1) / kLanes;
    bands.resize(band_count, x.layout);
    for (int64_t band = 0; band < band_count; ++band) {
      const int64_t from = band * kLanes;
      for_each_codes(row + from, std::min(count - from, kLanes), x, [&](int64_t run) HWY_ATTR {
        bands.end_at(band, run) = amx_end(rows_, run);
        return AmxSink<Rows::zero()>{bands.codes_at(band, run)};
      });
    }
    AmxProduct<Rows::kKind>(bands, Int8Part(x, first), tokens).run(band_count, out, stride);
  }
  void multiply_few_in_amx(int64_t row, int64_t count, const Int8Tokens& x, int64_t first,
                           int64_t tokens, float* out, int64_t stride) {
    if constexpr (row_tile_columns<Rows>() > 0) {
      AmxRows<Rows> product(Int8Part(x, first), tokens);
      for_each_band(row, count,
                    [&](int64_t r) { product.multiply(rows_, stream_, out + r, stride); });
    }
  }

  // Bands of rows where they lie: body(the first row of one, counted from the first of all).
  template <class Body>
  void for_each_band(int64_t row, int64_t count, const Body& body) {
    for (int64_t r = 0; r < count; r += kLanes) {
      rows_.start(row + r, std::min(kLanes, count - r));
      stream_.start(row + r, Rows::kInPlace);
      body(r);
    }
  }
#else
  void multiply_in_amx(int64_t, int64_t, const Int8Tokens&, int64_t, int64_t, float*, int64_t) {}
  void multiply_few_in_amx(int64_t, int64_t, const Int8Tokens&, int64_t, int64_t, float*, int64_t) {
  }
#endif

  // Panels of all runs of the rows, then the tokens: a panel's two sides come one after the other.
  void multiply_many(int64_t row, int64_t count, const Int8Tokens& x, int64_t first, int64_t tokens,
                     float* out, int64_t stride) {
    Panel<Rows::kKind>* const panels = panel_scratch<Rows::kKind>(run_count(x.layout));
    for (int side = 0; side < 2; ++side) {
      const int64_t from = side * kLanes;
      if (from < count) fill_side(row + from, std::min(count - from, kLanes), x, side, panels);
    }
    for (int64_t t = 0; t < tokens; t += kInt8Tokens) {
      const Int8Part part(x, first + t);
      with_width(tokens - t, [&](auto width) {
        multiply_block<Rows::kKind, width>(panels, part, out + t * stride, stride);
      });
    }
  }

  void fill_side(int64_t row, int64_t count, const Int8Tokens& x, int side,
                 Panel<Rows::kKind>* panels) {
    for_each_codes(row, count, x, [&](int64_t run) HWY_ATTR {
      panels[run].ends[side] = RunEnd<Rows::kKind>(rows_, run);
      return PanelSink<Rows::kKind>{panels[run], side};
    });
  }

  // The codes of all runs of some rows, each to the sink that sink_of(run) returns.
  template <class SinkOf>
  HWY_INLINE void for_each_codes(int64_t row, int64_t count, const Int8Tokens& x,
                                 const SinkOf& sink_of) {
    rows_.start(row, count);
    stream_.start(row, false);
    const int64_t bytes = x.layout.run / Rows::kPerByte;
    for_each_run(rows_, stream_, run_count(x.layout),
                 [&](const Codes& units, int64_t run) HWY_ATTR {
                   const Codes codes = rows_.codes(units, run);
                   auto sink = sink_of(run);
                   give_codes(rows_, codes, run, bytes, sink);
                 });
  }

  Rows rows_;
  typename Rows::Stream stream_;
};

template <class Rows>
std::unique_ptr<Int8Product> make_int8_product(const WeightView& w, int64_t end_row,
                                               int64_t tokens) {
  if (tokens == 1 && w.columns / input_run(w) <= kMostRuns) {
    if (auto by_row = ByRow<Rows>::make(w)) return by_row;
  }
  return std::make_unique<Int8ProductOf<Rows>>(w, end_row);
}

template <class Rows>
constexpr Int8Kernel kInt8Kernel{Rows::kPerByte, row_tile_columns<Rows>(), make_int8_product<Rows>};

// Of I8 and packed integers of 8, 4 or 2 bits, whose codes As<PlainRows<...>> reads: as they are
// stored (AsStored), or elsewhere. Of others there is none.
template <class Rows>
using AsStored = Rows;

template <template <class> class As, bool kTwosComplement>
Int8Kernel choose_byte_kernel(const WeightView& w) {
  if (w.quantize_input) return kInt8Kernel<As<PlainRows<8, kTwosComplement, kKindOfAllBytes>>>;
  return kInt8Kernel<As<PlainRows<8, kTwosComplement, kKindOfBytes>>>;
}

template <template <class> class As>
Int8Kernel choose_bits_kernel(const WeightView& w, int64_t run) {
  if (w.packed_bits == 0 && w.type == DType::kI8) return choose_byte_kernel<As, true>(w);
  if (w.packed_bits == 8) return choose_byte_kernel<As, false>(w);
  if (w.packed_bits == 4) return kInt8Kernel<As<PlainRows<4, false>>>;
  if (w.packed_bits == 2 && run >= 64) return kInt8Kernel<As<PlainRows<2, false>>>;
  return {};
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET != HWY_SCALAR

#endif  // per-target include guard
