#include "libcommon/base/utf8.h"

#include <string>

#include "tests/support/doctest.h"

using namespace hone;

TEST_CASE("well-formed UTF-8 is told from ill-formed") {
  CHECK(is_utf8(""));
  CHECK(is_utf8("plain"));
  CHECK(
      is_utf8("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xf0\x90\x80\x80 "
              "\xf4\x8f\xbf\xbf"));  // the first and last of each row of Unicode's table 3-7
  for (const char* bad : {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
                          "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
                          "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xc3(", "\xe2\x82("}) {
    CAPTURE(bad);
    CHECK_FALSE(is_utf8(bad));
  }
}

TEST_CASE("a quoted name cannot drive a terminal") {
  CHECK(quote_name("model.weight") == "'model.weight'");
  CHECK(quote_name("\xe7\xa7\x92") == "'\xe7\xa7\x92'");
  CHECK(quote_name("\x1b[2J\n") == "'\\x1b[2J\\x0a'");
  CHECK(quote_name("\x9b"
                   "31m") == "'\\x9b31m'");
  CHECK(quote_name("\xc2\x9b"
                   "31m") == "'\\xc2\\x9b31m'");
  CHECK(quote_name(std::string("a\0b", 3)) == "'a\\x00b'");
  const std::string longest = quote_name(std::string(100000, 'x'));
  CHECK(longest.size() == 2 + 100 + 3);
}
