// The vectorised conversions against codec.h, bit for bit, at every dispatch level of this machine.
#include "kernels/convert.h"

#include <bit>
#include <cmath>
#include <utility>

#include "libcommon/base/rng.h"
#include "tests/cpu/fixture.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using ByteRow = std::vector<std::byte>;

// Around every vector width, and longer.
constexpr int64_t kSizes[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 1000};

// Runs `body` once per level; opening a backend makes its level the process's choice.
template <class Body>
void at_every_level(const Body& body) {
  REQUIRE(!levels().empty());
  for (const std::string& level : levels()) {
    CAPTURE(level);
    const auto backend = open_level(level, 1);
    body();
  }
  open_level("", 1);
}

// Floats of every kind: random bits, so infinities, NaN and subnormals among them, and the
// neighbours of rounding boundaries.
std::vector<float> any_floats(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) {
    uint32_t bits = static_cast<uint32_t>(random());
    if (random() % 2) bits = (bits & 0xffff0000u) | (0x7fffu + random() % 3);
    if (random() % 4 == 0) bits = (bits & 0xffffe000u) | (0x0fffu + random() % 3);
    if (random() % 16 == 0) bits &= 0x80000000u;
    v = std::bit_cast<float>(bits);
  }
  return values;
}

struct Sums {
  double lanes[2][16] = {};
  float worst = 0;

  void add(int64_t i, float before, float after) {
    const float difference = after - before;
    lanes[0][i % 16] += static_cast<double>(before) * before;
    lanes[1][i % 16] += static_cast<double>(difference) * difference;
    worst = std::max(worst, std::fabs(difference));
  }
  static double total(const double (&lanes)[16]) {
    double sum = 0;
    for (double lane : lanes) sum += lane;
    return sum;
  }
  void check(const RowError& error) const {
    CHECK(error.square_sum == total(lanes[0]));
    CHECK(error.square_error == total(lanes[1]));
    CHECK(error.worst == worst);
  }
};

TEST_CASE("every F16, BF16 and F8_E4M3 widens as the codec does") {
  at_every_level([] {
    for (const auto& [type, patterns] :
         {std::pair{DType::kF16, 65536}, {DType::kBF16, 65536}, {DType::kF8E4M3, 256}}) {
      CAPTURE(std::string(name(type)));
      const int64_t width = row_bytes(type, 1);
      ByteRow row(static_cast<size_t>(patterns * width));
      for (int64_t i = 0; i < patterns; ++i) std::memcpy(row.data() + i * width, &i, width);
      std::vector<uint32_t> expected(static_cast<size_t>(patterns)), actual(expected.size());
      decode_row(type, row.data(), patterns, reinterpret_cast<float*>(expected.data()));
      widen_row(type, row.data(), patterns, reinterpret_cast<float*>(actual.data()));
      CHECK(actual == expected);
      for (int64_t size : kSizes) {
        if (size > patterns) continue;
        std::vector<uint32_t> part(static_cast<size_t>(size) + 1, 7u);
        widen_row(type, row.data(), size, reinterpret_cast<float*>(part.data()));
        CHECK(std::equal(part.begin(), part.end() - 1, expected.begin()));
        CHECK(part.back() == 7u);
      }
    }
  });
}

TEST_CASE("floats narrow as the codec narrows them, infinities and NaN too") {
  at_every_level([] {
    for (DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3}) {
      CAPTURE(std::string(name(type)));
      for (int64_t size : {int64_t{1} << 18, int64_t{1}, int64_t{33}, int64_t{1000}}) {
        const std::vector<float> values = any_floats(size, 5);
        const auto bytes = static_cast<size_t>(row_bytes(type, size));
        ByteRow expected(bytes), actual(bytes + 1), compared(bytes + 1);
        encode_row(type, values.data(), size, expected.data());
        narrow_row(type, values.data(), size, actual.data());
        const RowError error = narrow_and_compare(type, values.data(), size, compared.data());
        CHECK(std::equal(expected.begin(), expected.end(), actual.begin()));
        CHECK(std::equal(expected.begin(), expected.end(), compared.begin()));
        CHECK(actual.back() == std::byte{0});
        if (size > 1000) CHECK(!std::isfinite(error.square_sum));
      }
    }
  });
}

// Rows of blocks with what their encoders treat specially.
std::vector<std::vector<float>> block_rows() {
  std::vector<std::vector<float>> rows;
  for (int64_t blocks : {1, 2, 3, 7, 15, 16, 17, 33}) rows.push_back(normal_floats(32 * blocks, 3));
  for (float scale : {1e-41f, 1e-39f, 1e-30f, 1e4f}) rows.push_back(normal_floats(64, 4, scale));
  rows.emplace_back(64, 0.0f);
  rows.emplace_back(64, -0.0f);
  for (int first : {0, 1}) {  // the largest magnitude with both signs; zeros with both signs
    std::vector<float> row = normal_floats(64, 6);
    row[5] = first ? 9.0f : -9.0f;
    row[21] = -row[5];
    for (int i = 32; i < 64; ++i) row[i] = i % 2 == first ? 0.0f : -0.0f;
    row[50] = first ? 1.0f : -1.0f;
    rows.push_back(row);
  }
  for (int i = 0; i < 64; ++i) rows.front().push_back(static_cast<float>(i % 16) / 8 - 1);
  return rows;
}

TEST_CASE("narrow_and_compare: the codec's bytes, and sums in sixteen parts") {
  at_every_level([] {
    for (DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kQ8_0,
                       DType::kQ4_0, DType::kQ4_1}) {
      CAPTURE(std::string(name(type)));
      std::vector<std::vector<float>> rows = block_rows();
      if (!is_block(type)) {
        for (int64_t size : kSizes) rows.push_back(normal_floats(size, 8));
      }
      for (const std::vector<float>& row : rows) {
        const auto count = static_cast<int64_t>(row.size());
        CAPTURE(count);
        ByteRow expected(static_cast<size_t>(row_bytes(type, count))), actual(expected);
        encode_row(type, row.data(), count, expected.data());
        const RowError error = narrow_and_compare(type, row.data(), count, actual.data());
        CHECK(actual == expected);
        std::vector<float> after(row.size());
        decode_row(type, expected.data(), count, after.data());
        Sums sums;
        for (int64_t i = 0; i < count; ++i) sums.add(i, row[i], after[i]);
        sums.check(error);
      }
    }
  });
}

TEST_CASE("blocks that hold NaN or infinity are the codec's, and the sums say so") {
  at_every_level([] {
    for (DType type : {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1}) {
      for (float bad : {kNaN, kInfinity, -kInfinity}) {
        std::vector<float> row = normal_floats(96, 2);
        row[40] = bad;
        ByteRow expected(static_cast<size_t>(row_bytes(type, 96))), actual(expected);
        encode_row(type, row.data(), 96, expected.data());
        CHECK(!std::isfinite(narrow_and_compare(type, row.data(), 96, actual.data()).square_sum));
        CHECK(actual == expected);
      }
    }
    std::vector<float> apart = normal_floats(64, 3, 1e38f);  // differences that overflow
    apart[3] = 3e38f;
    apart[4] = -3e38f;
    ByteRow expected(static_cast<size_t>(row_bytes(DType::kQ4_1, 64))), actual(expected);
    encode_row(DType::kQ4_1, apart.data(), 64, expected.data());
    CHECK(!std::isfinite(
        narrow_and_compare(DType::kQ4_1, apart.data(), 64, actual.data()).square_error));
    CHECK(actual == expected);
    const std::vector<float> large(32, 70000.0f);  // finite, but not in F16
    ByteRow out(64);
    const RowError error = narrow_and_compare(DType::kF16, large.data(), 32, out.data());
    CHECK(std::isfinite(error.square_sum));
    CHECK(!std::isfinite(error.square_error));
  });
}

TEST_CASE("group ranges; what is not finite is noticed wherever it stands") {
  at_every_level([] {
    for (int64_t group : {1, 3, 16, 31, 32, 100, 128}) {
      std::vector<float> row = normal_floats(3 * group, 9);
      if (group > 3) std::fill_n(row.begin(), group, 2.5f);  // one side only
      std::vector<float> low(3, kNaN), high(3, kNaN);
      CHECK(group_ranges(row.data(), 3 * group, group, low.data(), high.data()));
      for (int64_t g = 0; g < 3; ++g) {
        const auto [least, most] =
            std::minmax_element(row.begin() + g * group, row.begin() + (g + 1) * group);
        CHECK(low[g] == std::min(*least, 0.0f));
        CHECK(high[g] == std::max(*most, 0.0f));
      }
      for (size_t at = 0; at < row.size(); ++at) {
        for (float bad : {kNaN, kInfinity, -kInfinity}) {
          const float kept = std::exchange(row[at], bad);
          CHECK(!group_ranges(row.data(), 3 * group, group, low.data(), high.data()));
          row[at] = kept;
        }
      }
    }
  });
}

// The formulas of convert.h, one number at a time.
void check_rounding(const GroupRow& row, int bits) {
  std::vector<int8_t> codes(static_cast<size_t>(row.count), 77);
  const RowError error =
      bits == 0 ? round_row_f8(row, codes.data()) : round_row(row, bits, codes.data());
  Sums sums;
  for (int64_t i = 0; i < row.count; ++i) {
    const float scale = row.scales[i / row.group];
    const auto zero = static_cast<float>(row.zeros ? row.zeros[i / row.group] : 0);
    float after;
    if (bits == 0) {
      const uint8_t code = f32_to_f8e4m3(std::clamp(row.values[i] / scale, -448.0f, 448.0f));
      CHECK(static_cast<uint8_t>(codes[i]) == code);
      after = f8e4m3_to_f32(code) * scale;
    } else {
      const float limit = static_cast<float>(1 << (bits - 1));
      const float x = std::clamp(row.values[i] / scale + zero, -limit, limit - 1);
      const auto code = static_cast<int>(std::nearbyint(x));
      CHECK(codes[i] == code);
      after = static_cast<float>(code - static_cast<int>(zero)) * scale;
    }
    sums.add(i % row.group, row.values[i], after);
  }
  sums.check(error);
}

TEST_CASE("rounding to integers and fp8 with scales") {
  at_every_level([] {
    for (int64_t group : {1, 5, 16, 32, 33, 128}) {
      std::vector<float> values = normal_floats(4 * group, 12);
      for (size_t i = 0; i < values.size(); i += 3) values[i] = std::round(values[i] * 8) / 16;
      const std::vector<float> scales = {0.25f, 0.0123f, 1e-30f, 3.0f};
      for (int bits : {0, 2, 3, 4, 5, 6, 7, 8}) {
        CAPTURE(bits);
        GroupRow row{
            .values = values.data(), .count = 4 * group, .group = group, .scales = scales.data()};
        check_rounding(row, bits);
        const std::vector<int8_t> zeros = {0, 1, -2, -1};
        if (bits == 0) continue;
        row.zeros = zeros.data();
        check_rounding(row, bits);
      }
    }
  });
}

TEST_CASE("codes pack as the codec packs them") {
  at_every_level([] {
    std::mt19937 random(1);
    for (int bits = 2; bits <= 8; ++bits) {
      for (int64_t size : {1, 8, 63, 64, 65, 128, 200, 320}) {
        std::vector<int8_t> codes(static_cast<size_t>(size));
        for (int8_t& code : codes) {
          code = static_cast<int8_t>(static_cast<int>(random() % (1u << bits)) - (1 << (bits - 1)));
        }
        ByteRow expected(static_cast<size_t>(packed_row_bytes(size, bits)), std::byte{0xee});
        ByteRow actual(expected);
        pack_row(codes.data(), size, bits, expected.data());
        pack_codes(codes.data(), size, bits, actual.data());
        CHECK(actual == expected);
      }
    }
  });
}

// ---- Pruning

// Many ties and zeros of both signs.
ByteRow half_row(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  ByteRow row(static_cast<size_t>(2 * count));
  for (int64_t i = 0; i < count; ++i) {
    const auto sign = static_cast<uint16_t>(random() % 2 << 15);
    const auto bits =
        static_cast<uint16_t>(sign | (random() % 3 ? random() % 4 : random() % 0x7c00));
    std::memcpy(row.data() + 2 * i, &bits, 2);
  }
  return row;
}

uint16_t half(const ByteRow& row, int64_t i) {
  uint16_t bits;
  std::memcpy(&bits, row.data() + 2 * i, 2);
  return bits;
}

TEST_CASE("2:4: the two largest of four, of equals the first; packed as the codec packs") {
  at_every_level([] {
    for (int64_t count : {8, 16, 24, 32, 40, 64, 72, 1024, 8192}) {
      const ByteRow row = half_row(count, static_cast<uint32_t>(count));
      ByteRow out(row.size() + 1, std::byte{9});
      std::vector<uint8_t> live(static_cast<size_t>(count / 8) + 1, 9);
      prune_2_4(row.data(), count, out.data(), live.data());
      CHECK(out.back() == std::byte{9});
      CHECK(live.back() == 9);
      for (int64_t i = 0; i < count; ++i) {
        int better = 0;
        for (int64_t j = i / 4 * 4; j < i / 4 * 4 + 4; ++j) {
          const int mine = half(row, i) & 0x7fff, other = half(row, j) & 0x7fff;
          better += other > mine || (other == mine && j < i);
        }
        const uint16_t expected = better < 2 ? half(row, i) : uint16_t{0};
        REQUIRE(half(out, i) == expected);
        REQUIRE((live[i / 8] >> i % 8 & 1) == ((expected & 0x7fff) != 0));
      }
      const auto kept_count = static_cast<size_t>(count / 2);
      std::vector<float> dense(static_cast<size_t>(count)), kept(kept_count);
      ByteRow expected(2 * kept_count), index(static_cast<size_t>(count / 8));
      ByteRow packed(expected.size() + 1, std::byte{9}), packed_index(index.size() + 1);
      decode_row(DType::kBF16, out.data(), count, dense.data());
      REQUIRE(compress_2_4(dense.data(), count, kept.data(), index.data()));
      encode_row(DType::kBF16, kept.data(), count / 2, expected.data());
      pack_2_4(out.data(), live.data(), count, packed.data(), packed_index.data());
      CHECK(packed.back() == std::byte{9});
      CHECK(std::equal(expected.begin(), expected.end(), packed.begin()));
      CHECK(std::equal(index.begin(), index.end(), packed_index.begin()));
    }
  });
}

TEST_CASE("pruning up to a magnitude, and what it did") {
  at_every_level([] {
    for (int64_t count : {1, 7, 16, 33, 64, 1000}) {
      const ByteRow row = half_row(count, 3);
      for (int limit : {-1, 0, 1, 2, 0x3c00, 0x7fff}) {
        ByteRow out(row.size());
        prune_up_to(row.data(), count, limit, out.data());
        int64_t equal = 0;
        for (int64_t i = 0; i < count; ++i) {
          const int magnitude = half(row, i) & 0x7fff;
          REQUIRE(half(out, i) == (magnitude <= limit ? uint16_t{0} : half(row, i)));
          equal += magnitude == limit;
        }
        if (limit >= 0) CHECK(count_magnitude(row.data(), count, limit) == equal);
        for (DType type : {DType::kF16, DType::kBF16}) {
          std::vector<float> before(static_cast<size_t>(count)), after(before);
          decode_row(type, row.data(), count, before.data());
          decode_row(type, out.data(), count, after.data());
          const RowChange change = compare_pruned(type, row.data(), out.data(), count);
          Sums sums;
          for (int64_t i = 0; i < count; ++i) sums.add(i, before[i], after[i]);
          sums.check(change.error);
          CHECK(change.zeros_before == std::count(before.begin(), before.end(), 0.0f));
          CHECK(change.zeros_after == std::count(after.begin(), after.end(), 0.0f));
        }
      }
    }
  });
}

TEST_CASE("random rows are the draws of rng.h") {
  at_every_level([] {
    for (int64_t count : kSizes) {
      const uint64_t first = uint64_t{1} << 33;
      const RandomRow row{.key = random_key(3, 4), .first = first, .mean = 1, .deviation = 0.05f};
      std::vector<float> out(static_cast<size_t>(count) + 1, kNaN);
      random_row(row, count, out.data());
      CHECK(std::isnan(out.back()));
      for (int64_t i = 0; i < count; ++i) {
        uint64_t bits = random_bits(3, 4, first + static_cast<uint64_t>(i));
        float sum = -2.0f * 65535.0f;
        for (; bits != 0; bits >>= 16) sum += static_cast<float>(bits & 0xffff);
        const float scale = 0.05f / std::sqrt((65536.0f * 65536.0f - 1.0f) / 3.0f);
        CHECK(out[i] == 1 + sum * scale);
      }
    }
  });
}

}  // namespace
}  // namespace hone
