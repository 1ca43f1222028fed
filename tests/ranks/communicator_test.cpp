// What ranks tell each other: sums in the order of the ranks, columns, texts.
#include "libcommon/ranks/communicator.h"

#include "tests/support/matrices.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tolerances.h"

namespace hone {
namespace {

using namespace test;  // NOLINT

TEST_CASE("parts are whole units, even, in order, and all of it") {
  for (const int64_t total : {0, 1, 7, 8, 9, 100}) {
    for (const int64_t unit : {1, 8, 128}) {
      for (const int count : {1, 2, 3, 7}) {
        int64_t next = 0;
        for (int rank = 0; rank < count; ++rank) {
          const Range part = part_of(total, unit, {rank, count});
          CHECK(part.begin == next);
          CHECK((part.begin % unit == 0 || part.count == 0));
          CHECK(part.count >= 0);
          CHECK(part.count <= (total / unit / count + 1) * unit);
          next = part.begin + part.count;
        }
        CHECK(next == total);
      }
    }
  }
}

// The definition of the sum.
std::vector<float> sum_in_order(const std::vector<std::vector<float>>& parts) {
  std::vector<float> sum = parts[0];
  for (size_t r = 1; r < parts.size(); ++r) {
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += parts[r][i];
  }
  return sum;
}

TEST_CASE("a sum has the same bytes on every rank, in place or not, whole or in slices") {
  for (const int size : {2, 3, 4}) {
    for (const int64_t count : {1, 15, 17, 16383, 16384, 16385, 40001}) {
      CAPTURE(size);
      CAPTURE(count);
      std::vector<std::vector<float>> parts;
      for (int r = 0; r < size; ++r) {
        parts.push_back(normal_floats(count, static_cast<uint32_t>(r + 1)));
      }
      std::vector<std::vector<float>> apart(parts.size(), poisoned(count));
      std::vector<std::vector<float>> in_place = parts;
      on_ranks(size, [&](Communicator& ranks) {
        const auto r = static_cast<size_t>(ranks.rank());
        std::vector<float> scratch;
        all_reduce_sum(ranks, parts[r].data(), apart[r].data(), count, scratch);
        all_reduce_sum(ranks, in_place[r].data(), in_place[r].data(), count, scratch);
      });
      const std::vector<float> expected = sum_in_order(parts);
      for (size_t r = 0; r < parts.size(); ++r) {
        CHECK(tolerance::same_bytes(apart[r], expected));
        CHECK(tolerance::same_bytes(in_place[r], expected));
      }
    }
  }
}

TEST_CASE("columns of all ranks side by side") {
  for (const int64_t columns : {2, 3, 16, 17}) {
    for (const int64_t rows : {1, 3}) {
      CAPTURE(columns);
      CAPTURE(rows);
      const std::vector<float> whole = normal_floats(rows * columns, 1);
      std::vector<std::vector<float>> results(3, poisoned(rows * columns));
      on_ranks(3, [&](Communicator& ranks) {
        const Range own = part_of(columns, 1, ranks.shard());
        std::vector<float> part;
        for (int64_t row = 0; row < rows; ++row) {
          const auto from = whole.begin() + row * columns + own.begin;
          part.insert(part.end(), from, from + own.count);
        }
        std::vector<float> scratch;
        float* const out = results[static_cast<size_t>(ranks.rank())].data();
        all_gather_columns(ranks, {part.data(), out, rows, columns}, scratch);
      });
      for (const std::vector<float>& result : results) CHECK(result == whole);
    }
  }
}

TEST_CASE("texts and numbers of all ranks") {
  std::vector<std::vector<std::string>> texts(3);
  std::vector<std::string> first(3);
  std::vector<std::vector<double>> numbers(3);
  std::vector<char> any(3);
  std::vector<char> none(3);
  on_ranks(3, [&](Communicator& ranks) {
    const auto r = static_cast<size_t>(ranks.rank());
    texts[r] = all_gather_text(ranks, std::string(r, 'x'));
    first[r] = broadcast_text(ranks, r == 0 ? "from the first" : "not this");
    numbers[r] = all_gather_number(&ranks, 0.1 * static_cast<double>(r));
    any[r] = on_any_rank(&ranks, r == 2);
    none[r] = on_any_rank(&ranks, false);
  });
  for (size_t r = 0; r < 3; ++r) {
    CHECK(texts[r] == std::vector<std::string>{"", "x", "xx"});
    CHECK(first[r] == "from the first");
    CHECK(numbers[r] == std::vector<double>{0, 0.1, 0.1 * 2});
    CHECK(any[r]);
    CHECK(!none[r]);
  }
  CHECK(all_gather_number(nullptr, 7) == std::vector<double>{7});
}

}  // namespace
}  // namespace hone
