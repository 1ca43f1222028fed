// The two directions of a vocabulary.
#include "libcommon/text/vocabulary.h"

#include <algorithm>
#include <utility>

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"

namespace hone {

void Vocabulary::add(std::string token, int64_t id, const std::string& subject) {
  const auto limit = static_cast<int64_t>(16 * std::max(expected_, store_.size()) + 65536);
  if (id < 0 || id >= limit) {
    throw Error(subject + ": token " + quote_name(token) + " has id " + std::to_string(id) +
                ", must be within 0 and " + std::to_string(limit - 1));
  }
  const std::string& stored = store_.emplace_back(std::move(token));
  ids_.insert_or_assign(std::string_view(stored), static_cast<int32_t>(id));
  if (id >= end_id()) by_id_.resize(static_cast<size_t>(id) + 1, nullptr);
  by_id_[static_cast<size_t>(id)] = &stored;
}

std::optional<int32_t> Vocabulary::id(std::string_view token) const {
  const auto found = ids_.find(token);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

bool Vocabulary::has(int32_t id) const {
  return id >= 0 && id < end_id() && by_id_[static_cast<size_t>(id)] != nullptr;
}

const std::string& Vocabulary::token(int32_t id) const {
  static const std::string kNone;
  return has(id) ? *by_id_[static_cast<size_t>(id)] : kNone;
}

}  // namespace hone
