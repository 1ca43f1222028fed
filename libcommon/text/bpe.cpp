// Encoding of one piece. Reading the model's JSON is bpe_read.cpp, the cache piece_cache.cpp.
#include "libcommon/text/bpe.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <limits>

#include "libcommon/base/error.h"
#include "libcommon/text/unicode.h"

namespace hone {
namespace {

constexpr size_t kCachedPieceBytes = 128;
// Up to here looking at every pair for each merge is faster than a heap.
constexpr size_t kShortPiece = 64;
constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();

// A possible merge of the symbol at `position` with the one after it. Rank and position in one
// number give the order: lowest rank first, leftmost among equals.
struct Candidate {
  uint64_t order;
  int32_t id;

  size_t position() const { return static_cast<uint32_t>(order); }
  bool operator>(const Candidate& other) const { return order > other.order; }
};

// A symbol of a long piece: a doubly linked list inside a vector.
struct Symbol {
  int32_t id;  // kRemoved once merged into the symbol before it
  int32_t previous, next;
};
constexpr int32_t kRemoved = -1, kNone = -1;

class LongMerge {
 public:
  LongMerge(const PairTable& merges, const std::vector<int32_t>& ids) : merges_(merges) {
    symbols_.reserve(ids.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      const auto at = static_cast<int32_t>(i);
      symbols_.push_back({ids[i], at - 1, i + 1 < ids.size() ? at + 1 : kNone});
    }
    for (size_t i = 0; i + 1 < ids.size(); ++i) add(static_cast<int32_t>(i));
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  void run() {
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      const Candidate best = heap_.back();
      heap_.pop_back();
      if (is_current(best)) merge(static_cast<int32_t>(best.position()), best.id);
    }
  }

  void take(std::vector<int32_t>& ids) const {
    ids.clear();
    for (const Symbol& symbol : symbols_) {
      if (symbol.id != kRemoved) ids.push_back(symbol.id);
    }
  }

 private:
  Symbol& at(int32_t position) { return symbols_[static_cast<size_t>(position)]; }

  // Entries are not taken out of the heap when their symbols change: they are passed over here.
  bool is_current(const Candidate& candidate) {
    const Symbol& left = symbols_[candidate.position()];
    if (left.id == kRemoved || left.next == kNone) return false;
    const Merge* merge = merges_.find(left.id, at(left.next).id);
    return merge != nullptr && merge->id == candidate.id;
  }

  void merge(int32_t position, int32_t id) {
    Symbol& left = at(position);
    Symbol& right = at(left.next);
    left.id = id;
    left.next = right.next;
    right.id = kRemoved;
    if (left.next != kNone) at(left.next).previous = position;
    if (left.previous != kNone) push(left.previous);
    push(position);
  }

  bool add(int32_t position) {
    const Symbol& left = at(position);
    if (left.next == kNone) return false;
    const Merge* merge = merges_.find(left.id, at(left.next).id);
    if (merge == nullptr) return false;
    heap_.push_back(
        {static_cast<uint64_t>(merge->rank) << 32 | static_cast<uint32_t>(position), merge->id});
    return true;
  }

  void push(int32_t position) {
    if (add(position)) std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  const PairTable& merges_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
};

}  // namespace

// Without pre-tokenizer a piece is a whole text. Where no token has two characters side by side, no
// merge crosses from one to the other, and the two sides can be encoded by themselves: mostly
// words, short and in the cache.
void Bpe::encode(std::string_view piece, PieceCache& cache, std::vector<int32_t>& out) const {
  if (piece.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    throw resource_error("text of more than 2 GB in one piece cannot be encoded");
  }
  if (!byte_fallback_ || ignore_merges_) {
    if (!piece.empty()) encode_segment(piece, cache, out);
    return;
  }
  for (size_t begin = 0; begin < piece.size();) {
    const size_t end = segment_end(piece, begin);
    encode_segment(piece.substr(begin, end - begin), cache, out);
    begin = end;
  }
}

// The first place after `begin` between two known characters that no merge joins. (Next to an
// unknown character there is no cut: unknown tokens may be fused.)
size_t Bpe::segment_end(std::string_view piece, size_t begin) const {
  Utf8Char left = utf8_char(piece, begin);
  size_t at = begin + left.length;
  bool left_known = character_id(left.code, piece.substr(begin, left.length)) >= 0;
  while (at < piece.size()) {
    const Utf8Char right = utf8_char(piece, at);
    const bool right_known = character_id(right.code, piece.substr(at, right.length)) >= 0;
    const bool joined =
        joints_.find(static_cast<int32_t>(left.code), static_cast<int32_t>(right.code)) != nullptr;
    if (left_known && right_known && !joined) return at;
    left = right;
    left_known = right_known;
    at += right.length;
  }
  return at;
}

void Bpe::encode_segment(std::string_view piece, PieceCache& cache,
                         std::vector<int32_t>& out) const {
  const bool cached = piece.size() <= kCachedPieceBytes;
  const uint64_t hash = cached ? XXH3_64bits(piece.data(), piece.size()) : 0;
  if (cached) {
    if (const PieceCache::Entry* entry = cache.find(piece, hash)) {
      out.insert(out.end(), cache.ids(*entry), cache.ids(*entry) + entry->ids_size);
      return;
    }
  }
  std::vector<int32_t> ids;
  const auto whole = ignore_merges_ ? vocabulary_.id(piece) : std::nullopt;
  if (whole) {
    ids.push_back(*whole);
  } else {
    start_symbols(piece, ids);
    ids.size() <= kShortPiece ? merge_short(ids) : merge_long(ids);
  }
  if (cached) cache.put(piece, hash, ids.data(), ids.size());
  out.insert(out.end(), ids.begin(), ids.end());
}

int32_t Bpe::character_id(char32_t code, std::string_view character) const {
  if (code < characters_.size()) return characters_[code];
  return vocabulary_.id(character).value_or(-1);
}

// An unknown token waits until a known character follows (so that it can be fused with its like);
// bytes pass it by. That is the library's order, kept.
void Bpe::start_symbols(std::string_view piece, std::vector<int32_t>& ids) const {
  ids.reserve(piece.size());
  bool waiting = false;
  for (size_t at = 0; at < piece.size();) {
    const Utf8Char next = utf8_char(piece, at);
    const std::string_view character = piece.substr(at, next.length);
    at += next.length;
    const int32_t id = character_id(next.code, character);
    if (id >= 0) {
      if (waiting) ids.push_back(*unknown_);
      waiting = false;
      ids.push_back(id);
    } else if (!append_bytes(character, ids) && unknown_) {
      if (waiting && !fuse_unknown_) ids.push_back(*unknown_);
      waiting = true;
    }
  }
  if (waiting) ids.push_back(*unknown_);
}

bool Bpe::append_bytes(std::string_view character, std::vector<int32_t>& ids) const {
  if (!byte_fallback_) return false;
  std::array<int32_t, 4> bytes{};
  for (size_t i = 0; i < character.size(); ++i) {
    bytes[i] = byte_ids_[static_cast<unsigned char>(character[i])];
    if (bytes[i] < 0) return false;
  }
  ids.insert(ids.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(character.size()));
  return true;
}

void Bpe::merge_short(std::vector<int32_t>& ids) const {
  std::array<Merge, kShortPiece> pairs;  // pairs[i]: what merging symbols i and i + 1 gives
  const auto look_up = [&](size_t i) {
    const Merge* merge = merges_.find(ids[i], ids[i + 1]);
    pairs[i] = merge == nullptr ? Merge{kNoRank, -1} : *merge;
  };
  for (size_t i = 0; i + 1 < ids.size(); ++i) look_up(i);
  while (ids.size() > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < ids.size(); ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].id < 0) return;
    ids[best] = pairs[best].id;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(best) + 1);
    std::copy(pairs.begin() + static_cast<ptrdiff_t>(best) + 1,
              pairs.begin() + static_cast<ptrdiff_t>(ids.size()),
              pairs.begin() + static_cast<ptrdiff_t>(best));
    if (best > 0) look_up(best - 1);
    if (best + 1 < ids.size()) look_up(best);
  }
}

void Bpe::merge_long(std::vector<int32_t>& ids) const {
  LongMerge merge(merges_, ids);
  merge.run();
  merge.take(ids);
}

}  // namespace hone
