// Oniguruma behind regex.h.
#include "libcommon/text/regex.h"

#include <oniguruma.h>

#include <mutex>
#include <utility>

#include "libcommon/base/error.h"
#include "libcommon/text/unicode.h"

namespace hone {
namespace {

// A greedy loop pushes about one stack entry per character it may give back, so the stack must
// allow for long runs (a megabyte of letters) while a hostile expression stays below some 100 MB.
constexpr unsigned kMatchStackEntries = 2'000'000;
constexpr unsigned long kRetriesInMatch = 10'000'000;   // Oniguruma's own default
constexpr unsigned long kRetriesInSearch = 40'000'000;  // one find; about a second
constexpr size_t kPatternBytes = 65'536;

const OnigUChar* bytes(const char* text) { return reinterpret_cast<const OnigUChar*>(text); }

std::string onig_message(int code, OnigErrorInfo* info) {
  OnigUChar buffer[ONIG_MAX_ERROR_MESSAGE_LEN];
  const int length = onig_error_code_to_str(buffer, code, info);
  return lossy_utf8({reinterpret_cast<const char*>(buffer), static_cast<size_t>(length)});
}

// The state of searches in one text: result registers and limits.
struct SearchState {
  OnigRegion* region = onig_region_new();
  OnigMatchParam* limits = onig_new_match_param();

  SearchState() {
    if (region == nullptr || limits == nullptr) throw std::bad_alloc();
    onig_initialize_match_param(limits);
    onig_set_match_stack_limit_size_of_match_param(limits, kMatchStackEntries);
    onig_set_retry_limit_in_match_of_match_param(limits, kRetriesInMatch);
    onig_set_retry_limit_in_search_of_match_param(limits, kRetriesInSearch);
  }
  ~SearchState() {
    onig_region_free(region, 1);
    onig_free_match_param(limits);
  }
  SearchState(const SearchState&) = delete;
  SearchState& operator=(const SearchState&) = delete;
};

}  // namespace

Regex::Regex(std::string_view pattern, const std::string& subject)
    : pattern_(pattern), subject_(subject) {
  const std::string where = subject + ": regular expression '" + pattern_.substr(0, 80) + "': ";
  if (pattern.size() > kPatternBytes) throw Error(where + "longer than 65536 bytes");
  static std::once_flag initialized;
  std::call_once(initialized, [] {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    onig_initialize(encodings, 1);
  });
  OnigErrorInfo info;
  const int code =
      onig_new(&regex_, bytes(pattern_.data()), bytes(pattern_.data() + pattern_.size()),
               ONIG_OPTION_NONE, ONIG_ENCODING_UTF8, ONIG_SYNTAX_DEFAULT, &info);
  if (code != ONIG_NORMAL) throw Error(where + onig_message(code, &info));
}

Regex::~Regex() {
  if (regex_ != nullptr) onig_free(regex_);
}

Regex::Regex(Regex&& other) noexcept
    : pattern_(std::move(other.pattern_)),
      subject_(std::move(other.subject_)),
      regex_(std::exchange(other.regex_, nullptr)) {}

void Regex::find_all(std::string_view text, std::vector<Span>& out) const {
  SearchState state;
  const OnigUChar* const begin = bytes(text.data());
  const OnigUChar* const end = begin + text.size();
  bool any = false;
  size_t last_end = 0;
  for (size_t at = 0; at <= text.size();) {
    const int found = onig_search_with_param(regex_, begin, end, begin + at, end, state.region,
                                             ONIG_OPTION_NONE, state.limits);
    if (found == ONIG_MISMATCH) return;
    if (found < 0) {
      throw Error(subject_ + ": regular expression '" + pattern_.substr(0, 80) +
                  "': " + onig_message(found, nullptr) + "; it backtracks too much on this text");
    }
    const Span match{static_cast<size_t>(state.region->beg[0]),
                     static_cast<size_t>(state.region->end[0])};
    if (match.begin == match.end && any && match.end == last_end) {  // step over: no endless loop
      at += at < text.size() ? utf8_char(text, at).length : 1;
      continue;
    }
    out.push_back(match);
    any = true;
    at = last_end = match.end;
  }
}

void Pattern::find_all(std::string_view text, std::vector<Span>& out) const {
  if (regex_) return regex_->find_all(text, out);
  for (size_t at = text.find(literal_); at != std::string_view::npos;
       at = text.find(literal_, at + literal_.size())) {
    out.push_back({at, at + literal_.size()});
  }
}

}  // namespace hone
