// Products of integer weights and int8 activations. In a run of columns everything is exact: 32-bit
// sums of code * integer; then, the same operations in the same order whatever the route,
//
//   result += float(sum - zero * sum of the integers) * scale * activation scale  [+ minimum ...]
//
// so a token's bytes depend on neither the batch nor the target, nor on the route: few tokens
// (int8_few-inl.h) or panels (int8_panel-inl.h). Compiled per target.
#if defined(HONE_CPU_INT8_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_PRODUCT_INL_H_
#undef HONE_CPU_INT8_PRODUCT_INL_H_
#else
#define HONE_CPU_INT8_PRODUCT_INL_H_
#endif

#include <memory>

#include "kernels/cpu/int8_bitmask-inl.h"
#include "kernels/cpu/int8_blocks-inl.h"
#include "kernels/cpu/int8_few-inl.h"
#include "kernels/cpu/int8_panel-inl.h"
#include "kernels/cpu/int8_sparse-inl.h"
#include "kernels/cpu/int8_super_blocks-inl.h"
#include "kernels/cpu/int8_unpack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

// The product of one matrix, with the memory that a thread needs for it.
class Int8Product {
 public:
  virtual ~Int8Product() = default;
  // Rows [row, row + count) times tokens [first, first + tokens), where first is a multiple of
  // kInt8Tokens: out[t * stride + r], with room for whole panels of 2 * kLanes rows and whole
  // blocks of kInt8Tokens.
  virtual void multiply(int64_t row, int64_t count, const Int8Tokens& x, int64_t first,
                        int64_t tokens, float* out, int64_t stride) = 0;
};

struct Int8Kernel {
  int per_byte = 0;
  // For rows up to end_row. Null: there is none.
  std::unique_ptr<Int8Product> (*make)(const WeightView&, int64_t end_row) = nullptr;
};

#if HWY_TARGET == HWY_SCALAR
inline Int8Kernel choose_int8_kernel(const WeightView&) { return {}; }
#else

template <class Rows>
class Int8ProductOf final : public Int8Product {
 public:
  Int8ProductOf(const WeightView& w, int64_t end_row)
      : rows_(w), stream_(w, rows_.unit_bytes(), end_row) {}

  void multiply(int64_t row, int64_t count, const Int8Tokens& x, int64_t first, int64_t tokens,
                float* out, int64_t stride) override {
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

  // Panels of all runs of the rows, then the tokens: a panel's two sides come one after the other.
  void multiply_many(int64_t row, int64_t count, const Int8Tokens& x, int64_t first, int64_t tokens,
                     float* out, int64_t stride) {
    const int64_t runs = run_count(x.layout);
    if (std::ssize(panels_) < runs) panels_.resize(runs);
    for (int side = 0; side < 2; ++side) {
      if (side * kLanes < count) fill_panels(row + side * kLanes, count - side * kLanes, side, x);
    }
    const int64_t room = (tokens + kInt8Tokens - 1) / kInt8Tokens * kInt8Tokens;
    for (int64_t t = 0; t < room; ++t) std::fill_n(out + t * stride, kPanelRows, 0.0f);
    for (int64_t run = 0; run < runs; ++run) {
      for (int64_t t = 0; t < tokens; t += kInt8Tokens) {
        const Int8Part part(x, first + t);
        with_width(tokens - t, [&](auto width) {
          multiply_panel<Rows::kKind, width>(panels_[run], part, run, out + t * stride, stride);
        });
      }
    }
  }

  void fill_panels(int64_t row, int64_t count, int side, const Int8Tokens& x) {
    rows_.start(row, std::min(count, kLanes));
    stream_.start(row, false);
    const int64_t bytes = x.layout.run / Rows::kPerByte;
    for_each_run(rows_, stream_, run_count(x.layout),
                 [&](const Codes& units, int64_t run) HWY_ATTR {
                   PanelSink<Rows::kKind> sink{panels_[run], side};
                   give_run<Rows>(rows_.codes(units, run), bytes, sink);
                   panels_[run].ends[side] = RunEnd<Rows::kKind>(rows_, run);
                 });
  }

  Rows rows_;
  typename Rows::Stream stream_;
  std::vector<Panel<Rows::kKind>> panels_;  // by run
};

// ---- What there is for a storage.

template <class Rows>
std::unique_ptr<Int8Product> make_int8_product(const WeightView& w, int64_t end_row) {
  return std::make_unique<Int8ProductOf<Rows>>(w, end_row);
}

template <class Rows>
constexpr Int8Kernel kInt8Kernel{Rows::kPerByte, make_int8_product<Rows>};

inline Int8Kernel choose_unpacked_kernel(const WeightView& w) {
#if HWY_TARGET == HWY_AVX3
  if (!has_vbmi()) return {};
  if (w.packed_bits == 3) return kInt8Kernel<UnpackedRows<3>>;
  if (w.packed_bits == 5) return kInt8Kernel<UnpackedRows<5>>;
  if (w.packed_bits == 6) return kInt8Kernel<UnpackedRows<6>>;
  if (w.packed_bits == 7) return kInt8Kernel<UnpackedRows<7>>;
#endif
  static_cast<void>(w);
  return {};
}

inline Int8Kernel choose_plain_kernel(const WeightView& w, int64_t run) {
  if (w.packed_bits == 0 && w.type == DType::kI8) return kInt8Kernel<PlainRows<8, true>>;
  if (w.packed_bits == 8) return kInt8Kernel<PlainRows<8, false>>;
  if (w.packed_bits == 4) return kInt8Kernel<PlainRows<4, false>>;
  if (w.packed_bits == 2 && run >= 64) return kInt8Kernel<PlainRows<2, false>>;
  return choose_unpacked_kernel(w);
}

inline Int8Kernel choose_sparse_kernel(const WeightView& w) {
#if HWY_TARGET == HWY_AVX3
  if (!SparseRows<8, true>::suits(w)) return {};
  if (w.packed_bits == 0 && w.type == DType::kI8) return kInt8Kernel<SparseRows<8, true>>;
  if (w.packed_bits == 8) return kInt8Kernel<SparseRows<8, false>>;
  if (w.packed_bits == 4) return kInt8Kernel<SparseRows<4, false>>;
#endif
  static_cast<void>(w);
  return {};
}

inline Int8Kernel choose_bitmask_kernel(const WeightView& w) {
#if HWY_TARGET == HWY_AVX3
  if (!BitmaskRows<true>::suits(w)) return {};
  if (w.packed_bits == 0 && w.type == DType::kI8) return kInt8Kernel<BitmaskRows<true>>;
  if (w.packed_bits == 8) return kInt8Kernel<BitmaskRows<false>>;
#endif
  static_cast<void>(w);
  return {};
}

inline Int8Kernel choose_int8_kernel(const WeightView& w) {
  const int64_t run = input_run(w);
  if (run == 0) return {};
  if (w.mask) return choose_bitmask_kernel(w);
  if (w.index) return choose_sparse_kernel(w);
  switch (w.type) {
    case DType::kQ8_0:
      return kInt8Kernel<BlockRows<Q8_0Format>>;
    case DType::kQ4_0:
      return kInt8Kernel<BlockRows<Q4_0Format>>;
    case DType::kQ4_1:
      return kInt8Kernel<BlockRows<Q4_1Format>>;
    case DType::kQ5_0:
      return kInt8Kernel<BlockRows<Q5_0Format>>;
    case DType::kQ5_1:
      return kInt8Kernel<BlockRows<Q5_1Format>>;
    case DType::kIQ4_NL:
      return kInt8Kernel<BlockRows<IQ4_NLFormat>>;
    case DType::kMXFP4:
      return kInt8Kernel<BlockRows<MXFP4Format>>;
    case DType::kIQ4_XS:
      return kInt8Kernel<SuperBlockRows<IQ4_XSFormat>>;
    case DType::kQ4_K:
      return kInt8Kernel<SuperBlockRows<SixBitFormat<BlockQ4_K>>>;
    case DType::kQ5_K:
      return kInt8Kernel<SuperBlockRows<SixBitFormat<BlockQ5_K>>>;
    case DType::kQ6_K:
      return kInt8Kernel<SuperBlockRows<Q6_KFormat>>;
    default:
      return choose_plain_kernel(w, run);
  }
}
#endif

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
