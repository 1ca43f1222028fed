// Byte pair encoding: a piece starts as one symbol per character; the adjacent pair of lowest rank
// is merged, leftmost first among equals, until no pair has a rank. (Sennrich, Haddow, Birch,
// "Neural Machine Translation of Rare Words with Subword Units", ACL 2016.) Characters without a
// token become their bytes <0xNN> (byte_fallback), or the unknown token, or vanish, as in the
// `tokenizers` library.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/io/json.h"
#include "libcommon/text/pair_table.h"
#include "libcommon/text/vocabulary.h"

namespace hone {

// Ids of pieces seen before, for one call of encode: words repeat, so most pieces cost one lookup.
class PieceCache {
 public:
  PieceCache();

  // The ids of an equal piece, or null. The pointer is good until the next put.
  struct Entry {
    uint64_t hash;
    uint32_t text_begin, text_size, ids_begin, ids_size;
  };
  const Entry* find(std::string_view piece, uint64_t hash) const;
  void put(std::string_view piece, uint64_t hash, const int32_t* ids, size_t count);
  const int32_t* ids(const Entry& entry) const { return ids_.data() + entry.ids_begin; }

 private:
  size_t place(std::string_view piece, uint64_t hash) const;
  void grow();
  std::string text_;
  std::vector<int32_t> ids_;
  std::vector<Entry> entries_;
  std::vector<uint32_t> slots_;  // entry index + 1; 0 is empty
};

class Bpe {
 public:
  // model: tokenizer.json's 'model'. Throws Error("SUBJECT: ...") for what is broken or not
  // implemented. The key hone_merge_ranks (an integer per merge, equal ones allowed) replaces the
  // place in the list as rank: vocabularies with equal scores need it.
  Bpe(const Json& model, const std::string& subject);

  const Vocabulary& vocabulary() const { return vocabulary_; }

  // Appends the ids of one piece (below 2^31 bytes of valid UTF-8).
  void encode(std::string_view piece, PieceCache& cache, std::vector<int32_t>& out) const;

 private:
  void encode_segment(std::string_view segment, PieceCache& cache, std::vector<int32_t>& out) const;
  size_t segment_end(std::string_view piece, size_t begin) const;
  void find_joints(std::vector<int32_t> merged);
  void read_vocabulary(const Json& model, const std::string& subject);
  // Returns the ids that merges make.
  std::vector<int32_t> read_merges(const Json& model, const std::string& subject);
  void prepare_characters();
  void start_symbols(std::string_view piece, std::vector<int32_t>& ids) const;
  bool append_bytes(std::string_view character, std::vector<int32_t>& ids) const;
  int32_t character_id(char32_t code, std::string_view character) const;
  void merge_short(std::vector<int32_t>& ids) const;
  void merge_long(std::vector<int32_t>& ids) const;

  Vocabulary vocabulary_;
  PairTable merges_;
  PairTable joints_;  // (code, code) of neighbours inside some merged token
  std::optional<int32_t> unknown_;
  bool fuse_unknown_ = false, byte_fallback_ = false, ignore_merges_ = false;
  std::vector<int32_t> characters_;  // ids of code points below U+0800, -1 for none
  std::vector<int32_t> byte_ids_;    // of <0x00> ... <0xFF>, -1 for none
};

}  // namespace hone
