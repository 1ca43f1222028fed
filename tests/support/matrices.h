// What the tests of every backend share: the reference backend, random inputs, and stored matrices
// of every kind.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/codec/codec.h"
#include "kernels/formats.h"
#include "kernels/ref/ref_backend.h"

namespace hone {

inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

inline Backend& reference() {
  static const std::unique_ptr<Backend> backend = open_ref_backend();
  return *backend;
}

inline std::vector<float> normal_floats(int64_t count, uint32_t seed, float deviation = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(count);
  for (float& v : values) v = normal(random);
  return values;
}

inline std::vector<float> poisoned(int64_t count) { return std::vector<float>(count, kNaN); }

// How to store a random matrix. group: 0 no scales, -1 one per row, -2 one per tensor.
struct Storage {
  std::string name;
  DType type = DType::kF32;
  int packed_bits = 0;
  int64_t group = 0;
  DType scale_type = DType::kF32;
  bool zeros = false;
  bool sparse = false;
  bool quantize_input = false;
  bool int8_input = false;
  bool bf16_input = false;
  bool bitmask = false;

  // Columns come in multiples of this.
  int64_t step() const {
    int64_t step = sparse ? 8 : 1;
    const int64_t block = info(type).block_elements * (sparse ? 2 : 1);
    if (packed_bits == 0) step = std::max(step, block);
    if (group > 0) step = std::lcm(step, group);
    return step;
  }
};

inline constexpr int64_t kPerRow = -1;
inline constexpr int64_t kPerTensor = -2;

// Bytes that start `shift` bytes after an aligned address, and end where the allocation ends.
struct Bytes {
  std::vector<std::byte> memory;
  size_t shift;
  Bytes(int64_t count, size_t shift_by) : memory(count + shift_by), shift(shift_by) {}
  std::byte* data() { return memory.data() + shift; }
};

// A random matrix, with its bytes at odd addresses.
class StoredMatrix {
 public:
  StoredMatrix(const Storage& storage, int64_t rows, int64_t columns, uint32_t seed)
      : random_(seed), payload_(0, 0), scales_(0, 0), index_(0, 0), mask_(0, 0) {
    view_.type = storage.packed_bits ? DType::kI32 : storage.type;
    view_.packed_bits = storage.packed_bits;
    view_.rows = rows;
    view_.columns = columns;
    view_.quantize_input = storage.quantize_input;
    view_.int8_input = storage.int8_input;
    view_.bf16_input = storage.bf16_input;
    if (storage.sparse) make_index();
    storage.bitmask ? make_masked_payload() : make_payload();
    if (storage.group != 0) make_scales(storage);
  }
  StoredMatrix(const StoredMatrix&) = delete;
  StoredMatrix& operator=(const StoredMatrix&) = delete;

  const WeightView& view() const { return view_; }

  // [rows, columns]
  std::vector<float> decoded() const {
    std::vector<float> all(view_.rows * view_.columns);
    for (int64_t r = 0; r < view_.rows; ++r) {
      decode_weight_row(view_, r, all.data() + r * view_.columns);
    }
    return all;
  }

 private:
  int below(int count) { return static_cast<int>(random_() % static_cast<uint32_t>(count)); }

  void make_index() {
    static constexpr int kPairs[] = {4, 8, 12, 9, 13, 14};  // first | second << 2
    index_ = Bytes(view_.rows * view_.columns / 8, 3);
    for (int64_t i = 0; i < view_.rows * view_.columns / 8; ++i) {
      index_.data()[i] = static_cast<std::byte>(kPairs[below(6)] | kPairs[below(6)] << 4);
    }
    view_.index = index_.data();
  }

  void make_payload() {
    const int64_t bytes = payload_row_bytes(view_);
    view_.row_stride = bytes + 3;
    payload_ = Bytes((view_.rows - 1) * view_.row_stride + bytes, 1);
    view_.payload = payload_.data();
    for (int64_t r = 0; r < view_.rows; ++r) fill_row(payload_.data() + r * view_.row_stride);
  }

  // A row in four is empty, one is full, the others are half full.
  void make_masked_payload() {
    const int64_t stride = mask_row_bytes(view_.columns);
    mask_ = Bytes(view_.rows * stride, 3);
    row_offsets_ = {0};
    for (int64_t r = 0; r < view_.rows; ++r) {
      int64_t kept = 0;
      for (int64_t c = 0; c < view_.columns; ++c) {
        const bool keep = r % 4 == 1 ? false : r % 4 == 2 ? true : below(2) == 0;
        mask_.data()[r * stride + c / 8] |= static_cast<std::byte>(keep << c % 8);
        kept += keep;
      }
      row_offsets_.push_back(row_offsets_.back() + kept);
    }
    payload_ = Bytes(element_bytes(view_, row_offsets_.back()), 1);
    for (int64_t r = 0; r < view_.rows; ++r) {
      fill_elements(payload_.data() + element_bytes(view_, row_offsets_[r]),
                    row_offsets_[r + 1] - row_offsets_[r]);
    }
    view_.payload = payload_.data();
    view_.mask = mask_.data();
    view_.row_offsets = row_offsets_.data();
  }

  // Elements of whole bytes.
  void fill_elements(std::byte* to, int64_t count) {
    if (view_.packed_bits == 0 && can_encode(view_.type)) {
      const auto values = normal_floats(count, random_());
      return encode_row(view_.type, values.data(), count, to);
    }
    for (int64_t i = 0; i < element_bytes(view_, count); ++i) {
      to[i] = static_cast<std::byte>(below(256));
    }
  }

  void fill_row(std::byte* row) {
    const int64_t bytes = payload_row_bytes(view_);
    if (view_.packed_bits == 0 && can_encode(view_.type)) {
      return fill_elements(row, view_.stored_columns());
    }
    if (view_.packed_bits == 0 && view_.type == DType::kF64) {
      for (int64_t c = 0; c < view_.stored_columns(); ++c) {
        const double value = below(1000) * 0.001 - 0.5;
        std::memcpy(row + 8 * c, &value, sizeof value);
      }
      return;
    }
    for (int64_t i = 0; i < bytes; ++i) row[i] = static_cast<std::byte>(below(256));
    fix_scales_of_blocks(row, bytes);
  }

  // Random bits as an f16 could be NaN.
  void fix_scales_of_blocks(std::byte* row, int64_t bytes) {
    const auto put = [&](int64_t at) {
      const uint16_t bits = f32_to_f16(static_cast<float>(below(1000) - 500) * 0.0001f);
      std::memcpy(row + at, &bits, sizeof bits);
    };
    const int64_t size = info(view_.type).block_bytes;
    for (int64_t b = 0; view_.packed_bits == 0 && b < bytes; b += size) {
      if (view_.type == DType::kMXFP4) row[b] = static_cast<std::byte>(118 + below(4));
      if (view_.type == DType::kQ6_K) put(b + 208);
      if (view_.type == DType::kQ5_0) put(b);
      if (view_.type == DType::kIQ4_NL || view_.type == DType::kIQ4_XS) put(b);
      if (view_.type == DType::kQ5_1 || view_.type == DType::kQ4_K || view_.type == DType::kQ5_K) {
        put(b);
        put(b + 2);
      }
    }
  }

  void make_scales(const Storage& storage) {
    view_.group = storage.group > 0 ? storage.group : view_.columns;
    view_.scale_rows = storage.group == kPerTensor ? 1 : view_.rows;
    view_.scale_type = storage.scale_type;
    const int64_t count = view_.scale_rows * (view_.columns / view_.group);
    scales_ = Bytes(row_bytes(storage.scale_type, count), 1);
    std::vector<float> values(count);
    for (float& v : values) v = 0.01f * static_cast<float>(1 + below(100));
    encode_row(storage.scale_type, values.data(), count, scales_.data());
    view_.scales = scales_.data();
    if (!storage.zeros) return;
    const int half = 1 << ((storage.packed_bits ? storage.packed_bits : 8) - 1);
    zeros_.resize(view_.rows * (view_.columns / view_.group));
    for (int8_t& z : zeros_) z = static_cast<int8_t>(below(2 * half) - half);
    view_.zeros = zeros_.data();
  }

  std::mt19937 random_;
  WeightView view_;
  Bytes payload_;
  Bytes scales_;
  Bytes index_;
  Bytes mask_;
  std::vector<int64_t> row_offsets_;
  std::vector<int8_t> zeros_;
};

// Every kind of storage that has a way of its own through the kernels.
inline std::vector<Storage> storages() {
  std::vector<Storage> all;
  for (const DType type :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kQ8_0, DType::kQ4_0,
        DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K,
        DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4, DType::kF64, DType::kU8, DType::kI16}) {
    all.push_back({.name = std::string(name(type)), .type = type});
  }
  for (const int64_t group :
       {int64_t{32}, int64_t{64}, int64_t{128}, int64_t{24}, kPerRow, kPerTensor}) {
    const std::string suffix = " group " + std::to_string(group);
    const DType scale = group == 64 ? DType::kF16 : group == 128 ? DType::kBF16 : DType::kF32;
    for (int bits = 2; bits <= 8; ++bits) {
      all.push_back({.name = "int" + std::to_string(bits) + suffix,
                     .packed_bits = bits,
                     .group = group,
                     .scale_type = scale,
                     .zeros = group != kPerTensor && (bits == 4 || bits == 3 || group == 64)});
    }
    all.push_back({.name = "I8" + suffix, .type = DType::kI8, .group = group, .scale_type = scale});
    all.push_back(
        {.name = "F8" + suffix, .type = DType::kF8E4M3, .group = group, .scale_type = scale});
  }
  all.push_back({.name = "BF16 scaled", .type = DType::kBF16, .group = 32});
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kQ8_0,
                           DType::kQ4_0, DType::kQ4_1, DType::kQ6_K, DType::kI16}) {
    all.push_back({.name = std::string(name(type)) + " 2:4", .type = type, .sparse = true});
  }
  for (int bits = 2; bits <= 8; ++bits) {
    all.push_back({.name = "int" + std::to_string(bits) + " 2:4 per row",
                   .packed_bits = bits,
                   .group = kPerRow,
                   .scale_type = DType::kBF16,
                   .zeros = true,
                   .sparse = true});
  }
  for (const int64_t group : {int64_t{16}, int64_t{32}, int64_t{64}, int64_t{96}, int64_t{128}}) {
    const std::string suffix = " 2:4 group " + std::to_string(group);
    const DType scale = group == 64 ? DType::kF16 : group == 96 ? DType::kBF16 : DType::kF32;
    const bool zeros = group == 16 || group == 96;
    Storage storage{.group = group, .scale_type = scale, .zeros = zeros, .sparse = true};
    storage.name = "I8" + suffix;
    storage.type = DType::kI8;
    all.push_back(storage);
    storage.name = "int4" + suffix;
    storage.packed_bits = 4;
    all.push_back(storage);
  }
  for (const int64_t group : {int64_t{16}, int64_t{32}, int64_t{96}, kPerRow, kPerTensor}) {
    all.push_back({.name = "F8 2:4 group " + std::to_string(group),
                   .type = DType::kF8E4M3,
                   .group = group,
                   .scale_type = group == 96 ? DType::kBF16 : DType::kF32,
                   .sparse = true});
  }
  all.push_back({.name = "I8 2:4", .type = DType::kI8, .group = kPerRow, .sparse = true});
  all.push_back({.name = "int8 2:4 group 128", .packed_bits = 8, .group = 128, .sparse = true});
  all.push_back({.name = "int4 2:4 group 256",
                 .packed_bits = 4,
                 .group = 256,
                 .scale_type = DType::kBF16,
                 .sparse = true});
  all.push_back({.name = "int4 2:4",
                 .packed_bits = 4,
                 .group = 32,
                 .scale_type = DType::kF16,
                 .zeros = true,
                 .sparse = true});
  all.push_back({.name = "int8 2:4 odd", .packed_bits = 8, .group = 24, .sparse = true});
  all.push_back({.name = "int3 2:4 group 2", .packed_bits = 3, .group = 2, .sparse = true});
  all.push_back({.name = "W8A8", .type = DType::kI8, .group = kPerRow, .quantize_input = true});
  all.push_back(
      {.name = "W8A8 tensor", .type = DType::kI8, .group = kPerTensor, .quantize_input = true});
  all.push_back({.name = "W8A8 groups", .type = DType::kI8, .group = 32, .quantize_input = true});
  all.push_back({.name = "W8A8 2:4",
                 .type = DType::kI8,
                 .group = kPerRow,
                 .sparse = true,
                 .quantize_input = true});
  all.push_back({.name = "W4A8", .packed_bits = 4, .group = 32, .quantize_input = true});
  for (const bool sparse : {false, true}) {
    all.push_back({.name = sparse ? "FP8 2:4" : "FP8",
                   .type = DType::kF8E4M3,
                   .group = kPerRow,
                   .sparse = sparse,
                   .quantize_input = true});
  }
  const size_t plain = all.size();
  for (size_t i = 0; i < plain; ++i) {  // the same by int8 arithmetic, where there is any
    Storage storage = all[i];
    if (storage.quantize_input) continue;
    if (storage.packed_bits == 0 && storage.type != DType::kI8 && !is_block(storage.type)) continue;
    storage.name += " x int8";
    storage.int8_input = true;
    all.push_back(storage);
  }
  return all;
}

// Those that only backends on the host have.
inline std::vector<Storage> only_host_storages() {
  std::vector<Storage> all;
  for (const DType type : {DType::kBF16, DType::kF16, DType::kF32}) {
    all.push_back({.name = std::string(name(type)) + " bitmask", .type = type, .bitmask = true});
  }
  for (Storage storage : {Storage{.name = "BF16"}, Storage{.name = "BF16 2:4", .sparse = true},
                          Storage{.name = "BF16 bitmask", .bitmask = true}}) {
    storage.name += " x bf16";
    storage.type = DType::kBF16;
    storage.bf16_input = true;
    all.push_back(storage);
  }
  for (const bool int8_input : {false, true}) {
    for (const int64_t group : {kPerRow, int64_t{128}, int64_t{64}}) {
      Storage storage{.name = "I8 bitmask group " + std::to_string(group),
                      .type = DType::kI8,
                      .group = group,
                      .scale_type = DType::kBF16,
                      .int8_input = int8_input,
                      .bitmask = true};
      all.push_back(storage);
      storage.name = "int8 bitmask group " + std::to_string(group);
      storage.packed_bits = 8;
      storage.zeros = group == 64;
      all.push_back(storage);
    }
  }
  all.push_back({.name = "W8A8 bitmask",
                 .type = DType::kI8,
                 .group = kPerRow,
                 .quantize_input = true,
                 .bitmask = true});
  return all;
}

inline std::vector<Storage> host_storages() {
  std::vector<Storage> all = storages();
  for (const Storage& storage : only_host_storages()) all.push_back(storage);
  return all;
}

}  // namespace hone
