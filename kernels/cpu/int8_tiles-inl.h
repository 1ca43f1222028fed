// Integers in tiles (tiles.h) as storages of int8_rows-inl.h: a word of a tile is a quad, or
// several, of each row as it lies. Compiled per target.
#if defined(HONE_CPU_INT8_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_TILES_INL_H_
#undef HONE_CPU_INT8_TILES_INL_H_
#else
#define HONE_CPU_INT8_TILES_INL_H_
#endif

#include "kernels/cpu/int8_super_blocks-inl.h"
#include "kernels/cpu/tiles.h"

#if HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

static_assert(kLanes == tile_lanes(HWY_TARGET));

// What the storages share: the walk through the tiles of a band.
class TileStorage {
 public:
  static constexpr bool kTiled = true;
  static constexpr bool kPairs = false;
  static constexpr bool kInPlace = false;
  static constexpr bool kMultiplies = false;
  using Stream = NoStream;

  explicit TileStorage(const WeightView& w)
      : shape_(tile_shape(w)),
        tiles_(reinterpret_cast<const uint8_t*>(w.tiles)),
        tile_bytes_(shape_.tile_bytes(kLanes)),
        band_bytes_(band_bytes(w, kLanes)) {}

  static constexpr int64_t unit_bytes() { return 1; }  // NoStream cuts nothing
  static constexpr int64_t unit_runs() { return 1; }
  void start(int64_t row, int64_t) { band_ = tiles_ + row / kLanes * band_bytes_; }
  void begin(const Codes&, int64_t) {}
  static Codes codes(const Codes&, int64_t) { return {}; }
  bool has_zeros() const { return false; }
  Ints zeros(int64_t) const { return hn::Zero(Tag<int32_t>()); }

 protected:
  HWY_INLINE const uint8_t* tile(int64_t unit) const { return band_ + unit * tile_bytes_; }
  static HWY_INLINE Words word(const uint8_t* tile, int64_t i) {
    return load_bytes(Tag<uint32_t>(), tile + i * kVectorBytes);
  }
  HWY_INLINE const uint8_t* halves(const uint8_t* tile, int64_t i) const {
    return tile + shape_.words * kVectorBytes + i * kVectorBytes / 2;
  }
  const TileShape& shape() const { return shape_; }

 private:
  TileShape shape_;
  const uint8_t* tiles_;
  int64_t tile_bytes_;
  int64_t band_bytes_;
  const uint8_t* band_ = nullptr;
};

// Words of which each byte holds the codes of Rows' bytes: quad i, then quad i + kWords ...
template <class Rows, int64_t kWords, class Sink>
HWY_INLINE void give_words(const uint8_t* words, Sink& sink) {
  const Tag<uint32_t> d;
  HONE_UNROLL for (int64_t i = 0; i < kWords; i += 2) {
    sink.ask_ahead(words + i * kVectorBytes);
    const Words even = load_bytes(d, words + i * kVectorBytes);
    give_quads<Rows, 0>(turn_sign<Rows::kTurnsSign>(d, even), i, kWords, sink);
    sink.ask_ahead(words + (i + 1) * kVectorBytes);
    const Words odd = load_bytes(d, words + (i + 1) * kVectorBytes);
    give_quads<Rows, 1>(turn_sign<Rows::kTurnsSign>(d, odd), i + 1, kWords, sink);
  }
}

// I8 and packed integers of 2, 4 or 8 bits. Rows: the same as they are stored.
template <class Rows>
class PlainTiles : public TileStorage {
 public:
  static constexpr RunKind kKind = Rows::kKind;
  static constexpr int kPerByte = Rows::kPerByte;

  explicit PlainTiles(const WeightView& w)
      : TileStorage(w), run_(input_run(w)), scale_type_(w.scale_type), has_zeros_(w.zeros) {}

  static constexpr int32_t zero() { return Rows::zero(); }
  bool has_zeros() const { return has_zeros_; }
  HWY_INLINE Ints zeros(int64_t run) const {
    const Tag<int32_t> d;
    const uint8_t* const from = halves(tile(run), shape().halves - 1);
    return hn::Add(hn::PromoteTo(d, load_bytes(Tag<int16_t>(), from)), hn::Set(d, zero()));
  }
  HWY_INLINE Floats scale(int64_t run) const {
    const uint8_t* const from = tile(run);
    if (scale_type_ == DType::kBF16) return widen_bf16(halves(from, 0));
    if (scale_type_ == DType::kF16) return widen_f16(halves(from, 0));
    return hn::BitCast(kFloatTag, word(from, shape().words - 1));
  }

  template <class Sink>
  HWY_INLINE void give(int64_t run, Sink& sink) const {
    constexpr int64_t kColumns = 4 * kPerByte;  // of a word
    const uint8_t* const words = tile(run);
    if (run_ == 128) return give_words<Rows, 128 / kColumns>(words, sink);
    if (run_ == 64) return give_words<Rows, 64 / kColumns>(words, sink);
    give_words<Rows, 32 / kColumns>(words, sink);
  }

 private:
  int64_t run_;
  DType scale_type_;
  bool has_zeros_;
};

// GGUF's blocks: a code a byte.
struct BlockTiles : TileStorage {
  static constexpr int kPerByte = 1;
  using TileStorage::TileStorage;
};

// Blocks of 32: an f16 scale, and integers that lie as those of Rows do.
template <class Rows>
class SmallBlockTiles : public BlockTiles {
 public:
  static constexpr RunKind kKind = Rows::kKind;
  using BlockTiles::BlockTiles;

  static constexpr int32_t zero() { return Rows::zero(); }
  HWY_INLINE Floats scale(int64_t run) const { return widen_f16(halves(tile(run), 0)); }
  template <class Sink>
  HWY_INLINE void give(int64_t run, Sink& sink) const {
    give_words<Rows, kBlockRun / 4 / Rows::kPerByte>(tile(run), sink);
  }
};

// Blocks of 256: eight runs. Places says which words hold a quad.
template <class Format, class Places>
class SuperBlockTiles : public BlockTiles {
 public:
  static constexpr RunKind kKind = Format::kKind;
  using BlockTiles::BlockTiles;

  HWY_INLINE void begin(const Codes&, int64_t run) {
    if (run % 8 != 0) return;
    block_ = tile(run / 8);
    Words head[4];
    HONE_UNROLL for (int i = 0; i < 4; ++i) head[i] = word(block_, Places::kScales + i);
    if constexpr (kKind == RunKind::kHalves) {
      format_.set_scales(head, lower_halves(word(block_, 0)));
    } else {
      format_.set_scales(head);
    }
  }
  static constexpr int32_t zero() { return Format::kZero; }
  HWY_INLINE Floats scale(int64_t run) const { return format_.scale(run % 8); }
  HWY_INLINE Floats minimum(int64_t run) const { return format_.minimum(run % 8); }
  HWY_INLINE Ints factor(int64_t run, int half) const { return format_.factor(run % 8, half); }

  template <class Sink>
  HWY_INLINE void give(int64_t run, Sink& sink) const {
    give_from<0, kBlockRun / 4>(run, sink);
  }
  // Half of a run, numbered anew.
  template <int kHalf, class Sink>
  HWY_INLINE void give_half(int64_t run, Sink& sink) const {
    give_from<kHalf * kBlockRun / 8, kBlockRun / 8>(run, sink);
  }

 private:
  template <int64_t kFirst, int64_t kCount, class Sink>
  HWY_INLINE void give_from(int64_t run, Sink& sink) const {
    const auto word_at = [this](int64_t i) HWY_ATTR { return word(block_, i); };
    // A block has more quads than words.
    const uint8_t* const lines = block_ + (run % 8 * (kBlockRun / 4) + kFirst) * kVectorBytes;
    HONE_UNROLL for (int64_t i = 0; i < kCount; i += 2) {
      sink.ask_ahead(lines + i * kVectorBytes);
      sink.ask_ahead(lines + (i + 1) * kVectorBytes);
      sink.template add<0>(i, Places::quad(word_at, run % 8, kFirst + i));
      sink.template add<1>(i + 1, Places::quad(word_at, run % 8, kFirst + i + 1));
    }
  }

  const uint8_t* block_ = nullptr;
  Format format_;
};

// Some bits of each byte, from bit `shift` on, moved to the lowest ones.
template <uint32_t kMask>
HWY_INLINE Words bits_of_bytes(Words words, int64_t shift) {
  return hn::And(hn::ShiftRightSame(words, static_cast<int>(shift)),
                 hn::Set(Tag<uint32_t>(), kMask * 0x01010101));
}

struct Q4_KPlaces {
  static constexpr int64_t kScales = 0;
  static constexpr int64_t kNibbles = offsetof(BlockQ4_K, nibbles) / 4;
  template <class WordAt>
  static HWY_INLINE Words quad(const WordAt& word_at, int64_t run, int64_t i) {
    return bits_of_bytes<0x0f>(word_at(kNibbles + run / 2 * 8 + i), run % 2 * 4);
  }
};

struct Q5_KPlaces {
  static constexpr int64_t kScales = 0;
  static constexpr int64_t kHighBits = offsetof(BlockQ5_K, high_bits) / 4;
  static constexpr int64_t kNibbles = offsetof(BlockQ5_K, nibbles) / 4;
  template <class WordAt>
  static HWY_INLINE Words quad(const WordAt& word_at, int64_t run, int64_t i) {
    const Words low = bits_of_bytes<0x0f>(word_at(kNibbles + run / 2 * 8 + i), run % 2 * 4);
    const Words high = bits_of_bytes<0x01>(word_at(kHighBits + i), run);
    return hn::Or(low, hn::ShiftLeft<4>(high));
  }
};

struct Q6_KPlaces {
  static constexpr int64_t kScales = kQ6_KScales;
  template <class WordAt>
  static HWY_INLINE Words quad(const WordAt& word_at, int64_t run, int64_t i) {
    const int64_t half = kQ6_KHalves + run / 4 * kQ6_KHalfWords;
    const int64_t in_half = run % 4;
    const int64_t nibbles = in_half % 2 == 0 ? half + 2 * i + 1 : half + 16 + i;
    const Words high = bits_of_bytes<0x03>(word_at(half + 2 * i), in_half * 2);
    const Words low = bits_of_bytes<0x0f>(word_at(nibbles), in_half / 2 * 4);
    return hn::Or(low, hn::ShiftLeft<4>(high));
  }
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
