// Rows of GGUF's blocks of 32, for one token (int8_one-inl.h): sixteen blocks are a vector of sums.
// For AVX-512; narrower vectors read rows side by side. Compiled per target.
#if defined(HONE_CPU_INT8_BLOCK_ROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_BLOCK_ROW_INL_H_
#undef HONE_CPU_INT8_BLOCK_ROW_INL_H_
#else
#define HONE_CPU_INT8_BLOCK_ROW_INL_H_
#endif

#include <array>

#include "kernels/cpu/int8_blocks-inl.h"
#include "kernels/cpu/int8_one-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

// Lane i of the result: lane from(i).
template <class From>
HWY_INLINE __m512i reorder(__m512i sums, From) {
  alignas(64) static constexpr auto kFrom = [] {
    std::array<int32_t, 16> from{};
    for (int i = 0; i < 16; ++i) from[i] = From()(i);
    return from;
  }();
  return _mm512_permutexvar_epi32(_mm512_load_si512(kFrom.data()), sums);
}

// The 16 bytes of nibbles of each of four blocks, side by side: words out of two vectors that cover
// the blocks.
template <class Block>
class FourBlocks {
 public:
  static HWY_INLINE __m512i load(const Block* blocks) {
    const auto* const from = reinterpret_cast<const uint8_t*>(blocks);
    return _mm512_permutex2var_epi16(_mm512_loadu_si512(from), _mm512_load_si512(kFrom.data()),
                                     _mm512_loadu_si512(from + kSecond));
  }

 private:
  static constexpr int kSecond = 4 * sizeof(Block) - 64;
  static_assert(sizeof(Block) % 2 == 0 && kSecond > 0);
  alignas(64) static constexpr auto kFrom = [] {
    std::array<uint16_t, 32> from{};
    for (int i = 0; i < 32; ++i) {
      const int word =
          static_cast<int>(i / 8 * sizeof(Block) + offsetof(Block, nibbles)) / 2 + i % 8;
      from[i] = static_cast<uint16_t>(word < 32 ? word : word - kSecond / 2 + 32);
    }
    return from;
  }();
};

// The word at byte kAt of each of sixteen blocks: those of a few blocks come with one load, and one
// instruction picks them out of two loads.
template <int64_t kStride, int64_t kAt>
class WordOfBlocks {
 public:
  static HWY_INLINE __m256i load(const void* blocks) {
    const auto* const from = static_cast<const uint8_t*>(blocks);
    __m128i eight[2];
    HONE_UNROLL for (int64_t i = 0; i < 2; ++i) {
      const uint8_t* const half = from + 8 * i * kStride;
      if constexpr (kInLoad == 4) {
        eight[i] = pick(half);
      } else {
        eight[i] = _mm_unpacklo_epi64(pick(half), pick(half + 4 * kStride));
      }
    }
    return _mm256_inserti128_si256(_mm256_castsi128_si256(eight[0]), eight[1], 1);
  }

 private:
  static constexpr int64_t kInLoad = kAt + 3 * kStride + 2 <= 64 ? 4 : 2;
  static_assert(kStride % 2 == 0 && kAt + kStride + 2 <= 64);
  alignas(64) static constexpr auto kFrom = [] {
    std::array<uint16_t, 32> from{};
    for (int64_t i = 0; i < 2 * kInLoad; ++i) {
      from[i] = static_cast<uint16_t>(i / kInLoad * 32 + (i % kInLoad * kStride + kAt) / 2);
    }
    return from;
  }();

  // Of 2 * kInLoad blocks, in the lowest lanes.
  static HWY_INLINE __m128i pick(const uint8_t* from) {
    return _mm512_castsi512_si128(
        _mm512_permutex2var_epi16(_mm512_loadu_si512(from), _mm512_load_si512(kFrom.data()),
                                  _mm512_loadu_si512(from + kInLoad * kStride)));
  }
};

template <class Format>
class RowOf<BlockRows<Format>> {
  using Block = typename Format::Block;

 public:
  static constexpr bool kExists = true;
  static constexpr bool kMinimum = Format::kMinimum;
  static bool suits(const WeightView& w) { return w.columns % (2 * kBlockRun) == 0; }

  explicit RowOf(const WeightView& w) : w_(w), ahead_(stream_ahead()) {}
  void start(int64_t row) {
    blocks_ = reinterpret_cast<const Block*>(w_.payload + row * w_.row_stride);
  }

  HWY_INLINE Ints sums(int64_t run, int64_t count, const int8_t* quads) const {
    const Block* const blocks = blocks_ + run;
    prefetch_stream(reinterpret_cast<const uint8_t*>(blocks), kLanes * sizeof(Block), ahead_);
    if constexpr (requires { BlockRows<Format>::nibbles_at(0); }) {
      if (count == kLanes) return sums_by_fours(blocks, quads);
    }
    return count == kLanes ? sums_by_pairs<true>(blocks, count, quads)
                           : sums_by_pairs<false>(blocks, count, quads);
  }

  HWY_INLINE Floats scales(int64_t run, int64_t count) const {
    alignas(32) uint16_t bits[kLanes] = {};
    if constexpr (requires { &Block::d; }) {
      if (count == kLanes) return widen(words_at<offsetof(Block, d)>(run));
    }
    for (int64_t i = 0; i < count; ++i) bits[i] = Format::scale_bits(blocks_[run + i]);
    return Format::widen_scale(bits);
  }
  HWY_INLINE Floats minimums(int64_t run, int64_t count) const {
    if (count == kLanes) return widen(words_at<offsetof(Block, m)>(run));
    alignas(32) uint16_t bits[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) bits[i] = blocks_[run + i].m;
    return widen_f16(bits);
  }
  HWY_INLINE Ints zeros(int64_t, int64_t) const { return hn::Set(Tag<int32_t>(), Format::kZero); }

 private:
  template <int64_t kAt>
  HWY_INLINE __m256i words_at(int64_t run) const {
    return WordOfBlocks<sizeof(Block), kAt>::load(blocks_ + run);
  }
  static HWY_INLINE Floats widen(__m256i halves) { return Floats{_mm512_cvtph_ps(halves)}; }

  static HWY_INLINE Ints sums_by_fours(const Block* blocks, const int8_t* quads) {
    const __m512i nibble = _mm512_set1_epi8(15);
    Ints sums[4];
    HONE_UNROLL for (int64_t i = 0; i < 4; ++i) {
      const __m512i pairs = FourBlocks<Block>::load(blocks + 4 * i);
      const int8_t* const x = quads + 4 * i * kBlockRun;
      const __m512i first = _mm512_loadu_si512(x);
      const __m512i second = _mm512_loadu_si512(x + 64);
      const Words low{_mm512_shuffle_i32x4(first, second, 0x88)};
      const Words high{_mm512_shuffle_i32x4(first, second, 0xdd)};
      const Words low_codes{_mm512_and_si512(pairs, nibble)};
      const Words high_codes{_mm512_and_si512(_mm512_srli_epi32(pairs, 4), nibble)};
      sums[i] = add_products(hn::Zero(Tag<int32_t>()), low_codes, low);
      sums[i] = add_products(sums[i], high_codes, high);
    }
    const Ints turned = sum_four(sums[0], sums[1], sums[2], sums[3]);
    return Ints{reorder(turned.raw, [](int i) { return i % 4 * 4 + i / 4; })};
  }

  template <bool kAll>
  static HWY_INLINE Ints sums_by_pairs(const Block* blocks, int64_t count, const int8_t* quads) {
    __m512i fours[2];
    HONE_UNROLL for (int64_t i = 0; i < 2; ++i) {
      Ints sums[4];
      HONE_UNROLL for (int64_t k = 0; k < 4; ++k) {
        const int64_t run = 8 * i + 2 * k;
        sums[k] = hn::Zero(Tag<int32_t>());
        if (!kAll && run >= count) continue;
        const Words codes{Format::load_pair(blocks[run], blocks[run + 1])};
        sums[k] =
            add_products(sums[k], codes, load_bytes(Tag<uint32_t>(), quads + run * kBlockRun));
      }
      fours[i] = sum_four(sums[0], sums[1], sums[2], sums[3]).raw;
    }
    const __m512i sums = _mm512_add_epi32(_mm512_shuffle_i32x4(fours[0], fours[1], 0x88),
                                          _mm512_shuffle_i32x4(fours[0], fours[1], 0xdd));
    return Ints{reorder(sums, [](int i) { return i / 8 * 8 + i % 2 * 4 + i % 8 / 2; })};
  }

  const WeightView& w_;
  int64_t ahead_;
  const Block* blocks_ = nullptr;
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
