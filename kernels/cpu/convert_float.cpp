// Rows of plain floats, wide and narrow, and random ones.
#include <cmath>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "kernels/convert.h"
#include "kernels/cpu/convert_blocks.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/convert_float.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "kernels/cpu/convert-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::HWY_NAMESPACE {
namespace {

template <class As>
void widen(const std::byte* row, int64_t count, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    hn::StoreU(As::widen(load_bits<As>(row + row_bytes(As::kType, i))), kFloats, out + i);
  }
  decode_row(As::kType, row + row_bytes(As::kType, i), count - i, out + i);
}

template <class As>
void narrow(const float* values, int64_t count, std::byte* out) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    store_bits<As>(As::narrow(hn::LoadU(kFloats, values + i)), out + row_bytes(As::kType, i));
  }
  encode_row(As::kType, values + i, count - i, out + row_bytes(As::kType, i));
}

template <class As>
RowError narrow_compared(const float* values, int64_t count, std::byte* out) {
  ErrorSums sums;
  const auto step = [&sums](const float* from, std::byte* to) HWY_ATTR {
    for (int64_t part = 0; part < kParts; ++part) {
      const Floats before = hn::LoadU(kFloats, from + part * kLanes);
      const Words bits = As::narrow(before);
      store_bits<As>(bits, to + row_bytes(As::kType, part * kLanes));
      sums.add(part, before, As::widen(bits));
    }
  };
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) step(values + i, out + row_bytes(As::kType, i));
  if (i < count) {
    float last[kBlock] = {};
    std::byte bytes[kBlock * sizeof(float)];
    std::copy(values + i, values + count, last);
    step(last, bytes);
    std::memcpy(out + row_bytes(As::kType, i), bytes,
                static_cast<size_t>(row_bytes(As::kType, count - i)));
  }
  return sums.total();
}

// mix64 of rng.h.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V mix(D d, V x) {
  x = hn::Mul(hn::Xor(x, hn::ShiftRight<30>(x)), hn::Set(d, uint64_t{0xbf58476d1ce4e5b9u}));
  x = hn::Mul(hn::Xor(x, hn::ShiftRight<27>(x)), hn::Set(d, uint64_t{0x94d049bb133111ebu}));
  return hn::Xor(x, hn::ShiftRight<31>(x));
}

}  // namespace

void WidenRow(DType type, const std::byte* row, int64_t count, float* out) {
  switch (type) {
    case DType::kBF16:
      return widen<AsBF16>(row, count, out);
    case DType::kF16:
      return widen<AsF16>(row, count, out);
    case DType::kF8E4M3:
      return widen<AsF8E4M3>(row, count, out);
    default:
      return decode_row(type, row, count, out);
  }
}

void NarrowRow(DType type, const float* values, int64_t count, std::byte* out) {
  switch (type) {
    case DType::kBF16:
      return narrow<AsBF16>(values, count, out);
    case DType::kF16:
      return narrow<AsF16>(values, count, out);
    case DType::kF8E4M3:
      return narrow<AsF8E4M3>(values, count, out);
    default:
      return encode_row(type, values, count, out);
  }
}

RowError NarrowAndCompare(DType type, const float* values, int64_t count, std::byte* out) {
  switch (type) {
    case DType::kBF16:
      return narrow_compared<AsBF16>(values, count, out);
    case DType::kF16:
      return narrow_compared<AsF16>(values, count, out);
    default:
      CHECK(type == DType::kF8E4M3);
      return narrow_compared<AsF8E4M3>(values, count, out);
  }
}

RowError SumFloats(const float* values, int64_t count) {
  ErrorSums sums;
  const auto step = [&sums](const float* from) HWY_ATTR {
    for (int64_t part = 0; part < kParts; ++part) {
      const Floats value = hn::LoadU(kFloats, from + part * kLanes);
      sums.add(part, value, value);
    }
  };
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) step(values + i);
  if (i < count) {
    float last[kBlock] = {};
    std::copy(values + i, values + count, last);
    step(last);
  }
  return sums.total();
}

// Sums of quarters, as numbers: the draws first, first + 1, ... of `key`.
void RandomSums(uint64_t key, uint64_t first, int64_t count, uint32_t* out) {
  const hn::ScalableTag<uint64_t> d;
  const hn::Rebind<uint32_t, decltype(d)> narrow;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto keys = hn::Set(d, key);
  const auto quarters = hn::Set(d, uint64_t{0x0000ffff0000ffffu});
  auto index = hn::Add(hn::Iota(d, 0), hn::Set(d, first + 0xd1b54a32d192ed03u));
  for (int64_t i = 0; i < count; i += lanes) {  // out has room for whole vectors
    const auto bits = mix(d, hn::Xor(keys, mix(d, index)));
    const auto pairs =
        hn::Add(hn::And(bits, quarters), hn::And(hn::ShiftRight<16>(bits), quarters));
    const auto sum =
        hn::Add(hn::And(pairs, hn::Set(d, uint64_t{0xffffffffu})), hn::ShiftRight<32>(pairs));
    hn::StoreU(hn::TruncateTo(narrow, sum), narrow, out + i);
    index = hn::Add(index, hn::Set(d, static_cast<uint64_t>(lanes)));
  }
}

}  // namespace hone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone {
namespace {

HWY_EXPORT(WidenRow);
HWY_EXPORT(NarrowRow);
HWY_EXPORT(NarrowAndCompare);
HWY_EXPORT(SumFloats);
HWY_EXPORT(RandomSums);

}  // namespace

void widen_row(DType type, const std::byte* row, int64_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(WidenRow)(type, row, count, out);
}

void narrow_row(DType type, const float* values, int64_t count, std::byte* out) {
  HWY_DYNAMIC_DISPATCH(NarrowRow)(type, values, count, out);
}

RowError narrow_and_compare(DType type, const float* values, int64_t count, std::byte* out) {
  if (is_block(type)) return narrow_blocks_and_compare(type, values, count, out);
  if (type != DType::kF32) {
    return HWY_DYNAMIC_DISPATCH(NarrowAndCompare)(type, values, count, out);
  }
  if (count > 0) std::memcpy(out, values, static_cast<size_t>(row_bytes(type, count)));
  return HWY_DYNAMIC_DISPATCH(SumFloats)(values, count);
}

// The sum of four uniform 16-bit numbers has mean 2 * 65535 and variance 4 (2^32 - 1) / 12, and
// lies within 3.46 deviations.
void random_row(const RandomRow& row, int64_t count, float* out) {
  constexpr int64_t kPiece = 512;
  constexpr float kMiddle = 2.0f * 65535.0f;
  const float scale = row.deviation / std::sqrt((65536.0f * 65536.0f - 1.0f) / 3.0f);
  uint32_t sums[kPiece];
  for (int64_t done = 0; done < count; done += kPiece) {
    const int64_t piece = std::min(kPiece, count - done);
    HWY_DYNAMIC_DISPATCH(RandomSums)(row.key, row.first + static_cast<uint64_t>(done), piece, sums);
    for (int64_t i = 0; i < piece; ++i) {
      const auto sum = static_cast<float>(static_cast<int32_t>(sums[i]));
      out[done + i] = row.mean + (sum - kMiddle) * scale;
    }
  }
}

}  // namespace hone
#endif  // HWY_ONCE
