// Matches and the text between them become one list of segments; each behaviour joins or drops
// some.
#include "libcommon/text/split.h"

#include <algorithm>
#include <utility>

namespace hone {
namespace {

struct Segment {
  Span span;
  bool is_match;
};

std::vector<Segment> segments_of(const std::vector<Span>& matches, size_t size, bool invert) {
  std::vector<Segment> out;
  out.reserve(2 * matches.size() + 1);
  size_t covered = 0;
  for (const Span& match : matches) {
    if (covered != match.begin) out.push_back({{covered, match.begin}, invert});
    out.push_back({match, !invert});
    covered = match.end;
  }
  if (covered != size) out.push_back({{covered, size}, invert});
  return out;
}

// Joins a match to the segment before it (in the order given) where that is not a match itself.
std::vector<Segment> merge_matches(const std::vector<Segment>& segments) {
  std::vector<Segment> out;
  bool previous_match = false;
  for (const Segment& segment : segments) {
    if (segment.is_match && !previous_match && !out.empty()) {
      Span& last = out.back().span;
      last = {std::min(last.begin, segment.span.begin), std::max(last.end, segment.span.end)};
    } else {
      out.push_back(segment);
    }
    previous_match = segment.is_match;
  }
  return out;
}

std::vector<Segment> merge_equals(const std::vector<Segment>& segments) {
  std::vector<Segment> out;
  bool previous_match = false;
  for (const Segment& segment : segments) {
    if (segment.is_match == previous_match && !out.empty()) {
      out.back().span.end = segment.span.end;
    } else {
      out.push_back(segment);
    }
    previous_match = segment.is_match;
  }
  return out;
}

std::vector<Segment> behave(std::vector<Segment> segments, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::kIsolated:
      break;
    case SplitBehavior::kRemoved:
      std::erase_if(segments, [](const Segment& segment) { return segment.is_match; });
      break;
    case SplitBehavior::kMergedWithPrevious:
      return merge_matches(segments);
    case SplitBehavior::kMergedWithNext:
      std::reverse(segments.begin(), segments.end());
      segments = merge_matches(segments);
      std::reverse(segments.begin(), segments.end());
      break;
    case SplitBehavior::kContiguous:
      return merge_equals(segments);
  }
  return segments;
}

}  // namespace

Splitter::Splitter(Pattern pattern, SplitBehavior behavior, bool invert)
    : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {
  if (pattern_.is_regex() && behavior == SplitBehavior::kIsolated) {
    scanner_ = SplitScanner::for_expression(pattern_.text());
  }
}

void Splitter::split(std::string_view text, Span whole, std::vector<Span>& out) const {
  const std::string_view piece = text.substr(whole.begin, whole.end - whole.begin);
  if (scanner_) return scanner_->split(piece, whole.begin, out);
  std::vector<Span> matches;
  pattern_.find_all(piece, matches);
  for (const Segment& segment : behave(segments_of(matches, piece.size(), invert_), behavior_)) {
    const Span span = segment.span;
    if (span.begin != span.end) out.push_back({span.begin + whole.begin, span.end + whole.begin});
  }
}

}  // namespace hone
