// Integers and fp8 with a scale for each group: ranges, rounding, packing.
#include <cmath>
#include <limits>

#include "kernels/check.h"
#include "kernels/codec/codec.h"
#include "kernels/convert.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/convert_grid.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "kernels/cpu/convert-inl.h"

HWY_BEFORE_NAMESPACE();
namespace hone::HWY_NAMESPACE {
namespace {

// Of the integers in a group with one scale.
class IntegerGrid {
 public:
  IntegerGrid(float scale, int zero, int bits)
      : scale_(hn::Set(kFloats, scale)),
        zero_(hn::Set(kFloats, static_cast<float>(zero))),
        low_(hn::Set(kFloats, -static_cast<float>(1 << (bits - 1)))),
        high_(hn::Set(kFloats, static_cast<float>((1 << (bits - 1)) - 1))) {}

  // Adding 1.5 * 2^23 leaves no bits for a fraction: the sum's low byte is the integer, rounded to
  // even.
  HWY_INLINE Floats round(Floats value, int8_t* code) const {
    const Floats magic = hn::Set(kFloats, 12582912.0f);
    const Floats x = hn::Add(hn::Div(value, scale_), zero_);
    const Floats sum = hn::Add(hn::Min(hn::Max(x, low_), high_), magic);
    const hn::Rebind<uint8_t, FloatTag> bytes;
    hn::StoreU(hn::TruncateTo(bytes, hn::BitCast(kWords, sum)), bytes,
               reinterpret_cast<uint8_t*>(code));
    return hn::Mul(hn::Sub(hn::Sub(sum, magic), zero_), scale_);
  }

 private:
  Floats scale_, zero_, low_, high_;
};

class Float8Grid {
 public:
  Float8Grid(float scale, int, int) : scale_(hn::Set(kFloats, scale)) {}

  HWY_INLINE Floats round(Floats value, int8_t* code) const {
    const Words bits = AsF8E4M3::narrow(hn::Div(value, scale_));  // saturates at 448
    store_bits<AsF8E4M3>(bits, reinterpret_cast<std::byte*>(code));
    return hn::Mul(AsF8E4M3::widen(bits), scale_);
  }

 private:
  Floats scale_;
};

template <class Grid>
HWY_INLINE void round_block(const Grid& grid, const float* values, int8_t* codes, ErrorSums& sums) {
  for (int64_t part = 0; part < kParts; ++part) {
    const Floats before = hn::LoadU(kFloats, values + part * kLanes);
    sums.add(part, before, grid.round(before, codes + part * kLanes));
  }
}

// What is short of a block is filled up with zeros, which every grid holds: they add nothing.
template <class Grid>
void round_last(const Grid& grid, const float* values, int64_t count, int8_t* codes,
                ErrorSums& sums) {
  float last[kBlock] = {};
  int8_t rounded[kBlock];
  std::copy(values, values + count, last);
  round_block(grid, last, rounded, sums);
  std::copy(rounded, rounded + count, codes);
}

template <class Grid>
RowError round_groups(const GroupRow& row, int bits, int8_t* codes) {
  ErrorSums sums;
  for (int64_t first = 0, g = 0; first < row.count; first += row.group, ++g) {
    const Grid grid(row.scales[g], row.zeros ? row.zeros[g] : 0, bits);
    const int64_t blocks = row.group / kBlock * kBlock;
    for (int64_t i = first; i < first + blocks; i += kBlock) {
      round_block(grid, row.values + i, codes + i, sums);
    }
    if (blocks == row.group) continue;
    round_last(grid, row.values + first + blocks, row.group - blocks, codes + first + blocks, sums);
  }
  return sums.total();
}

// `width` set bits at every `period`, from `first` on.
constexpr uint64_t comb(int width, int period, int first) {
  uint64_t mask = 0;
  for (int at = first; at < 64; at += period) mask |= ((uint64_t{1} << width) - 1) << at;
  return mask;
}

// Moves each upper field of kWidth bits, kPeriod above the lower, down to join it.
template <int kWidth, int kPeriod, class D, class V = hn::Vec<D>>
HWY_INLINE V join_fields(D d, V x) {
  const V low = hn::And(x, hn::Set(d, comb(kWidth, 2 * kPeriod, 0)));
  const V high = hn::And(x, hn::Set(d, comb(kWidth, 2 * kPeriod, kPeriod)));
  return hn::Or(low, hn::ShiftRight<kPeriod - kWidth>(high));
}

// Eight codes, a byte each, become kBits bytes: in pairs, fours, all.
template <int kBits, class D, class V = hn::Vec<D>>
HWY_INLINE V squeeze(D d, V codes) {
  // Codes are below 2^(bits-1) in magnitude: adding 2^(bits-1) is turning their top bit.
  const V x = hn::Xor(codes, hn::Set(d, comb(1, 8, kBits - 1)));
  const V pairs = join_fields<kBits, 8>(d, x);
  return join_fields<4 * kBits, 32>(d, join_fields<2 * kBits, 16>(d, pairs));
}

template <int kBits>
void pack(const int8_t* codes, int64_t count, std::byte* out) {
  const hn::ScalableTag<uint64_t> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  HWY_ALIGN uint64_t squeezed[HWY_MAX_BYTES / sizeof(uint64_t)];
  for (int64_t i = 0; i < count; i += 8 * lanes) {
    std::byte* const to = out + i / 8 * kBits;
    const auto eights = hn::LoadU(d, reinterpret_cast<const uint64_t*>(codes + i));
    if constexpr (kBits == 8) {
      hn::StoreU(hn::Xor(eights, hn::Set(d, comb(1, 8, 7))), d, reinterpret_cast<uint64_t*>(to));
    } else if constexpr (kBits == 4) {
      const hn::Rebind<uint32_t, decltype(d)> half;
      hn::StoreU(hn::TruncateTo(half, squeeze<kBits>(d, eights)), half,
                 reinterpret_cast<uint32_t*>(to));
    } else {
      hn::Store(squeeze<kBits>(d, eights), d, squeezed);
      for (int64_t lane = 0; lane < lanes; ++lane) {
        std::memcpy(to + lane * kBits, squeezed + lane, kBits);
      }
    }
  }
}

}  // namespace

bool GroupRanges(const GroupRow& row, float* low, float* high) {
  Words largest = hn::Zero(kWords);
  uint32_t last_largest = 0;
  const Words no_sign = hn::Set(kWords, 0x7fffffffu);
  for (int64_t first = 0, g = 0; first < row.count; first += row.group, ++g) {
    Floats lows = hn::Zero(kFloats);
    Floats highs = lows;
    const float* const values = row.values + first;
    int64_t i = 0;
    for (; i + kLanes <= row.group; i += kLanes) {
      const Floats v = hn::LoadU(kFloats, values + i);
      lows = hn::Min(lows, v);
      highs = hn::Max(highs, v);
      largest = hn::Max(largest, hn::And(hn::BitCast(kWords, v), no_sign));
    }
    low[g] = hn::GetLane(hn::MinOfLanes(kFloats, lows));
    high[g] = hn::GetLane(hn::MaxOfLanes(kFloats, highs));
    for (; i < row.group; ++i) {
      low[g] = std::min(low[g], values[i]);
      high[g] = std::max(high[g], values[i]);
      last_largest = std::max(last_largest, std::bit_cast<uint32_t>(values[i]) & 0x7fffffff);
    }
  }
  HWY_ALIGN uint32_t lanes[kBlock];
  hn::Store(largest, kWords, lanes);
  for (int64_t i = 0; i < kLanes; ++i) last_largest = std::max(last_largest, lanes[i]);
  return last_largest < kFloatInfinity;
}

RowError RoundRow(const GroupRow& row, int bits, int8_t* codes) {
  return round_groups<IntegerGrid>(row, bits, codes);
}

RowError RoundRowF8(const GroupRow& row, int8_t* codes) {
  return round_groups<Float8Grid>(row, 8, codes);
}

// count: a multiple of 64.
void PackCodes(const int8_t* codes, int64_t count, int bits, std::byte* out) {
  switch (bits) {
    case 2:
      return pack<2>(codes, count, out);
    case 3:
      return pack<3>(codes, count, out);
    case 4:
      return pack<4>(codes, count, out);
    case 5:
      return pack<5>(codes, count, out);
    case 6:
      return pack<6>(codes, count, out);
    case 7:
      return pack<7>(codes, count, out);
    default:
      return pack<8>(codes, count, out);
  }
}

}  // namespace hone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone {
namespace {

HWY_EXPORT(GroupRanges);
HWY_EXPORT(RoundRow);
HWY_EXPORT(RoundRowF8);
HWY_EXPORT(PackCodes);

void check(const GroupRow& row) { CHECK(row.group > 0 && row.count % row.group == 0); }

}  // namespace

bool group_ranges(const float* values, int64_t count, int64_t group, float* low, float* high) {
  const GroupRow row{.values = values, .count = count, .group = group};
  check(row);
  return HWY_DYNAMIC_DISPATCH(GroupRanges)(row, low, high);
}

RowError round_row(const GroupRow& row, int bits, int8_t* codes) {
  check(row);
  CHECK(bits >= 2 && bits <= 8);
  return HWY_DYNAMIC_DISPATCH(RoundRow)(row, bits, codes);
}

RowError round_row_f8(const GroupRow& row, int8_t* codes) {
  check(row);
  return HWY_DYNAMIC_DISPATCH(RoundRowF8)(row, codes);
}

void pack_codes(const int8_t* codes, int64_t count, int bits, std::byte* out) {
  const int64_t whole = count / 64 * 64;
  if (whole > 0) HWY_DYNAMIC_DISPATCH(PackCodes)(codes, whole, bits, out);
  pack_row(codes + whole, count - whole, bits, out + whole / 8 * bits);
}

}  // namespace hone
#endif  // HWY_ONCE
