// GGUF blocks against three witnesses: bytes that ggml wrote (quant-vectors.txt), blocks that the
// gguf package decoded and encoded (decoded.txt, encoded.txt), and the formula of each format
// written down element by element in double.
#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/codec/codec.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using Bytes = std::vector<std::byte>;

Bytes from_hex(const std::string& text) {
  REQUIRE(text.size() % 2 == 0);
  Bytes bytes;
  for (size_t i = 0; i < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::vector<float> as_floats(const Bytes& bytes) {
  REQUIRE(bytes.size() % 4 == 0);
  std::vector<float> values(bytes.size() / 4);
  __builtin_memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

// The lines of a file under testdata/blocks, split at spaces, comments left out.
std::vector<std::vector<std::string>> lines_of(const std::string& file) {
  std::ifstream in(std::string(HONE_TESTDATA) + "/blocks/" + file);
  REQUIRE_MESSAGE(in, file);
  std::vector<std::vector<std::string>> lines;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    lines.emplace_back(std::istream_iterator<std::string>(words),
                       std::istream_iterator<std::string>());
  }
  REQUIRE(!lines.empty());
  return lines;
}

// ---- The formulas, one element at a time, on raw bytes.

struct Raw {
  const Bytes& bytes;
  unsigned u8(int64_t at) const {
    return std::to_integer<unsigned>(bytes[static_cast<size_t>(at)]);
  }
  int i8(int64_t at) const { return static_cast<int8_t>(u8(at)); }
  double f16(int64_t at) const {
    const unsigned bits = u8(at) | u8(at + 1) << 8;
    const int exponent = static_cast<int>(bits >> 10 & 31);
    const int mantissa = static_cast<int>(bits & 1023);
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, exponent - 25);
    return bits >> 15 ? -magnitude : magnitude;
  }
  unsigned bit(int64_t at, int64_t i) const { return u8(at + i / 8) >> (i % 8) & 1; }
  // Element i of sixteen bytes with i and i + 16 in one byte.
  unsigned nibble(int64_t at, int64_t i) const { return u8(at + i % 16) >> (i / 16 * 4) & 15; }
};

double k_scale(Raw r, int64_t j) {
  if (j < 4) return r.u8(4 + j) & 63;
  return (r.u8(4 + j + 4) & 15) | (r.u8(4 + j - 4) >> 6) << 4;
}

double k_min(Raw r, int64_t j) {
  if (j < 4) return r.u8(4 + j + 4) & 63;
  return (r.u8(4 + j + 4) >> 4) | (r.u8(4 + j) >> 6) << 4;
}

double k_value(Raw r, int64_t i, unsigned q) {
  return r.f16(0) * k_scale(r, i / 32) * q - r.f16(2) * k_min(r, i / 32);
}

double q6_k(Raw r, int64_t i) {
  const int64_t h = i / 128, g = i % 128 / 32, l = i % 32;
  const unsigned b = r.u8(64 * h + 32 * (g & 1) + l);
  const unsigned q = (g < 2 ? b & 15 : b >> 4) | (r.u8(128 + 32 * h + l) >> 2 * g & 3) << 4;
  return r.f16(208) * r.i8(192 + i / 16) * (static_cast<int>(q) - 32);
}

constexpr int kIq4[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

double iq4_xs(Raw r, int64_t i) {
  const int64_t b = i / 32;
  const unsigned low = r.u8(4 + b / 2) >> (b % 2 * 4) & 15;
  const unsigned high = (r.u8(2) | r.u8(3) << 8) >> (2 * b) & 3;
  const int factor = static_cast<int>(low | high << 4) - 32;
  return r.f16(0) * factor * kIq4[r.nibble(8 + 16 * b, i % 32)];
}

double mxfp4(Raw r, int64_t i) {
  static constexpr double kMagnitude[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  const unsigned q = r.nibble(1, i);
  const double value = std::ldexp(kMagnitude[q & 7], static_cast<int>(r.u8(0)) - 127);
  return q & 8 ? -value : value;
}

double value_by_formula(DType type, Raw r, int64_t i) {
  const auto k_nibble = [&](int64_t at) {
    return r.u8(at + 32 * (i / 64) + i % 32) >> (i / 32 % 2 * 4) & 15;
  };
  switch (type) {
    case DType::kQ8_0:
      return r.i8(2 + i) * r.f16(0);
    case DType::kQ4_0:
      return (static_cast<int>(r.nibble(2, i)) - 8) * r.f16(0);
    case DType::kQ4_1:
      return r.nibble(4, i) * r.f16(0) + r.f16(2);
    case DType::kQ5_0:
      return (static_cast<int>(r.nibble(6, i) | r.bit(2, i) << 4) - 16) * r.f16(0);
    case DType::kQ5_1:
      return (r.nibble(8, i) | r.bit(4, i) << 4) * r.f16(0) + r.f16(2);
    case DType::kQ4_K:
      return k_value(r, i, k_nibble(16));
    case DType::kQ5_K:
      return k_value(r, i, k_nibble(48) | (r.u8(16 + i % 32) >> (i / 32) & 1) << 4);
    case DType::kQ6_K:
      return q6_k(r, i);
    case DType::kIQ4_NL:
      return r.f16(0) * kIq4[r.nibble(2, i)];
    case DType::kIQ4_XS:
      return iq4_xs(r, i);
    case DType::kMXFP4:
      return mxfp4(r, i);
    default:
      FAIL("no formula");
      return 0;
  }
}

std::vector<DType> block_types() {
  std::vector<DType> types;
  for (size_t i = 0; i < std::size(kDTypes); ++i) {
    if (is_block(static_cast<DType>(i))) types.push_back(static_cast<DType>(i));
  }
  return types;
}

std::vector<float> decode(DType type, const Bytes& bytes) {
  const int64_t blocks = static_cast<int64_t>(bytes.size()) / info(type).block_bytes;
  std::vector<float> values(static_cast<size_t>(blocks * info(type).block_elements));
  decode_row(type, bytes.data(), static_cast<int64_t>(values.size()), values.data());
  return values;
}

Bytes encode(DType type, const std::vector<float>& values) {
  const auto count = static_cast<int64_t>(values.size());
  Bytes bytes(static_cast<size_t>(row_bytes(type, count)));
  encode_row(type, values.data(), count, bytes.data());
  return bytes;
}

void check_against_formula(DType type, const Bytes& block) {
  const std::vector<float> values = decode(type, block);
  for (size_t i = 0; i < values.size(); ++i) {
    CAPTURE(i);
    CHECK(values[i] ==
          static_cast<float>(value_by_formula(type, {block}, static_cast<int64_t>(i))));
  }
}

// The input behind every line of quant-vectors.txt, as its first line defines it.
std::vector<float> vector_input(int64_t count) {
  std::vector<float> x(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    x[static_cast<size_t>(i)] =
        static_cast<float>(37 * i % 64 - 32) / 32.0f * (1.0f + 0.25f * static_cast<float>(i / 32));
  }
  return x;
}

// Largest error a good quantizer may make on that input: half a step of the widest sub-block, with
// room for the rounding of the scales. Inputs of block b reach 1 + b/4, for 256 elements 2.75.
double worst_error(DType type) {
  switch (type) {
    case DType::kQ8_0:
      return 0.5 / 127 * 1.01;
    case DType::kQ4_0:
      return 1.0 / 8 * 1.01;  // +1 lies a whole step beyond the largest quant, 7
    case DType::kQ4_1:
      return 1.0 / 15 * 1.01;
    case DType::kQ5_0:
      return 1.0 / 16 * 1.01;
    case DType::kQ5_1:
      return 1.0 / 31 * 1.01;
    case DType::kQ4_K:
      return 2.75 / 15 * 1.1;
    case DType::kQ5_K:
      return 2.75 / 31 * 1.1;
    case DType::kQ6_K:
      return 2.75 / 32 * 1.1;
    case DType::kIQ4_NL:
      return 0.5 * 24 / 127 * 1.2;  // the widest step of the table lies at its end
    case DType::kIQ4_XS:
      return 2.75 * 0.5 * 24 / 127 * 1.2;
    case DType::kMXFP4:
      return 0.25 / 2 * 1.01;
    default:
      return 0;
  }
}

TEST_CASE("blocks that ggml wrote: decoded by the formula, near the input, encoded to the byte") {
  std::set<DType> seen;
  for (const auto& line : lines_of("quant-vectors.txt")) {
    const auto type = dtype_from_name(line.at(0));
    if (!type) continue;  // formats hone does not read
    seen.insert(*type);
    CAPTURE(line[0]);
    const Bytes block = from_hex(line.at(2));
    REQUIRE(static_cast<int64_t>(block.size()) == info(*type).block_bytes);
    check_against_formula(*type, block);
    const std::vector<float> x = vector_input(std::stol(line.at(1)));
    const std::vector<float> values = decode(*type, block);
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(x[i]) - values[i]));
    }
    CHECK(worst < worst_error(*type));
    if (can_encode(*type)) CHECK(encode(*type, x) == block);
  }
  CHECK(seen.size() == block_types().size());
}

TEST_CASE("random blocks decode as the gguf package decodes them") {
  std::map<DType, int> seen;
  for (const auto& line : lines_of("decoded.txt")) {
    const auto type = dtype_from_name(line.at(0));
    REQUIRE(type);
    ++seen[*type];
    CAPTURE(line[0]);
    CHECK(decode(*type, from_hex(line.at(1))) == as_floats(from_hex(line.at(2))));
  }
  for (DType type : block_types()) CHECK(seen[type] == 3);
}

TEST_CASE("values encode as the gguf package encodes them") {
  std::map<DType, int> seen;
  for (const auto& line : lines_of("encoded.txt")) {
    const auto type = dtype_from_name(line.at(0));
    REQUIRE(type);
    CAPTURE(line[0]);
    CAPTURE(seen[*type]);
    CHECK(encode(*type, as_floats(from_hex(line.at(1)))) == from_hex(line.at(2)));
    ++seen[*type];
  }
  for (DType type : {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1}) CHECK(seen[type] == 8);
}

TEST_CASE("random bits decode by the formula, several blocks a row, from any address") {
  std::mt19937 random(7);
  for (DType type : block_types()) {
    CAPTURE(name(type));
    for (int round = 0; round < 20; ++round) {
      const int64_t bytes = info(type).block_bytes;
      Bytes row(static_cast<size_t>(3 * bytes) + 1);
      for (std::byte& byte : row) byte = static_cast<std::byte>(random() & 0xff);
      // Clear the exponent's top bit of each f16, so that none is infinite or NaN.
      for (int64_t b = 0; b < 3; ++b) {
        for (int64_t at : {int64_t{0}, int64_t{2}, bytes - 2}) {
          row[static_cast<size_t>(1 + b * bytes + at + 1)] &= std::byte{0xbf};
        }
      }
      std::vector<float> values(static_cast<size_t>(3 * info(type).block_elements));
      decode_row(type, row.data() + 1, static_cast<int64_t>(values.size()), values.data());
      int wrong = 0;
      for (size_t i = 0; i < values.size(); ++i) {
        const auto elements = static_cast<size_t>(info(type).block_elements);
        const auto begin = row.begin() + 1 + static_cast<int64_t>(i / elements) * bytes;
        const Bytes block(begin, begin + bytes);
        const auto inside = static_cast<int64_t>(i % elements);
        wrong += values[i] != static_cast<float>(value_by_formula(type, {block}, inside));
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("Q8_0 rounds halves away from zero") {
  // With a largest magnitude of 127 the scale is exactly 1.
  std::vector<float> x(32, 0.0f);
  x[0] = 127;
  const float edges[] = {0.5f,  -0.5f,  1.5f,   -2.5f,   std::nextafter(0.5f, 0.0f),
                         64.5f, -63.5f, 126.5f, -126.5f, std::nextafter(126.5f, 0.0f)};
  std::copy(std::begin(edges), std::end(edges), x.begin() + 1);
  const Bytes block = encode(DType::kQ8_0, x);
  CHECK(f16_to_f32(static_cast<uint16_t>(std::to_integer<int>(block[0]) |
                                         std::to_integer<int>(block[1]) << 8)) == 1.0f);
  for (size_t i = 0; i < x.size(); ++i) {
    CAPTURE(x[i]);
    CHECK(std::to_integer<uint8_t>(block[2 + i]) ==
          static_cast<uint8_t>(static_cast<int8_t>(std::round(x[i]))));
  }
}

TEST_CASE("blocks of zeros, of huge and of vanishing values stay well defined") {
  const std::vector<float> zeros(32, 0.0f);
  for (DType type : {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1}) {
    CAPTURE(name(type));
    CHECK(decode(type, encode(type, zeros)) == zeros);
    // 1 / d overflows; what is left is zero after rounding d to f16 anyway.
    CHECK(decode(type, encode(type, std::vector<float>(32, 1e-40f))) == zeros);
    std::vector<float> mixed = zeros;
    mixed[3] = std::numeric_limits<float>::infinity();
    mixed[5] = std::numeric_limits<float>::quiet_NaN();
    mixed[7] = -std::numeric_limits<float>::max();
    mixed[9] = std::numeric_limits<float>::max();
    CHECK(encode(type, mixed).size() == static_cast<size_t>(info(type).block_bytes));
  }
  Bytes negative_zero_scale(18, std::byte{0x88});
  negative_zero_scale[0] = std::byte{0};
  negative_zero_scale[1] = std::byte{0x80};
  CHECK(encode(DType::kQ4_0, zeros) == negative_zero_scale);
}

}  // namespace
}  // namespace hone
