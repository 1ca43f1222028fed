// Stands in for doctest on machines that have a GPU and a toolkit but no doctest: the macros that
// the device tests use, and a main that takes -tc=*TEXT*,*TEXT* (cases whose names hold one of
// them). doctest itself is used wherever it is installed.
#pragma once

#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace doctest {

struct Case {
  const char* name;
  void (*body)();
};

struct State {
  std::vector<Case> cases;
  std::vector<std::function<std::string()>*> context;  // innermost last
  long passed = 0;
  long failed = 0;
};

inline State& state() {
  static State only;
  return only;
}

struct Registration {
  Registration(const char* name, void (*body)()) { state().cases.push_back({name, body}); }
};

// Tells what it stands for when a check fails in its scope.
class Context {
 public:
  explicit Context(std::function<std::string()> text) : text_(std::move(text)) {
    state().context.push_back(&text_);
  }
  Context(const Context&) = delete;
  ~Context() { state().context.pop_back(); }

 private:
  std::function<std::string()> text_;
};

template <typename... Parts>
std::string joined(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

inline void fail(const char* file, int line, const std::string& what) {
  ++state().failed;
  std::printf("%s:%d: FAILED: %s\n", file, line, what.c_str());
  for (const auto* text : state().context) std::printf("    %s\n", (*text)().c_str());
}

inline bool check(bool ok, const char* file, int line, const std::function<std::string()>& what) {
  if (ok) {
    ++state().passed;
  } else {
    fail(file, line, what());
  }
  return ok;
}
inline void require(bool ok) {
  if (!ok) throw std::runtime_error("the case ends here");
}

inline bool is_wanted(const char* name, const std::string& texts) {
  std::istringstream list(texts);
  for (std::string text; std::getline(list, text, ',');) {
    std::erase(text, '*');
    if (std::strstr(name, text.c_str())) return true;
  }
  return texts.empty();
}

inline int run(int argc, char** argv) {
  std::string wanted;
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "-tc=", 4) == 0) wanted = argv[i] + 4;
  }
  long cases = 0, failed_cases = 0;
  for (const Case& each : state().cases) {
    if (!is_wanted(each.name, wanted)) continue;
    const long before = state().failed;
    try {
      each.body();
    } catch (const std::exception& error) {
      fail(each.name, 0, error.what());
    }
    ++cases;
    if (state().failed > before) std::printf("TEST CASE: %s\n", each.name), ++failed_cases;
  }
  std::printf("test cases: %ld | %ld passed | %ld failed\n", cases, cases - failed_cases,
              failed_cases);
  std::printf("assertions: %ld | %ld passed | %ld failed\n", state().passed + state().failed,
              state().passed, state().failed);
  return failed_cases || cases == 0 ? 1 : 0;
}

}  // namespace doctest

#define DOCTEST_JOIN2(a, b) a##b
#define DOCTEST_JOIN(a, b) DOCTEST_JOIN2(a, b)
#define DOCTEST_NAME(prefix) DOCTEST_JOIN(prefix, __LINE__)
#define DOCTEST_TEXT(expression)    \
  [&] {                             \
    std::ostringstream doctest_out; \
    doctest_out << expression;      \
    return doctest_out.str();       \
  }

#define TEST_CASE(name)                                                   \
  static void DOCTEST_NAME(doctest_case_)();                              \
  static const doctest::Registration DOCTEST_NAME(doctest_registration_)( \
      name, &DOCTEST_NAME(doctest_case_));                                \
  static void DOCTEST_NAME(doctest_case_)()
#define CHECK(...)                                                   \
  doctest::check(static_cast<bool>(__VA_ARGS__), __FILE__, __LINE__, \
                 [] { return std::string(#__VA_ARGS__); })
#define CHECK_MESSAGE(condition, ...)                              \
  doctest::check(static_cast<bool>(condition), __FILE__, __LINE__, \
                 DOCTEST_TEXT(#condition << ": " << __VA_ARGS__))
#define REQUIRE(...) doctest::require(CHECK(__VA_ARGS__))
#define REQUIRE_MESSAGE(...) doctest::require(CHECK_MESSAGE(__VA_ARGS__))
#define DOCTEST_THROWS(expression, type, says)                                \
  do {                                                                        \
    bool doctest_thrown = false;                                              \
    try {                                                                     \
      static_cast<void>(expression);                                          \
    } catch (const type& error) {                                             \
      doctest_thrown = says;                                                  \
    }                                                                         \
    doctest::check(doctest_thrown, __FILE__, __LINE__,                        \
                   [] { return std::string(#expression " throws " #type); }); \
  } while (false)
#define CHECK_THROWS_AS(expression, type) DOCTEST_THROWS(expression, type, ((void)error, true))
#define CHECK_THROWS_WITH_AS(expression, text, type) \
  DOCTEST_THROWS(expression, type, std::strcmp(error.what(), text) == 0)
// What is thrown fails the case.
#define CHECK_NOTHROW(...) (static_cast<void>(__VA_ARGS__), CHECK(true))
#define CAPTURE(x) \
  const doctest::Context DOCTEST_NAME(doctest_context_)(DOCTEST_TEXT(#x " = " << x))
#define INFO(...) \
  const doctest::Context DOCTEST_NAME(doctest_info_)([&] { return doctest::joined(__VA_ARGS__); })
#define MESSAGE(...) std::printf("%s\n", DOCTEST_TEXT(__VA_ARGS__)().c_str())

#ifdef DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
int main(int argc, char** argv) { return doctest::run(argc, argv); }
#endif
