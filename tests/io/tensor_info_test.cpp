#include "libcommon/io/tensor_info.h"

#include "tests/io/io_support.h"

using namespace hone;
using namespace hone::test;

TEST_CASE("sizes of shapes") {
  const TensorInfo scalar = {"s", DType::kI64, {}};
  CHECK(scalar.elements() == 1);
  CHECK(scalar.bytes() == 8);
  CHECK(scalar.rows() == 1);
  CHECK(scalar.columns() == 1);
  const TensorInfo blocks = {"q", DType::kQ4_0, {3, 5, 64}};
  CHECK(blocks.bytes() == 3 * 5 * 2 * 18);
  CHECK(blocks.rows() == 15);
  const TensorInfo empty = {"e", DType::kF32, {4, 0}};
  CHECK(empty.bytes() == 0);
  CHECK(empty.rows() == 0);
  CHECK(shape_text({}) == "[]");
  CHECK(shape_text({4096, 1024}) == "[4096, 1024]");
  CHECK(shape_text({1, 2, 3, 4, 5, 6, 7, 8, 9}) == "[1, 2, 3, 4, 5, 6, 7, 8, ...]");
}

TEST_CASE("shapes that cannot be are refused") {
  const auto refused = [](TensorInfo tensor, const char* message) {
    check_error([&] { validate_tensor(tensor, "f"); }, ExitCode::kBadInput, message);
  };
  const int64_t big = int64_t{1} << 32;
  refused({"x", DType::kF32, {-1, 2}}, "f: tensor 'x': negative dimension in [-1, 2]");
  refused({"x", DType::kU8, {big, big}}, "overflows 64 bits");
  refused({"x", DType::kU8, {big, big, 0}}, "overflows 64 bits");
  refused({"x", DType::kF64, {big, big / 4}}, "size of [4294967296, 1073741824] overflows");
  refused({"x", DType::kQ4_0, {2, 33}}, "rows of 33 elements are not whole blocks of Q4_0 (32)");
  refused({"x", DType::kQ6_K, {}}, "rows of 1 elements");
  CHECK_NOTHROW(validate_tensor({"x", DType::kU8, {INT64_MAX}}, "f"));
  CHECK_NOTHROW(validate_tensor({"x", DType::kQ4_0, {0, 32}}, "f"));
}
