// SentencePiece's BPE models store a score per piece, not merges: it joins the adjacent pair whose
// concatenation has the highest score, the leftmost among equals (Kudo and Richardson,
// "SentencePiece", EMNLP 2018; bpe_model.cc). As merges: every way to cut a piece into two pieces,
// all with the rank of the piece's score. Plain lists of merges cannot say "equal rank", hence the
// ranks beside them; list order and ranks agree, so programs that ignore the ranks differ in ties
// at most.
#pragma once

#include <string>
#include <vector>

#include "libcommon/io/json.h"

namespace hone {

struct SentencePieceMerges {
  Json merges = Json::array();  // "left right", or all [left, right] where a piece has a space
  Json ranks = Json::array();   // one per merge, rising
};

// Pieces that are not mergeable (control, unknown, byte, unused) take no part. The arrays have
// equal lengths. Throws Error for a score that is not a number and for pieces above 512 bytes.
SentencePieceMerges sentencepiece_merges(const std::vector<std::string>& pieces,
                                         const std::vector<float>& scores,
                                         const std::vector<bool>& mergeable,
                                         const std::string& subject);

}  // namespace hone
