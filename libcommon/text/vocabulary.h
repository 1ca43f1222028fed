// Tokens by id and ids by token. Ids come from files: their range is bounded by the number of
// tokens really there, so that a hostile id cannot cost memory.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace hone {

class Vocabulary {
 public:
  // Throws Error naming the token where the id is negative or out of all proportion: gaps may make
  // the table 16 times as long as the tokens at most, plus 65536.
  void reserve(size_t tokens) { expected_ = tokens; }
  void add(std::string token, int64_t id, const std::string& subject);

  std::optional<int32_t> id(std::string_view token) const;
  // "" for ids without a token.
  const std::string& token(int32_t id) const;
  bool has(int32_t id) const;

  size_t tokens() const { return ids_.size(); }
  int64_t end_id() const { return static_cast<int64_t>(by_id_.size()); }  // largest id + 1

 private:
  size_t expected_ = 0;
  std::deque<std::string> store_;  // a deque: its strings never move, the views below stay good
  std::unordered_map<std::string_view, int32_t> ids_;
  std::vector<const std::string*> by_id_;
};

}  // namespace hone
