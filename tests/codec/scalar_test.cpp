// The narrow floats, over every bit pattern, against values computed in double from the definition
// of the format; rounding at and next to every midpoint.
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/codec/codec.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// sign * 2^(exponent - bias) * 1.mantissa, or sign * 2^(1 - bias) * 0.mantissa.
double from_definition(unsigned bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const unsigned mantissa = bits & ((1u << mantissa_bits) - 1);
  const int exponent = static_cast<int>(bits >> mantissa_bits & ((1u << exponent_bits) - 1));
  const double sign = bits >> (exponent_bits + mantissa_bits) & 1 ? -1 : 1;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + (1u << mantissa_bits), exponent - bias - mantissa_bits);
}

bool same_bits(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

// Checks `narrow` between each two neighbours of the nonnegative finite patterns 0 .. last: at
// the midpoint (goes to the even pattern) and one float to either side of it, with both signs.
template <typename Widen, typename Narrow>
void check_rounding(unsigned last, unsigned sign_bit, Widen widen, Narrow narrow) {
  int wrong = 0;
  const auto expect = [&](float value, unsigned pattern) {
    wrong += narrow(value) != pattern;
    wrong += narrow(-value) != (pattern | sign_bit);
  };
  for (unsigned bits = 0; bits < last; ++bits) {
    const double middle = (static_cast<double>(widen(bits)) + widen(bits + 1)) / 2;
    const float tie = static_cast<float>(middle);
    REQUIRE(static_cast<double>(tie) == middle);
    expect(tie, bits % 2 == 0 ? bits : bits + 1);
    expect(std::nextafter(tie, 0.0f), bits);
    expect(std::nextafter(tie, kInfinity), bits + 1);
  }
  CHECK(wrong == 0);
}

TEST_CASE("f16: every pattern widens to its value and narrows back") {
  int wrong = 0;
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const float value = f16_to_f32(static_cast<uint16_t>(bits));
    const unsigned magnitude = bits & 0x7fff;
    const uint16_t back = f32_to_f16(value);
    if (magnitude > 0x7c00) {
      wrong += !std::isnan(value) || std::signbit(value) != (bits >> 15 != 0);
      wrong += back != (bits | 0x200);  // the payload stays, quiet
    } else {
      const double expected = magnitude == 0x7c00 ? (bits >> 15 ? -kInfinity : kInfinity)
                                                  : from_definition(bits, 5, 10);
      wrong += !same_bits(value, static_cast<float>(expected));
      wrong += back != bits;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("f16: rounds to nearest, ties to even") {
  const auto widen = [](unsigned bits) { return f16_to_f32(static_cast<uint16_t>(bits)); };
  check_rounding(0x7bff, 0x8000, widen, f32_to_f16);
}

TEST_CASE("f16: the ends of the range") {
  CHECK(f32_to_f16(65519.996f) == 0x7bff);
  CHECK(f32_to_f16(65520.0f) == 0x7c00);  // the tie above the largest goes to infinity
  CHECK(f32_to_f16(-65520.0f) == 0xfc00);
  CHECK(f32_to_f16(65536.0f) == 0x7c00);
  CHECK(f32_to_f16(131072.0f) == 0x7c00);
  CHECK(f32_to_f16(std::numeric_limits<float>::max()) == 0x7c00);
  CHECK(f32_to_f16(-kInfinity) == 0xfc00);
  CHECK(f32_to_f16(0x1p-25f) == 0);  // half the least subnormal
  CHECK(f32_to_f16(0x1.000002p-25f) == 1);
  CHECK(f32_to_f16(std::numeric_limits<float>::denorm_min()) == 0);
  CHECK(f32_to_f16(-0.0f) == 0x8000);
  CHECK(f32_to_f16(kNan) == 0x7e00);
  CHECK(f32_to_f16(std::bit_cast<float>(0x7f800001u)) == 0x7e00);  // payload lost, NaN kept
  CHECK(f32_to_f16(std::bit_cast<float>(0xffffffffu)) == 0xffff);
}

TEST_CASE("bf16: every pattern is the upper half of a float and narrows back") {
  int wrong = 0;
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const float value = bf16_to_f32(static_cast<uint16_t>(bits));
    wrong += std::bit_cast<uint32_t>(value) != bits << 16;
    wrong += f32_to_bf16(value) != (std::isnan(value) ? bits | 0x40 : bits);
  }
  CHECK(wrong == 0);
}

TEST_CASE("bf16: rounds to nearest, ties to even") {
  const auto widen = [](unsigned bits) { return bf16_to_f32(static_cast<uint16_t>(bits)); };
  check_rounding(0x7f7f, 0x8000, widen, f32_to_bf16);
  CHECK(f32_to_bf16(std::numeric_limits<float>::max()) == 0x7f80);
  CHECK(f32_to_bf16(std::bit_cast<float>(0x7f7f7fffu)) == 0x7f7f);
  CHECK(f32_to_bf16(std::bit_cast<float>(0x7f800001u)) == 0x7fc0);  // not infinity
  CHECK(f32_to_bf16(std::bit_cast<float>(0xffffffffu)) == 0xffff);
}

TEST_CASE("f8 e4m3: every pattern widens to its value and narrows back") {
  for (unsigned bits = 0; bits < 0x100; ++bits) {
    CAPTURE(bits);
    const float value = f8e4m3_to_f32(static_cast<uint8_t>(bits));
    if ((bits & 0x7f) == 0x7f) {
      CHECK(std::isnan(value));
    } else {
      CHECK(same_bits(value, static_cast<float>(from_definition(bits, 4, 3))));
    }
    CHECK(f32_to_f8e4m3(value) == bits);
  }
}

TEST_CASE("f8 e4m3: rounds to nearest, ties to even, and saturates") {
  const auto widen = [](unsigned bits) { return f8e4m3_to_f32(static_cast<uint8_t>(bits)); };
  check_rounding(0x7e, 0x80, widen, f32_to_f8e4m3);
  CHECK(f8e4m3_to_f32(0x7e) == 448.0f);
  for (float large : {448.0f, 449.0f, 464.0f, 1e30f, kInfinity}) {
    CHECK(f32_to_f8e4m3(large) == 0x7e);
    CHECK(f32_to_f8e4m3(-large) == 0xfe);
  }
  CHECK(f32_to_f8e4m3(0x1p-10f) == 0);  // half the least subnormal
  CHECK(f32_to_f8e4m3(0x1.8p-10f) == 1);
  CHECK(f32_to_f8e4m3(-0.0f) == 0x80);
  CHECK(f32_to_f8e4m3(kNan) == 0x7f);
  CHECK(f32_to_f8e4m3(-kNan) == 0xff);
}

TEST_CASE("f8 e5m2: every pattern widens to its value") {
  for (unsigned bits = 0; bits < 0x100; ++bits) {
    CAPTURE(bits);
    const float value = f8e5m2_to_f32(static_cast<uint8_t>(bits));
    const unsigned magnitude = bits & 0x7f;
    if (magnitude > 0x7c) {
      CHECK(std::isnan(value));
    } else if (magnitude == 0x7c) {
      CHECK(value == (bits & 0x80 ? -kInfinity : kInfinity));
    } else {
      CHECK(same_bits(value, static_cast<float>(from_definition(bits, 5, 2))));
    }
  }
}

// Stores the numbers at an odd address, as a mapped file may.
template <typename T>
std::vector<float> decode(DType type, const std::vector<T>& numbers) {
  const auto count = static_cast<int64_t>(numbers.size());
  REQUIRE(row_bytes(type, count) == static_cast<int64_t>(numbers.size() * sizeof(T)));
  std::vector<std::byte> bytes(1 + numbers.size() * sizeof(T));
  __builtin_memcpy(bytes.data() + 1, numbers.data(), bytes.size() - 1);
  std::vector<float> out(numbers.size());
  decode_row(type, bytes.data() + 1, count, out.data());
  return out;
}

TEST_CASE("rows of numbers decode to their values from any address") {
  using Row = std::vector<float>;
  CHECK(decode<double>(DType::kF64, {0.1, -2, 1e300}) == Row({0.1f, -2, kInfinity}));
  CHECK(decode<float>(DType::kF32, {0.1f, -2, 3}) == Row({0.1f, -2, 3}));
  CHECK(decode<uint16_t>(DType::kF16, {0x3c00, 0xc000, 1}) == Row({1, -2, 0x1p-24f}));
  CHECK(decode<uint16_t>(DType::kBF16, {0x3f80, 0xc000}) == Row({1, -2}));
  CHECK(decode<uint8_t>(DType::kF8E4M3, {0x38, 0xc0, 1}) == Row({1, -2, 0x1p-9f}));
  CHECK(decode<uint8_t>(DType::kF8E5M2, {0x3c, 0xc0, 1}) == Row({1, -2, 0x1p-16f}));
  CHECK(decode<int64_t>(DType::kI64, {-5, (1 << 24) + 1}) == Row({-5, 1 << 24}));
  CHECK(decode<int32_t>(DType::kI32, {-5, 7}) == Row({-5, 7}));
  CHECK(decode<int16_t>(DType::kI16, {-32768, 7}) == Row({-32768, 7}));
  CHECK(decode<int8_t>(DType::kI8, {-128, 127}) == Row({-128, 127}));
  CHECK(decode<uint64_t>(DType::kU64, {5, ~uint64_t{0}}) == Row({5, 0x1p64f}));
  CHECK(decode<uint32_t>(DType::kU32, {5, 0x80000000}) == Row({5, 0x1p31f}));
  CHECK(decode<uint16_t>(DType::kU16, {5, 0xffff}) == Row({5, 65535}));
  CHECK(decode<uint8_t>(DType::kU8, {5, 255}) == Row({5, 255}));
  CHECK(decode<uint8_t>(DType::kBool, {0, 1}) == Row({0, 1}));
}

TEST_CASE("rows of floats encode as the scalars do") {
  const std::vector<float> values = {0,   -0.0f, 1,     -2.5f,     3e-7f,    448,
                                     460, 1e6f,  1e-9f, kInfinity, 0.33333f, -7};
  const auto count = static_cast<int64_t>(values.size());
  std::vector<std::byte> bytes(values.size() * 4 + 1);
  for (DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3}) {
    CAPTURE(name(type));
    REQUIRE(can_encode(type));
    std::vector<float> decoded(values.size());
    encode_row(type, values.data(), count, bytes.data() + 1);
    decode_row(type, bytes.data() + 1, count, decoded.data());
    for (size_t i = 0; i < values.size(); ++i) {
      float expected = values[i];
      if (type == DType::kF16) expected = f16_to_f32(f32_to_f16(values[i]));
      if (type == DType::kBF16) expected = bf16_to_f32(f32_to_bf16(values[i]));
      if (type == DType::kF8E4M3) expected = f8e4m3_to_f32(f32_to_f8e4m3(values[i]));
      CHECK(same_bits(decoded[i], expected));
    }
  }
}

TEST_CASE("the types that can be encoded are the documented ones") {
  std::string names;
  for (size_t i = 0; i < std::size(kDTypes); ++i) {
    if (can_encode(static_cast<DType>(i))) names += std::string(kDTypes[i].name) + ' ';
  }
  CHECK(names == "F32 F16 BF16 F8E4M3 Q8_0 Q4_0 Q4_1 ");
}

}  // namespace
}  // namespace hone
