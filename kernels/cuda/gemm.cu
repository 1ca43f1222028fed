// Products of many tokens: activations become 16-bit floats (the norm on the way), stored weights
// too, a dense product multiplies them, and what it cannot do itself (activation, gate, scales of
// tokens) is one pass over its result.
//
//   weights   activations   sums
//   F32       f32           f32
//   BF16      bf16          f32
//   F16       f16           f32
//   I8 I4 F8  f16           f32     weights decoded to f16
//   I8, one scale a row, and tokens rounded to int8: int8 x int8 -> int32, exact
//   F8, one scale a row, and tokens rounded to fp8: f32, where the library multiplies fp8
//
// Tens of tokens go to gemm_few.
#include <algorithm>

#include "kernels/check.h"
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/dense.h"
#include "kernels/cuda/gemm_few.h"
#include "kernels/cuda/half_range.cuh"
#include "kernels/cuda/placed.cuh"
#include "kernels/cuda/products.h"
#include "kernels/cuda/row_part.cuh"
#include "kernels/cuda/rows.cuh"

namespace hone::cuda {

// Of results that wait for their last pass, and of decoded weights: of the order of the L2 cache.
// A variable for tests/bench/cuda_gemm_bench.cu.
int64_t gemm_chunk_bytes = int64_t{64} << 20;

namespace {

constexpr int64_t kChunkStep = 256;  // rows: whole tiles of the product

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// ---- Activations.

struct InputArgs {
  const float* x;
  int64_t columns;
  int64_t stride;  // of out, elements; padding becomes zero
  InputNorm norm;
};

template <class T>
__device__ __forceinline__ T to_input(float x) {
  if constexpr (std::is_same_v<T, simt::f16>)
    return simt::f16(saturated(x * (1 / kF16Factor)));
  else
    return T(x);
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kRowThreads) input_kernel(InputArgs args, T* out) {
  SIMT_SHARED(scratch, double[simt::kWarpSize]);
  using Vector = simt::Vec<float, kWidth>;
  simt::start_next();
  simt::wait_for_previous();
  const RowPart<kWidth> part({args.x, args.columns}, blockIdx.x);
  T* const row = out + int64_t{blockIdx.x} * args.stride;
  const RowNorm<kWidth> normalised(args.norm, part, args.columns, scratch);
  part.each([&](int64_t c, const Vector& input) {
    const Vector v = normalised(c, input);
    simt::Vec<T, kWidth> rounded;
#pragma unroll
    for (int e = 0; e < kWidth; ++e) rounded[e] = to_input<T>(v[e]);
    simt::store(row + c, rounded);
  });
  for (int64_t c = args.columns + threadIdx.x; c < args.stride; c += kRowThreads) {
    row[c] = to_input<T>(0.0f);
  }
}

template <class T>
void convert(Context& context, const Product& product, int64_t stride, void* out) {
  const InputArgs args{product.x, product.columns, stride, product.norm};
  const bool wide = product.columns % 4 == 0 && stride % 4 == 0 && aligned16(product.x) &&
                    aligned16(product.norm.weight);
  simt::launch(wide ? input_kernel<T, 4> : input_kernel<T, 1>,
               {static_cast<unsigned>(product.tokens)}, {kRowThreads}, 0, context.stream, args,
               static_cast<T*>(out));
}

// The tokens as a dense product takes them.
struct Input {
  DType type = DType::kF64;  // none yet
  const void* x = nullptr;
  int64_t columns = 0;  // with padding
  int64_t stride = 0;   // elements
};

bool is_rounded(const Input& input) {
  return input.type == DType::kI8 || input.type == DType::kF8E4M3;
}

Input convert_input(Context& context, const Product& product, DType type) {
  if (type == DType::kF32 && !product.norm.weight) {
    return {type, product.x, product.columns, product.columns};
  }
  const int64_t size = info(type).block_bytes;
  const int64_t stride =
      type == DType::kF32 ? product.columns : round_up(product.columns, 64 / size);
  void* const out = context.input.reserve(static_cast<size_t>(product.tokens * stride * size));
  switch (type) {
    case DType::kF16:
      convert<simt::f16>(context, product, stride, out);
      break;
    case DType::kBF16:
      convert<simt::bf16>(context, product, stride, out);
      break;
    default:
      convert<float>(context, product, stride, out);
  }
  return {type, out, stride, stride};
}

// The tokens as bytes, and their steps as the product's token_scale.
Input round_input(Context& context, Product& product) {
  const DType type = placed_form(product.weight[0]) == PlacedForm::kI8 ? DType::kI8
                                                                       : DType::kF8E4M3;
  const int64_t stride = round_up(product.columns, 64), bytes = product.tokens * stride;
  std::byte* const out = context.input.reserve(
      static_cast<size_t>(bytes + product.tokens * int64_t{sizeof(float)}));
  auto* const steps = reinterpret_cast<float*>(out + bytes);
  round_tokens(context, {.x = product.x,
                         .norm = product.norm,
                         .codes = reinterpret_cast<uint8_t*>(out),
                         .code_stride = stride,
                         .steps = steps,
                         .tokens = product.tokens,
                         .columns = product.columns,
                         .fp8 = type == DType::kF8E4M3});
  product.norm = {};
  product.token_scale = steps;
  return {type, out, stride, stride};
}

// ---- Weights.

struct DecodeArgs {
  const std::byte* payload;
  int64_t row_stride;
  int64_t columns;
  int64_t first_row;
  Scales scales;
  simt::f16* out;
  int64_t out_stride;
  unsigned chunks_of_row;  // of 16 bytes
  unsigned chunks;
};

// A thread for 16 bytes. kWhole: all its columns share a scale.
template <PlacedForm kForm, bool kWhole>
__global__ void __launch_bounds__(kRowThreads) decode_kernel(DecodeArgs args) {
  constexpr int kElements = word_elements(kForm);
  simt::start_next();
  simt::wait_for_previous();
  const unsigned i = blockIdx.x * kRowThreads + threadIdx.x;
  if (i >= args.chunks) return;
  const unsigned in_chunk = i / args.chunks_of_row, chunk = i - in_chunk * args.chunks_of_row;
  const int64_t row = args.first_row + in_chunk;
  const auto words = simt::load_nc<4>(
      reinterpret_cast<const uint32_t*>(args.payload + row * args.row_stride + chunk * 16));
  const int64_t last = args.columns - 1, first = column_of_word<kForm>(chunk, 0);
  float scale = args.scales.scale(row, first < last ? first : last) * kF16Factor;
  float zero = args.scales.zero(row, first < last ? first : last);
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int64_t column = column_of_word<kForm>(chunk, j);
    if (column >= args.out_stride) continue;
    if (!kWhole && j > 0) {
      scale = args.scales.scale(row, column < last ? column : last) * kF16Factor;
      zero = args.scales.zero(row, column < last ? column : last);
    }
    float values[kElements];
    decode_word<kForm>(words[j], values);
    simt::Vec<uint32_t, kElements / 2> out;
#pragma unroll
    for (int e = 0; e < kElements; e += 2) {
      const float a = column + e <= last ? (values[e] - zero) * scale : 0.0f;
      const float b = column + e < last ? (values[e + 1] - zero) * scale : 0.0f;
      out[e / 2] = simt::f16x2_pack(a, b);
    }
    simt::store(reinterpret_cast<uint32_t*>(args.out + in_chunk * args.out_stride + column), out);
  }
}

template <PlacedForm kForm>
void decode(Context& context, const DecodeArgs& args) {
  const bool whole =
      args.scales.groups == 1 || args.scales.group % (16 * word_elements(kForm)) == 0;
  simt::launch(whole ? decode_kernel<kForm, true> : decode_kernel<kForm, false>,
               {(args.chunks + kRowThreads - 1) / kRowThreads}, {kRowThreads}, 0, context.stream,
               args);
}

// Rows as f16, columns padded with zeros to `stride`.
void decode(Context& context, const WeightView& weight, int64_t first, int64_t rows, simt::f16* out,
            int64_t stride) {
  const int64_t chunks_of_row = weight.row_stride / 16;
  CHECK(rows * chunks_of_row < int64_t{1} << 31);
  const DecodeArgs args{weight.payload,
                        weight.row_stride,
                        weight.columns,
                        first,
                        scales_of(weight),
                        out,
                        stride,
                        static_cast<unsigned>(chunks_of_row),
                        static_cast<unsigned>(rows * chunks_of_row)};
  switch (placed_form(weight)) {
    case PlacedForm::kI8:
      return decode<PlacedForm::kI8>(context, args);
    case PlacedForm::kI4:
      return decode<PlacedForm::kI4>(context, args);
    case PlacedForm::kF8:
      return decode<PlacedForm::kF8>(context, args);
    default:
      CHECK(!"these weights need no decoding");
  }
}

// ---- Results.

struct FinishArgs {
  const void* value[2];  // [tokens, rows] f32, or int32
  int64_t rows;          // of this chunk
  const float* token_scale;
  Scales row_scale[2];  // one a row, or null
  int64_t first_row;
  const float* bias[2];
  const float* residual;  // [tokens, residual_stride]
  int64_t residual_stride;
  float* out;
  int64_t out_stride;
};

template <class Sum, bool kGated, int kWidth>
__global__ void __launch_bounds__(kRowThreads)
    finish_kernel(FinishArgs args, Activation activation, unsigned blocks) {
  simt::start_next();
  simt::wait_for_previous();
  const auto [token, row] = row_place(blocks, kWidth);
  if (row >= args.rows) return;
  const float token_scale = args.token_scale ? args.token_scale[token] : 1.0f;
  const auto value = [&](int matrix) {
    const auto sum =
        simt::load<kWidth>(static_cast<const Sum*>(args.value[matrix]) + token * args.rows + row);
    simt::Vec<float, kWidth> v;
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      v[e] = static_cast<float>(sum[e]);
      const int64_t of_matrix = args.first_row + row + e;
      if (args.row_scale[matrix].scales) v[e] *= args.row_scale[matrix].scale(of_matrix, 0);
      if (args.token_scale) v[e] *= token_scale;
      if (args.bias[matrix]) v[e] += args.bias[matrix][of_matrix];
    }
    return v;
  };
  auto out = value(0);
#pragma unroll
  for (int e = 0; e < kWidth; ++e) out[e] = activate(activation, out[e]);
  if constexpr (kGated) {
    const auto up = value(1);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) out[e] *= up[e];
  }
  if (args.residual) {
    const auto more = simt::load<kWidth>(args.residual + token * args.residual_stride + row);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) out[e] += more[e];
  }
  simt::store(args.out + token * args.out_stride + row, out);
}

template <class Sum, bool kGated>
void finish(Context& context, const FinishArgs& args, Activation activation, int64_t tokens) {
  const bool wide = args.rows % 4 == 0 && args.out_stride % 4 == 0 &&
                    (!args.residual || args.residual_stride % 4 == 0) && aligned16(args.out) &&
                    aligned16(args.residual);
  const unsigned blocks = blocks_per_row(args.rows, wide ? 4 : 1);
  simt::launch(wide ? finish_kernel<Sum, kGated, 4> : finish_kernel<Sum, kGated, 1>,
               {static_cast<unsigned>(tokens * blocks)}, {kRowThreads}, 0, context.stream, args,
               activation, blocks);
}

// ---- The product: matrices one after the other, gate and up together.

// What is multiplied in one go: one matrix, or the two of a gate.
struct Part {
  int first;
  int count;
};

// Whether tokens rounded to bytes can be multiplied by the rows as they are.
bool takes_bytes(const Context& context, const WeightView& weight) {
  if (!weight.quantize_input || weight.zeros || weight.group != weight.columns) return false;
  const PlacedForm form = placed_form(weight);
  if (form == PlacedForm::kF8) return context.gemm && context.gemm->multiplies_fp8();
  return form == PlacedForm::kI8;
}

DType input_type(const WeightView& weight) {
  const PlacedForm form = placed_form(weight);
  return form == PlacedForm::kF32    ? DType::kF32
         : form == PlacedForm::kBF16 ? DType::kBF16
                                     : DType::kF16;
}

class Run {
 public:
  Run(Context& context, const Product& product, const Input& input, Part part)
      : context_(context),
        product_(product),
        input_(input),
        part_(part),
        weight_(product.weight[part.first]),
        decodes_(input.type == DType::kF16 && has_scales(placed_form(weight_))),
        direct_(!product.gated && !product.token_scale &&
                product.activation == Activation::kNone) {}

  void all_rows() {
    const int64_t rows = weight_.rows;
    const int64_t of_results = direct_ ? 0 : 4 * product_.tokens * part_.count;
    const int64_t of_weights = decodes_ ? 2 * input_.stride : 0;
    const int64_t bytes = std::max(of_results, of_weights);
    int64_t chunk = rows;
    if (bytes > 0) chunk = std::min(rows, round_up(gemm_chunk_bytes / bytes, kChunkStep));
    if (!direct_) results_ = context_.scratch.reserve(most_bytes(of_results));
    if (decodes_) {
      decoded_ = reinterpret_cast<simt::f16*>(context_.weight.reserve(most_bytes(of_weights)));
    }
    for (int64_t row = 0; row < rows; row += chunk) {
      const int64_t count = std::min(chunk, rows - row);
      for (int i = 0; i < part_.count; ++i) multiply_rows(i, row, count);
      if (!direct_) finish_rows(row, count);
    }
  }

 private:
  // Of any chunk, by the bytes of a row; more tokens never take less.
  size_t most_bytes(int64_t of_row) const {
    return static_cast<size_t>(
        std::min(of_row * weight_.rows, gemm_chunk_bytes + of_row * kChunkStep));
  }

  std::byte* result(int i, int64_t rows) const { return results_ + i * product_.tokens * rows * 4; }

  // Rows of the i-th matrix of this part.
  void multiply_rows(int i, int64_t first, int64_t rows) {
    const WeightView& weight = product_.weight[part_.first + i];
    const std::byte* const stored = weight.payload + first * weight.row_stride;
    if (input_.type == DType::kI8) {
      return multiply(context_, {.x = static_cast<const int8_t*>(input_.x),
                                 .weight = reinterpret_cast<const int8_t*>(stored),
                                 .out = reinterpret_cast<int32_t*>(result(i, rows)),
                                 .tokens = product_.tokens,
                                 .rows = rows,
                                 .columns = input_.columns,
                                 .x_stride = input_.stride,
                                 .weight_stride = weight.row_stride,
                                 .out_stride = rows});
    }
    GemmLibrary::Product p{.type = input_.type,
                           .x = input_.x,
                           .weight = stored,
                           .out = reinterpret_cast<float*>(result(i, rows)),
                           .tokens = product_.tokens,
                           .rows = rows,
                           .columns = input_.columns,
                           .x_stride = input_.stride,
                           .weight_stride = weight.row_stride / info(input_.type).block_bytes,
                           .out_stride = rows};
    if (decodes_) {
      decode(context_, weight, first, rows, decoded_, input_.stride);
      p.weight = decoded_;
      p.weight_stride = input_.stride;
    } else if (input_.type == DType::kF16) {
      p.factor = kF16Factor;
    }
    if (direct_) {
      const int m = part_.first + i;
      p.out = product_.out[m] + first;
      p.out_stride = product_.out_stride[m];
      p.bias = product_.bias[m] ? product_.bias[m] + first : nullptr;
      p.add = product_.residual ? product_.residual + first : nullptr;
      p.add_stride = weight.rows;
    }
    multiply(context_, p);
  }

  void finish_rows(int64_t first, int64_t rows) {
    const int m = part_.first;
    const auto scales = [this](int i) {
      return is_rounded(input_) ? scales_of(product_.weight[part_.first + i]) : Scales{};
    };
    FinishArgs args{.value = {result(0, rows), result(1, rows)},
                    .rows = rows,
                    .token_scale = product_.token_scale,
                    .row_scale = {scales(0), scales(part_.count - 1)},
                    .first_row = first,
                    .bias = {product_.bias[m], part_.count > 1 ? product_.bias[m + 1] : nullptr},
                    .residual = product_.residual ? product_.residual + first : nullptr,
                    .residual_stride = weight_.rows,
                    .out = product_.out[m] + first,
                    .out_stride = product_.out_stride[m]};
    if (input_.type == DType::kI8) {
      part_.count > 1
          ? finish<int32_t, true>(context_, args, product_.activation, product_.tokens)
          : finish<int32_t, false>(context_, args, product_.activation, product_.tokens);
    } else {
      part_.count > 1 ? finish<float, true>(context_, args, product_.activation, product_.tokens)
                      : finish<float, false>(context_, args, product_.activation, product_.tokens);
    }
  }

  Context& context_;
  const Product& product_;
  const Input& input_;
  Part part_;
  const WeightView& weight_;
  bool decodes_;  // weights to f16 first
  bool direct_;   // the dense product writes the final result
  std::byte* results_ = nullptr;
  simt::f16* decoded_ = nullptr;
};

}  // namespace

bool gemm_rounds(const Context& context, const Product& product) {
  return takes_bytes(context, product.weight[0]) && !suits_gemm_few(context, product);
}

void gemm(Context& context, const Product& given) {
  if (given.tokens == 0) return;
  if (suits_gemm_few(context, given)) return gemm_few(context, given);
  Product product = given;
  Input input;
  if (takes_bytes(context, product.weight[0])) input = round_input(context, product);
  for (int i = 0; i < product.matrices; i += product.gated ? 2 : 1) {
    const WeightView& weight = product.weight[i];
    if (weight.rows == 0) continue;
    const DType type = input_type(weight);
    if (!is_rounded(input) && type != input.type) input = convert_input(context, product, type);
    Run(context, product, input, {i, product.gated ? 2 : 1}).all_rows();
  }
}

}  // namespace hone::cuda
