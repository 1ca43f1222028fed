// Cutting pieces in two and sorting the cuts by score.
#include "libcommon/text/sentencepiece_merges.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "libcommon/base/error.h"
#include "libcommon/base/utf8.h"

namespace hone {
namespace {

// A piece is cut in as many ways as it has bytes and each cut is hashed: long ones cost squares.
constexpr size_t kMaxPieceBytes = 512;

struct Cut {
  float score;
  size_t left, right;  // ids
};

using Ids = std::unordered_map<std::string_view, size_t>;

void add_cuts(std::string_view piece, float score, const Ids& ids, std::vector<Cut>& cuts) {
  for (size_t at = 1; at < piece.size(); ++at) {
    if ((static_cast<unsigned char>(piece[at]) & 0xC0) == 0x80) continue;
    const auto left = ids.find(piece.substr(0, at));
    if (left == ids.end()) continue;
    const auto right = ids.find(piece.substr(at));
    if (right != ids.end()) cuts.push_back({score, left->second, right->second});
  }
}

std::vector<Cut> all_cuts(const std::vector<std::string>& pieces, const std::vector<float>& scores,
                          const std::vector<bool>& mergeable, const std::string& subject) {
  Ids ids;
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (mergeable[id]) ids[pieces[id]] = id;
  }
  std::vector<Cut> cuts;
  for (size_t id = 0; id < pieces.size(); ++id) {
    const std::string& piece = pieces[id];
    if (!mergeable[id] || ids[piece] != id) continue;
    const std::string where = subject + ": token " + std::to_string(id) + ", " + quote_name(piece);
    if (std::isnan(scores[id])) throw Error(where + ", has no number as score");
    if (piece.size() > kMaxPieceBytes) throw Error(where + ", is longer than 512 bytes");
    add_cuts(piece, scores[id], ids, cuts);
  }
  return cuts;
}

}  // namespace

SentencePieceMerges sentencepiece_merges(const std::vector<std::string>& pieces,
                                         const std::vector<float>& scores,
                                         const std::vector<bool>& mergeable,
                                         const std::string& subject) {
  std::vector<Cut> cuts = all_cuts(pieces, scores, mergeable, subject);
  std::sort(cuts.begin(), cuts.end(), [](const Cut& a, const Cut& b) {
    return std::tuple(-a.score, a.left, a.right) < std::tuple(-b.score, b.left, b.right);
  });
  const bool spaces = std::any_of(cuts.begin(), cuts.end(), [&pieces](const Cut& cut) {
    return (pieces[cut.left] + pieces[cut.right]).find(' ') != std::string::npos;
  });
  SentencePieceMerges out;
  uint32_t rank = 0;
  for (size_t i = 0; i < cuts.size(); ++i) {
    if (i > 0 && cuts[i].score != cuts[i - 1].score) ++rank;
    const std::string &left = pieces[cuts[i].left], &right = pieces[cuts[i].right];
    out.merges.push_back(spaces ? Json::array({left, right}) : Json(left + " " + right));
    out.ranks.push_back(rank);
  }
  return out;
}

}  // namespace hone
