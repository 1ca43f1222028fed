// The tile registers of AMX: eight of up to 16 rows of 64 bytes. Highway does not know them, so
// instructions are written as such, for code that has asked has_amx(). Compiled per target.
#if defined(HONE_CPU_AMX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HONE_CPU_AMX_INL_H_
#undef HONE_CPU_AMX_INL_H_
#else
#define HONE_CPU_AMX_INL_H_
#endif

#include <cstdint>

#include "kernels/cpu/amx.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace hone::cpu::HWY_NAMESPACE {
namespace {

constexpr int64_t kAmxRows = 16;      // of a tile, at most
constexpr int64_t kAmxRowBytes = 64;  // of a row, at most

// The shapes of products a * b for as long as this lives:
//   sums [m][n], of 32 bits    a [m][k bytes]    b [k / 4][n][4 bytes]
// Tiles 0 to 3 hold sums, 4 and 5 are a's, 6 and 7 b's.
class AmxShapes {
 public:
  AmxShapes(int64_t m, int64_t k, int64_t n) {
    Config config;
    for (int tile = 0; tile < 8; ++tile) {
      config.rows[tile] = static_cast<uint8_t>(tile < 6 ? m : k / 4);
      const bool is_a = tile == 4 || tile == 5;
      config.row_bytes[tile] = static_cast<uint16_t>(is_a ? k : 4 * n);
    }
    asm volatile("ldtilecfg %0" : : "m"(config));
  }
  // Gives the registers back: until then the system saves them whenever it changes threads.
  ~AmxShapes() { asm volatile("tilerelease"); }
  AmxShapes(const AmxShapes&) = delete;
  AmxShapes& operator=(const AmxShapes&) = delete;

 private:
  struct alignas(64) Config {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
  };
  static_assert(sizeof(Config) == 64);
};

template <int kTile>
HWY_INLINE void clear_tile() {
  asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}

// Rows `stride` bytes apart.
template <int kTile>
HWY_INLINE void load_tile(const void* from, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
HWY_INLINE void store_tile(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(kTile) : "memory");
}

// sums += a * b of int8, exactly.
template <int kSums, int kA, int kB>
HWY_INLINE void add_int8_tiles() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kA), "i"(kB));
}

// The same of codes from 0 on.
template <int kSums, int kA, int kB>
HWY_INLINE void add_unsigned_tiles() {
  asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kA), "i"(kB));
}

// The same of pairs of BF16, in f32.
template <int kSums, int kA, int kB>
HWY_INLINE void add_bf16_tiles() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSums), "i"(kA), "i"(kB));
}

}  // namespace
}  // namespace hone::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif  // per-target include guard
