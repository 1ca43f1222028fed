// Weights of few bits as codes, for products of integers: kLanes rows at a time, a run of
// columns at a time.
//
//   value(r, c) = (code(r, c) - zero) * scale(r, run)    RunKind::kPlain, kBytes, kAllBytes
//                 ... + minimum(r, run)                  kMinimum
//                 ... * factor(r, half of the run)       kHalves
//
// A RowStream brings the rows' bytes into L1, a storage (PlainRows, ...) says what they mean, and
// give_run turns them, so that a vector holds one quad (four codes) of each row. Compiled per
// target.
#if defined(HONE_CPU_INT8_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_INT8_ROWS_INL_H_
#undef HONE_CPU_INT8_ROWS_INL_H_
#else
#define HONE_CPU_INT8_ROWS_INL_H_
#endif

#include <memory>

#include "kernels/cpu/int8_input-inl.h"
#include "kernels/formats.h"

#if HWY_TARGET != HWY_SCALAR  // which has no vectors to turn
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

// Codes of a run: kLanes rows of bytes, `stride` apart. Where rows are read in place, those at
// `coming`, as far apart, will be wanted soon.
struct Codes {
  const uint8_t* bytes;
  int64_t stride;
  const uint8_t* coming = nullptr;
};

// What a run has beside a scale: nothing, a minimum, or an integer factor of eight bits for each of
// its halves, so that all of it remains an exact integer. kBytes: nothing, and codes are int8;
// kAllBytes: and activations may be -128.
enum class RunKind { kPlain, kBytes, kAllBytes, kMinimum, kHalves };

// Codes are unsigned, and up to seven bits long or eight. The product of bytes before VNNI adds two
// of them in 16 bits, where 2 * 255 * 127 has no room, but 2 * 128 * 127 has: there codes of eight
// bits are int8. Only activations that the model itself rounds can be -128.
constexpr bool kSignedBytes = HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4;
constexpr RunKind kKindOfBytes = kSignedBytes ? RunKind::kBytes : RunKind::kPlain;
constexpr RunKind kKindOfAllBytes = kSignedBytes ? RunKind::kAllBytes : RunKind::kPlain;
constexpr int32_t kZeroOfBytes = kSignedBytes ? 0 : 128;  // what stands for 0

// ---- Reading.

// The bytes of a range of rows, kLanes rows at a time, memory read without pause. Products need
// many rows at once, but the hardware's prefetcher follows few streams. Two ways around that:
//
// - In place, where codes are used once: while they are multiplied, the product asks for what lies
//   kAheadBytes further on in the same rows, or in those that come next (Codes::coming). Into L2:
//   in L1 rows whose distance is a power of two would push each other out.
// - In pieces of up to kPieceBytes a row, where codes become panels: while one piece is worked on,
//   the next is copied beside it, row by row.
class RowStream {
 public:
  static constexpr int64_t kPieceBytes = 1024;
  static constexpr int64_t kAheadBytes = 2048;

  // Rows [.., end_row) of w; unit: bytes of a row that must not be cut.
  RowStream(const WeightView& w, int64_t unit, int64_t end_row)
      : w_(w),
        row_bytes_(payload_row_bytes(w)),
        unit_(unit),
        piece_bytes_(std::max(unit, kPieceBytes / unit * unit)),
        ahead_(std::min(kAheadBytes, row_bytes_) / unit * unit),
        end_row_(end_row),
        buffers_{new_buffer(), new_buffer()} {}

  int64_t piece_bytes() const { return in_place_ ? row_bytes_ : piece_bytes_; }
  // In place: Codes::coming of a unit; a range's last rows ask for what lies behind them.
  const uint8_t* coming(int64_t unit) const {
    if (!in_place_) return piece();
    const int64_t at = unit * unit_ + ahead_;
    return base_ + at + (at < row_bytes_ ? 0 : kLanes * w_.row_stride - row_bytes_);
  }
  int64_t stride() const { return in_place_ ? w_.row_stride : piece_bytes_; }

  // Goes to the first piece of the rows [row, row + kLanes).
  void start(int64_t row, bool in_place) {
    in_place_ = in_place && row + kLanes <= w_.rows && row_bytes_ % unit_ == 0;
    if (in_place_) {
      at_ = {};
      base_ = reinterpret_cast<const uint8_t*>(w_.payload + row * w_.row_stride);
      return;
    }
    if (at_ == Place{row, 0}) return;
    at_ = {row, 0};
    for (int64_t r = 0; r < kLanes; ++r) copy_row(at_, r, buffers_[now_].get());
    copied_ = 0;
  }
  const uint8_t* piece() const { return in_place_ ? base_ : buffers_[now_].get(); }

  // Some of the next piece; after a piece's `steps` calls it is there.
  HWY_INLINE void copy_ahead(int64_t step, int64_t steps) {
    if (in_place_) return;
    const Place next = after(at_);
    if (next.row < 0) return;
    for (const int64_t until = kLanes * (step + 1) / steps; copied_ < until; ++copied_) {
      copy_row(next, copied_, buffers_[1 - now_].get());
    }
  }
  void next() {
    if (in_place_) return;
    at_ = after(at_);
    now_ = 1 - now_;
    copied_ = 0;
  }

 private:
  static constexpr int64_t kSlack = 64;  // a vector beyond the last code
  static constexpr int64_t kCopyAheadBytes = 8192;

  using Buffer = std::unique_ptr<uint8_t[]>;
  Buffer new_buffer() const {
    return std::make_unique_for_overwrite<uint8_t[]>(kLanes * piece_bytes_ + kSlack);
  }

  struct Place {
    int64_t row = -1;  // -1: nowhere
    int64_t offset = 0;
    bool operator==(const Place&) const = default;
  };

  Place after(const Place& place) const {
    if (place.offset + piece_bytes_ < row_bytes_) return {place.row, place.offset + piece_bytes_};
    if (place.row + kLanes < end_row_) return {place.row + kLanes, 0};
    return {};
  }

  HWY_INLINE void copy_row(const Place& place, int64_t r, uint8_t* buffer) const {
    if (place.row + r >= w_.rows) return;  // what lies there is never used
    const auto* const from = reinterpret_cast<const uint8_t*>(
        w_.payload + (place.row + r) * w_.row_stride + place.offset);
    uint8_t* const to = buffer + r * piece_bytes_;
    const int64_t count = std::min(piece_bytes_, row_bytes_ - place.offset);
    const hn::CappedTag<uint8_t, 64> d;
    constexpr int64_t kStep = hn::MaxLanes(hn::CappedTag<uint8_t, 64>());
    int64_t i = 0;
    for (; i + kLine <= count; i += kLine) {
      __builtin_prefetch(from + i + kCopyAheadBytes, 0, 2);
      for (int64_t k = i; k < i + kLine; k += kStep) hn::StoreU(hn::LoadU(d, from + k), d, to + k);
    }
    if (i < count) std::memcpy(to + i, from + i, count - i);
  }

  const WeightView& w_;
  int64_t row_bytes_;
  int64_t unit_;
  int64_t piece_bytes_;
  int64_t ahead_;
  int64_t end_row_;
  bool in_place_ = false;
  const uint8_t* base_ = nullptr;  // in place: these rows
  Buffer buffers_[2];
  int now_ = 0;
  Place at_;
  int64_t copied_ = 0;  // rows of the next piece
};

// Rows that a product which takes as long as memory asks for ahead: with kLanes of them it waits,
// 2.8 ns for a run of 2:4 int4 instead of 2.5.
constexpr int64_t kAheadRows = 2 * kLanes;

// Instead of a RowStream, for a storage that finds its bytes itself.
class NoStream {
 public:
  NoStream(const WeightView& w, int64_t, int64_t)
      : bytes_(reinterpret_cast<const uint8_t*>(w.payload)) {}
  static int64_t piece_bytes() { return kEndless; }
  static int64_t stride() { return 0; }
  const uint8_t* piece() const { return bytes_; }
  const uint8_t* coming(int64_t) const { return bytes_; }
  void start(int64_t, bool) {}
  void copy_ahead(int64_t, int64_t) {}
  void next() {}

 private:
  const uint8_t* bytes_;
};

// ---- Turning.

// 16 bytes of each of kLanes rows -> words[j]: word j of each row.
#if HWY_TARGET == HWY_AVX3
HWY_INLINE __m512i load_four_blocks(const uint8_t* from, int64_t stride) {
  const auto block = [from, stride](int64_t r) HWY_ATTR {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + r * stride));
  };
  const __m512i one = _mm512_castsi128_si512(block(0));
  const __m512i two = _mm512_inserti32x4(one, block(4), 1);
  return _mm512_inserti32x4(_mm512_inserti32x4(two, block(8), 2), block(12), 3);
}
#endif

#if HWY_TARGET == HWY_AVX3
HWY_INLINE Words load_16_four_times(const void* from) {
  return Words{_mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(from)))};
}
#endif

// Blocks of 16 bytes: rows r, r + 4, r + 8 ... of kLanes.
HWY_INLINE Words load_blocks(const uint8_t* from, int64_t stride) {
#if HWY_TARGET == HWY_AVX3
  return Words{load_four_blocks(from, stride)};
#elif HWY_TARGET == HWY_AVX2
  const hn::CappedTag<uint32_t, 4> half;
  const auto low = load_bytes(half, from);
  return hn::Combine(Tag<uint32_t>(), load_bytes(half, from + 4 * stride), low);
#else
  static_cast<void>(stride);
  return load_bytes(Tag<uint32_t>(), from);
#endif
}

HWY_INLINE void turn_words(const uint8_t* from, int64_t stride, Words words[4]) {
  const Tag<uint32_t> d;
  const hn::RepartitionToWide<Tag<uint32_t>> d64;
  const Words a = load_blocks(from, stride);
  const Words b = load_blocks(from + stride, stride);
  const Words c = load_blocks(from + 2 * stride, stride);
  const Words e = load_blocks(from + 3 * stride, stride);
  const auto ab_low = hn::BitCast(d64, hn::InterleaveLower(d, a, b));
  const auto ab_high = hn::BitCast(d64, hn::InterleaveUpper(d, a, b));
  const auto ce_low = hn::BitCast(d64, hn::InterleaveLower(d, c, e));
  const auto ce_high = hn::BitCast(d64, hn::InterleaveUpper(d, c, e));
  words[0] = hn::BitCast(d, hn::InterleaveLower(d64, ab_low, ce_low));
  words[1] = hn::BitCast(d, hn::InterleaveUpper(d64, ab_low, ce_low));
  words[2] = hn::BitCast(d, hn::InterleaveLower(d64, ab_high, ce_high));
  words[3] = hn::BitCast(d, hn::InterleaveUpper(d64, ab_high, ce_high));
}

// The codes that lie at place kCode of their bytes.
template <int kPerByte, int kCode, class D>
HWY_INLINE hn::Vec<D> pick_codes(D d, hn::Vec<D> words) {
  if constexpr (kPerByte == 1) {
    return words;
  } else {
    constexpr int kBits = 8 / kPerByte;
    const auto mask = hn::Set(d, 0x01010101u * ((1u << kBits) - 1));
    return hn::And(kCode == 0 ? words : hn::ShiftRight<kCode * kBits>(words), mask);
  }
}

// Bytes to codes: from two's complement to 128 more, or back.
template <bool kTurnsSign, class D>
HWY_INLINE hn::Vec<D> turn_sign(D d, hn::Vec<D> words) {
  if constexpr (kTurnsSign) return hn::Xor(words, hn::Set(d, 0x80808080u));
  return words;
}

template <class Rows, int kSlot, int kCode = 0, class Sink>
HWY_INLINE void give_quads(Words word, int64_t index, int64_t words, Sink& sink) {
  const Tag<uint32_t> d;
  sink.template add<(kSlot + kCode) % 2>(index + kCode * words,
                                         pick_codes<Rows::kPerByte, kCode>(d, word));
  if constexpr (kCode + 1 < Rows::kPerByte) {
    give_quads<Rows, kSlot, kCode + 1>(word, index, words, sink);
  }
}

// Calls sink.add<0 or 1>(quad, codes of that quad for each row) for all quads of a run of `bytes`,
// and sink.step(i, steps) now and then.
template <class Rows, class Sink>
HWY_INLINE void give_run(const Codes& codes, int64_t bytes, Sink& sink) {
  const Tag<uint32_t> d;
  for (int64_t b = 0; b < bytes; b += 16) {
    Words words[4];
    turn_words(codes.bytes + b, codes.stride, words);
    sink.step(b / 16, bytes / 16);
    for (int i = 0; i < 4; ++i) {
      give_quads<Rows, 0>(turn_sign<Rows::kTurnsSign>(d, words[i]), b / 4 + i, bytes / 4, sink);
    }
  }
}

// All quads of a run to a sink, as give_run. codes: what the storage has of it.
template <class Rows, class Sink>
HWY_INLINE void give_codes(const Rows& rows, const Codes& codes, int64_t run, int64_t bytes,
                           Sink& sink) {
  if constexpr (Rows::kTiled) {
    rows.give(run, sink);
  } else {
    give_run<Rows>(codes, bytes, sink);
  }
}

// ---- Scales that lie apart.

// kLanes scales of w, from number `at` on.
HWY_INLINE Floats load_scales(const WeightView& w, int64_t at) {
  if (w.scale_type == DType::kF32) return load_f32(w.scales + 4 * at);
  const std::byte* const from = w.scales + 2 * at;
  return w.scale_type == DType::kBF16 ? widen_bf16(from) : widen_f16(from);
}

// Scales and zero points of kLanes rows, turned: [groups][kLanes].
class GroupTable {
 public:
  explicit GroupTable(const WeightView& w)
      : w_(w), groups_(w.scales ? w.columns / w.group : 1), padded_((groups_ + 3) / 4 * 4) {
    rows_.resize(kLanes * padded_);
    scales_.assign(kLanes * padded_, 1.0f);
    if (w.zeros) zeros_.resize(kLanes * padded_);
  }

  void start(int64_t row, int64_t count) {
    if (!w_.scales) return;
    for (int64_t r = 0; r < kLanes; ++r) {
      read_scales(w_.scale_rows == 1 ? 0 : row + std::min(r, count - 1),
                  rows_.data() + r * padded_);
    }
    turn();
    prefetch_scales(row + kLanes);
    for (int64_t g = 0; w_.zeros && g < groups_; ++g) {
      for (int64_t r = 0; r < kLanes; ++r) {
        zeros_[g * kLanes + r] = w_.zeros[(row + std::min(r, count - 1)) * groups_ + g];
      }
    }
  }

  HWY_INLINE Floats scale(int64_t g) const { return hn::LoadU(kFloatTag, &scales_[g * kLanes]); }
  HWY_INLINE Ints zeros(int64_t g) const { return hn::LoadU(Tag<int32_t>(), &zeros_[g * kLanes]); }

 private:
  // Of the rows that come next.
  void prefetch_scales(int64_t row) const {
    if (w_.scale_rows == 1 || row >= w_.rows) return;
    const int64_t bytes = row_bytes(w_.scale_type, groups_);
    const std::byte* const from = w_.scales + row * bytes;
    for (int64_t i = 0; i < kLanes * bytes; i += kLine) hwy::Prefetch(from + i);
  }

  void read_scales(int64_t row, float* out) const {
    int64_t g = 0;
    for (; g + kLanes <= groups_; g += kLanes) {
      const int64_t at = row * groups_ + g;
      hn::StoreU(load_scales(w_, at), kFloatTag, out + g);
    }
    for (; g < groups_; ++g) out[g] = load_scale(w_.scale_type, w_.scales, row * groups_ + g);
  }

  void turn() {
    const auto* const from = reinterpret_cast<const uint8_t*>(rows_.data());
    for (int64_t g = 0; g < groups_; g += 4) {
      Words words[4];
      turn_words(from + 4 * g, 4 * padded_, words);
      for (int i = 0; i < 4; ++i) {
        hn::StoreU(hn::BitCast(kFloatTag, words[i]), kFloatTag, &scales_[(g + i) * kLanes]);
      }
    }
  }

  const WeightView& w_;
  int64_t groups_;
  int64_t padded_;
  std::vector<float> rows_;  // [kLanes][padded]: as they lie
  std::vector<float> scales_;
  std::vector<int32_t> zeros_;
};

// A storage is a struct that stands on kLanes rows:
//   kPerByte, kTurnsSign    codes in a byte; whether those are signed and codes are not, or the
//                           other way round
//   kKind                   a RunKind
//   kPairs                  runs of 32 bytes, whose codes lie side by side by twos
//   kInPlace                codes are the file's bytes: one token reads them where they are
//   kMultiplies             has multiply<kT>, which a few tokens use instead of codes, and asks
//                           for its bytes itself
//   kTiled                  has give, and nothing in codes
//   kRowTiles               optional: a row's codes of a run are whole vectors of bytes as they lie
//   Stream                  RowStream, or NoStream
//   unit_bytes, unit_runs   what must not be cut: so many bytes of a row hold so many runs
//   start(row, count)       go to rows [row, row + count), count <= kLanes
//   begin(units, run)       before anything else of a run; units: where its unit starts, in each
//                           row
//   codes(units, run)       of the run
//   give(run, sink)         kTiled: what give_run does; kHalves: give_half<half>(run, sink), too
//   load_pair(unit, run)    AVX-512, kPairs: codes of an even run and of the next one, of one row
//   load_run(unit, run)     AVX2, kPairs, but for kHalves: codes of a run, of one row
//   zero(), zeros(run)      zero() for all rows; where has_zeros(), one a row instead
//   scale(run), minimum(run)
//   factor(run, half)       kHalves; factors_of_four(run, i): AVX-512, of an even run and of the
//                           next one, [half][row] of rows 4i to 4i + 3
//   multiply<kT>(units, run, x, sums)  kMultiplies: exact sums with kT tokens, zero points taken
//   off

// A few tokens meet rows in tile registers as they lie (int8_amx_rows-inl.h) where runs are
// multiples of so many columns; 0: nowhere.
template <class Rows>
constexpr int64_t row_tile_columns() {
  if (HWY_TARGET != HWY_AVX3 || Rows::kKind == RunKind::kHalves) return 0;
  if constexpr (requires { Rows::kRowTiles; }) return Rows::kRowTiles ? kLine * Rows::kPerByte : 0;
  return Rows::kPairs ? 32 : 0;
}

// What integers of kBits bits have in common: scales and zero points by groups, a run a unit.
template <int kBits, RunKind kRunKind = RunKind::kPlain>
class GroupedRows {
 public:
  static constexpr RunKind kKind = kRunKind;
  static constexpr bool kPairs = false;
  static constexpr bool kInPlace = true;
  static constexpr bool kMultiplies = false;
  static constexpr bool kTiled = false;
  using Stream = RowStream;

  explicit GroupedRows(const WeightView& w)
      : table_(w), has_zeros_(w.zeros != nullptr), unit_bytes_(input_run(w) * kBits / 8) {
    if (w.scales && w.group != w.columns) runs_per_group_ = w.group / input_run(w);
  }

  int64_t unit_bytes() const { return unit_bytes_; }
  static constexpr int64_t unit_runs() { return 1; }
  void start(int64_t row, int64_t count) { table_.start(row, count); }

  HWY_INLINE Floats scale(int64_t run) const { return table_.scale(run / runs_per_group_); }
  bool has_zeros() const { return has_zeros_; }
  static constexpr int32_t zero() { return kBits == 8 ? kZeroOfBytes : 1 << (kBits - 1); }
  HWY_INLINE Ints zeros(int64_t run) const {
    return hn::Add(table_.zeros(run / runs_per_group_), hn::Set(Tag<int32_t>(), zero()));
  }

 private:
  GroupTable table_;
  bool has_zeros_;
  int64_t unit_bytes_;
  int64_t runs_per_group_ = kEndless;
};

// I8, and packed integers of 2, 4 or 8 bits: bytes as they lie.
template <int kBits, bool kTwosComplement, RunKind kKind = RunKind::kPlain>
class PlainRows : public GroupedRows<kBits, kKind> {
 public:
  static constexpr int kPerByte = 8 / kBits;
  static constexpr bool kTurnsSign = kBits == 8 && kTwosComplement != kSignedBytes;
  static constexpr bool kRowTiles = kBits >= 4;

  using GroupedRows<kBits, kKind>::GroupedRows;
  HWY_INLINE void begin(const Codes&, int64_t) {}
  HWY_INLINE Codes codes(const Codes& units, int64_t) { return units; }
};

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
