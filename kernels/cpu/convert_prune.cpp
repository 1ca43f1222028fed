// Pruning of rows of 16-bit floats. A float's bits without the sign order as its magnitude does, so
// all comparisons are of 15-bit integers.
#include <array>
#include <bit>
#include <cmath>

#include "kernels/check.h"
#include "kernels/convert.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/convert_prune.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "kernels/cpu/convert-inl.h"

// Plain versions, for the ends of rows and for machines without vectors.
#ifndef HONE_CPU_CONVERT_PRUNE_PLAIN_
#define HONE_CPU_CONVERT_PRUNE_PLAIN_
namespace hone {
namespace {

constexpr int kNoSign = 0x7fff;

inline uint16_t load_half(const std::byte* row, int64_t i) {
  uint16_t bits;
  std::memcpy(&bits, row + 2 * i, sizeof bits);
  return bits;
}

inline void store_half(std::byte* row, int64_t i, uint16_t bits) {
  std::memcpy(row + 2 * i, &bits, sizeof bits);
}

// Eight numbers; the byte of `live`.
inline uint8_t prune_eight(const std::byte* row, std::byte* out) {
  unsigned live = 0;
  for (int i = 0; i < 8; ++i) {
    const int magnitude = load_half(row, i) & kNoSign;
    int better = 0;
    for (int j = i / 4 * 4; j < i / 4 * 4 + 4; ++j) {
      const int other = load_half(row, j) & kNoSign;
      better += j < i ? other >= magnitude : other > magnitude;
    }
    const bool stays = better < 2;
    store_half(out, i, stays ? load_half(row, i) : uint16_t{0});
    live |= static_cast<unsigned>(stays && magnitude != 0) << i;
  }
  return static_cast<uint8_t>(live);
}

// ---- What 2:4 packing makes of a byte of `live`, two quadruples: codec/sparse.cpp draws it.

struct PackedByte {
  uint8_t index = 0;
  std::array<uint8_t, 8> bytes{};  // of the 16 bytes of the two quadruples
};

constexpr unsigned positions(unsigned live) {
  for (unsigned p = 0; p < 4 && std::popcount(live) < 2; ++p) live |= 1u << p;
  return live;
}

constexpr std::array<PackedByte, 256> kPackedBytes = [] {
  std::array<PackedByte, 256> table{};
  for (unsigned live = 0; live < 256; ++live) {
    for (unsigned q = 0; q < 2; ++q) {
      const unsigned kept = positions(live >> 4 * q & 15);
      const auto first = static_cast<unsigned>(std::countr_zero(kept));
      const auto second = static_cast<unsigned>(std::bit_width(kept) - 1);
      table[live].index |= static_cast<uint8_t>((first | second << 2) << 4 * q);
      const unsigned from[2] = {8 * q + 2 * first, 8 * q + 2 * second};
      for (unsigned k = 0; k < 2; ++k) {
        table[live].bytes[4 * q + 2 * k] = static_cast<uint8_t>(from[k]);
        table[live].bytes[4 * q + 2 * k + 1] = static_cast<uint8_t>(from[k] + 1);
      }
    }
  }
  return table;
}();

}  // namespace
}  // namespace hone
#endif

HWY_BEFORE_NAMESPACE();
namespace hone::HWY_NAMESPACE {
namespace {

using ShortTag = hn::ScalableTag<int16_t>;
using Shorts = hn::Vec<ShortTag>;
constexpr ShortTag kShorts;
constexpr int64_t kShortLanes = hn::MaxLanes(ShortTag());

HWY_INLINE Shorts load(const std::byte* row, int64_t i) {
  return hn::LoadU(kShorts, reinterpret_cast<const int16_t*>(row) + i);
}

HWY_INLINE void store(Shorts v, std::byte* row, int64_t i) {
  hn::StoreU(v, kShorts, reinterpret_cast<int16_t*>(row) + i);
}

HWY_INLINE Shorts magnitude(Shorts v) { return hn::And(v, hn::Set(kShorts, int16_t{kNoSign})); }

#if HWY_TARGET != HWY_SCALAR
// -1 in the lanes whose neighbour, kStep places on in their quadruple (cyclic), is better: larger,
// or as large and before them. Those whose neighbour lies before them compare with one less.
template <int kStep>
HWY_INLINE Shorts beaten_by(Shorts m) {
  const hn::Repartition<uint64_t, ShortTag> quads;
  const Shorts neighbour = hn::BitCast(kShorts, hn::RotateRight<16 * kStep>(hn::BitCast(quads, m)));
  uint64_t before = 0;  // 1 in the lanes i with (i + step) % 4 < i
  for (int i = 4 - kStep; i < 4; ++i) before |= uint64_t{1} << 16 * i;
  const Shorts bound = hn::Sub(m, hn::BitCast(kShorts, hn::Set(quads, before)));
  return hn::VecFromMask(kShorts, hn::Gt(neighbour, bound));
}
#endif

}  // namespace

void Prune24(const std::byte* row, int64_t count, std::byte* out, uint8_t* live) {
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  for (; i + kShortLanes <= count; i += kShortLanes) {
    const Shorts v = load(row, i);
    const Shorts m = magnitude(v);
    const Shorts rank = hn::Add(hn::Add(beaten_by<1>(m), beaten_by<2>(m)), beaten_by<3>(m));
    const Shorts kept = hn::IfThenElseZero(hn::Gt(rank, hn::Set(kShorts, int16_t{-2})), v);
    store(kept, out, i);
    uint8_t bits[8];
    hn::StoreMaskBits(kShorts, hn::Ne(magnitude(kept), hn::Zero(kShorts)), bits);
    std::memcpy(live + i / 8, bits, static_cast<size_t>(kShortLanes / 8));
  }
#endif
  for (; i < count; i += 8) live[i / 8] = prune_eight(row + 2 * i, out + 2 * i);
}

void Pack24(const std::byte* row, const uint8_t* live, int64_t count, std::byte* kept) {
  for (int64_t i = 0; i < count / 8; ++i) {
    const uint8_t* const from = kPackedBytes[live[i]].bytes.data();
    const std::byte* const eight = row + 16 * i;
    std::byte* const to = kept + 8 * i;
#if HWY_TARGET == HWY_SCALAR
    for (int k = 0; k < 8; ++k) to[k] = eight[from[k]];
#else
    const hn::Full128<uint8_t> d;
    const hn::Full64<uint8_t> half;
    const auto shuffle = hn::ZeroExtendVector(d, hn::LoadU(half, from));
    const auto all = hn::LoadU(d, reinterpret_cast<const uint8_t*>(eight));
    hn::StoreU(hn::LowerHalf(half, hn::TableLookupBytes(all, shuffle)), half,
               reinterpret_cast<uint8_t*>(to));
#endif
  }
}

void PruneUpTo(const std::byte* row, int64_t count, int limit, std::byte* out) {
  const Shorts bound = hn::Set(kShorts, static_cast<int16_t>(limit));
  int64_t i = 0;
  for (; i + kShortLanes <= count; i += kShortLanes) {
    const Shorts v = load(row, i);
    store(hn::IfThenElseZero(hn::Gt(magnitude(v), bound), v), out, i);
  }
  for (; i < count; ++i) {
    const uint16_t bits = load_half(row, i);
    store_half(out, i, (bits & kNoSign) > limit ? bits : uint16_t{0});
  }
}

int64_t CountMagnitude(const std::byte* row, int64_t count, int bits) {
  const Shorts wanted = hn::Set(kShorts, static_cast<int16_t>(bits));
  int64_t found = 0;
  int64_t i = 0;
  for (; i + kShortLanes <= count; i += kShortLanes) {
    const auto same = hn::Eq(magnitude(load(row, i)), wanted);
    found += static_cast<int64_t>(hn::CountTrue(kShorts, same));
  }
  for (; i < count; ++i) found += (load_half(row, i) & kNoSign) == bits;
  return found;
}

namespace {

template <class As>
RowError compare(const std::byte* before, const std::byte* after, int64_t count) {
  ErrorSums sums;
  const auto step = [&sums](const std::byte* a, const std::byte* b) HWY_ATTR {
    for (int64_t part = 0; part < kParts; ++part) {
      const int64_t at = 2 * part * kLanes;
      sums.add(part, As::widen(load_bits<As>(a + at)), As::widen(load_bits<As>(b + at)));
    }
  };
  int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) step(before + 2 * i, after + 2 * i);
  if (i < count) {
    std::byte last[2][2 * kBlock] = {};
    std::memcpy(last[0], before + 2 * i, static_cast<size_t>(2 * (count - i)));
    std::memcpy(last[1], after + 2 * i, static_cast<size_t>(2 * (count - i)));
    step(last[0], last[1]);
  }
  return sums.total();
}

}  // namespace

RowError ComparePruned(DType type, const std::byte* before, const std::byte* after, int64_t count) {
  return type == DType::kF16 ? compare<AsF16>(before, after, count)
                             : compare<AsBF16>(before, after, count);
}

}  // namespace hone::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hone {
namespace {

HWY_EXPORT(Prune24);
HWY_EXPORT(Pack24);
HWY_EXPORT(PruneUpTo);
HWY_EXPORT(CountMagnitude);
HWY_EXPORT(ComparePruned);

}  // namespace

void prune_2_4(const std::byte* row, int64_t count, std::byte* out, uint8_t* live) {
  CHECK(count >= 0 && count % 8 == 0);
  HWY_DYNAMIC_DISPATCH(Prune24)(row, count, out, live);
}

void pack_2_4(const std::byte* row, const uint8_t* live, int64_t count, std::byte* kept,
              std::byte* index) {
  CHECK(count >= 0 && count % 8 == 0);
  HWY_DYNAMIC_DISPATCH(Pack24)(row, live, count, kept);
  for (int64_t i = 0; i < count / 8; ++i) index[i] = std::byte{kPackedBytes[live[i]].index};
}

void prune_up_to(const std::byte* row, int64_t count, int limit, std::byte* out) {
  CHECK(limit >= -1 && limit <= kNoSign);
  HWY_DYNAMIC_DISPATCH(PruneUpTo)(row, count, limit, out);
}

int64_t count_magnitude(const std::byte* row, int64_t count, int bits) {
  CHECK(bits >= 0 && bits <= kNoSign);
  return HWY_DYNAMIC_DISPATCH(CountMagnitude)(row, count, bits);
}

RowChange compare_pruned(DType type, const std::byte* before, const std::byte* after,
                         int64_t count) {
  CHECK(type == DType::kF16 || type == DType::kBF16);
  return {.error = HWY_DYNAMIC_DISPATCH(ComparePruned)(type, before, after, count),
          .zeros_before = count_magnitude(before, count, 0),
          .zeros_after = count_magnitude(after, count, 0)};
}

}  // namespace hone
#endif  // HWY_ONCE
