// Cutting a piece at the matches of a pattern, with the five behaviours of tokenizer.json's Split.
// On "the-final--countdown" and the pattern "-":
//   Removed             the|final|countdown
//   Isolated            the|-|final|-|-|countdown
//   MergedWithPrevious  the-|final-|-|countdown
//   MergedWithNext      the|-final|-|-countdown
//   Contiguous          the|-|final|--|countdown
// Text between matches is a piece in all of them; `invert` swaps matches and text between.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "libcommon/text/regex.h"
#include "libcommon/text/split_scanner.h"

namespace hone {

enum class SplitBehavior {
  kRemoved,
  kIsolated,
  kMergedWithPrevious,
  kMergedWithNext,
  kContiguous,
};

class Splitter {
 public:
  Splitter(Pattern pattern, SplitBehavior behavior, bool invert);

  // Appends the pieces of text[whole] to `out`, none empty; offsets count from the start of text.
  // The pattern sees nothing outside `whole`.
  void split(std::string_view text, Span whole, std::vector<Span>& out) const;

 private:
  Pattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
  std::optional<SplitScanner> scanner_;  // the same matches, faster, for well-known expressions
};

}  // namespace hone
