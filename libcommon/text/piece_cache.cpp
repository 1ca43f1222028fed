// The cache of one encode call: pieces and ids in two growing arrays, an open-addressing index over
// them. Bounded: when full, new pieces are computed each time.
#include "libcommon/text/bpe.h"

namespace hone {
namespace {

constexpr size_t kFirstSlots = 1024;
constexpr size_t kMaxEntries = 262'144;
constexpr size_t kMaxTextBytes = 16'000'000;

}  // namespace

PieceCache::PieceCache() : slots_(kFirstSlots, 0) {}

size_t PieceCache::place(std::string_view piece, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask;; at = (at + 1) & mask) {
    if (slots_[at] == 0) return at;
    const Entry& entry = entries_[slots_[at] - 1];
    if (entry.hash == hash && entry.text_size == piece.size() &&
        std::string_view(text_).substr(entry.text_begin, entry.text_size) == piece) {
      return at;
    }
  }
}

const PieceCache::Entry* PieceCache::find(std::string_view piece, uint64_t hash) const {
  const uint32_t slot = slots_[place(piece, hash)];
  return slot == 0 ? nullptr : &entries_[slot - 1];
}

void PieceCache::put(std::string_view piece, uint64_t hash, const int32_t* ids, size_t count) {
  if (entries_.size() >= kMaxEntries || text_.size() + piece.size() > kMaxTextBytes) return;
  if (2 * (entries_.size() + 1) > slots_.size()) grow();
  entries_.push_back({hash, static_cast<uint32_t>(text_.size()),
                      static_cast<uint32_t>(piece.size()), static_cast<uint32_t>(ids_.size()),
                      static_cast<uint32_t>(count)});
  text_.append(piece);
  ids_.insert(ids_.end(), ids, ids + count);
  slots_[place(piece, hash)] = static_cast<uint32_t>(entries_.size());
}

void PieceCache::grow() {
  std::vector<uint32_t> slots(4 * slots_.size(), 0);
  const size_t mask = slots.size() - 1;
  for (uint32_t i = 0; i < entries_.size(); ++i) {
    size_t at = entries_[i].hash & mask;
    while (slots[at] != 0) at = (at + 1) & mask;
    slots[at] = i + 1;
  }
  slots_ = std::move(slots);
}

}  // namespace hone
