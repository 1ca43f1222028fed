// The bytes that placing leaves in device memory, against those of an implementation that knew no
// GPU: it turned rows into placed rows on the host, by the codec. What they mean is
// weights_test.cpp's.
#include "tests/cuda/fixture.h"

using namespace hone;

namespace {

// FNV-1a, of bytes on the device.
class DeviceHash {
 public:
  void add(const void* from, int64_t bytes) {
    std::vector<uint8_t> values(static_cast<size_t>(bytes));
    device().copy_out(values.data(), from, values.size());
    for (const uint8_t value : values) hash_ = (hash_ ^ value) * 0x100000001b3;
  }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

constexpr int64_t kSlack = 32;  // zeros after scales and zero points

void add_matrix(DeviceHash& hash, const WeightView& w) {
  const int64_t groups = w.scales ? w.rows * (w.columns / w.group) : 0;
  hash.add(w.payload, w.rows * w.row_stride);
  if (w.scales) hash.add(w.scales, row_bytes(w.scale_type, groups) + kSlack);
  if (w.zeros) hash.add(w.zeros, groups + kSlack);
  if (!w.index) return;
  const int64_t units = w.packed_bits == 4 ? 4 : info(w.type).block_bytes == 1 ? 2 : 1;
  hash.add(w.index, (w.rows + 15) / 16 * (w.row_stride / 64) * units * 128);
}

// Of matrices around a tile of rows, a segment of columns, and several pieces of the way.
uint64_t placed_hash(const Storage& storage) {
  DeviceHash hash;
  uint32_t seed = 0;
  const int64_t step = storage.step();
  for (const int64_t about : {1, 63, 64, 65, 1000}) {
    const int64_t columns = (about + step - 1) / step * step;
    for (const int64_t rows : {1, 15, 16, 17, 40}) {
      add_matrix(hash, place(StoredMatrix(storage, rows, columns, ++seed)));
    }
  }
  return hash.value();
}

Storage named(std::string_view name) {
  for (const Storage& storage : storages()) {
    if (storage.name == name) return storage;
  }
  throw std::runtime_error("no such storage");
}

}  // namespace

// Of storages whose random bytes are integers', the same on every machine.
TEST_CASE("place: the bytes of every form") {
  constexpr struct {
    const char* name;
    uint64_t hash;
  } kExpected[] = {
      {"int4 group 128", 0xa8d9cfe35781aad9},
      {"int4 group 32", 0x2c8e31f72c0f73c2},
      {"int4 group -2", 0x909e5d2bbe067b3f},
      {"int2 group -1", 0x24d77b26a3d8686c},
      {"int3 group 64", 0xa6e5e21d3002094d},
      {"int5 group 128", 0xfb592562f460bceb},
      {"int6 group 24", 0x4d2fc48e7f769562},
      {"int7 group 32", 0x576ff88e4f4fef91},
      {"int8 group -1", 0x8a7879f3fa454735},
      {"I8 group 128", 0x5e4871529571f5d6},
      {"I8 group -2", 0x9a7efaeb2dbe2a7a},
      {"int4 2:4 group 128", 0x7b0878853b770121},
      {"int4 2:4", 0xcea6a5c65da31383},
      {"int4 2:4 group 16", 0x69b749da87b740a9},
      {"int3 2:4 per row", 0xd69172ae624626f0},
      {"int8 2:4 group 128", 0x6613d9df50bc8009},
      {"I8 2:4 group 64", 0x42a3059a46bef4ca},
      {"I8 2:4 group 16", 0x145bccbf465a68db},
      {"Q5_0", 0x737612e5decc0bb5},
      {"Q5_1", 0x681c8acb0fad4f4e},
      {"Q4_K", 0xbd3bc54172762a7e},
      {"Q5_K", 0xa7265ee3cd1c4ac8},
      {"Q6_K", 0x88ae4b693558cb51},
      {"IQ4_NL", 0xc24dd439b4f4fdfb},
      {"IQ4_XS", 0xdf8429bce62c7133},
      {"MXFP4", 0xd9de1c4ab74af172},
      {"I16", 0x3746c189d4cac8d0},
  };
  for (const auto& [name, expected] : kExpected) {
    CHECK_MESSAGE(placed_hash(named(name)) == expected, std::string(name));
  }
}
