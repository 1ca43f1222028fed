#include "kernels/cpu/level.h"

#include <cctype>
#include <cstdlib>
#include <vector>

#include "kernels/cpu/targets.h"
// After targets.h.
#include "hwy/highway.h"
#include "kernels/cpu/amx.h"
#include "kernels/cpu/bf16.h"

namespace hone::cpu {
namespace {

// "avx3": Highway's names in small letters.
std::string level_name(int64_t target) {
  std::string name = hwy::TargetName(target);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

bool has_avx512_vnni() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

// What this build has and this machine can run, the best first. The instructions that multiply and
// add four bytes, or two BF16, make a level of their own, and so do those on tiles: Highway's AVX3
// does not promise them.
std::vector<Level> levels() {
  std::vector<Level> here;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    const std::string name = level_name(target);
    if (target == HWY_AVX3 && has_avx512_vnni()) {
      const bool bf16 = has_bf16_products();
      if (has_amx()) {
        here.push_back({.target = target, .name = name + "_amx", .bf16 = bf16, .amx = true});
      }
      here.push_back({.target = target, .name = name + "_vnni", .bf16 = bf16});
    }
    here.push_back({.target = target, .name = name, .int8 = target != HWY_AVX3});
  }
  return here;
}

}  // namespace

Level best_level() { return levels().front(); }

std::optional<Level> choose_level(std::string* why) {
  const char* const wanted = std::getenv("HONE_CPU");
  if (!wanted || !*wanted) return best_level();
  std::string known;
  for (const Level& level : levels()) {
    if (level.name == wanted) return level;
    known += (known.empty() ? "" : ", ") + level.name;
  }
  *why = "HONE_CPU: no instructions '" + std::string(wanted) + "' here; known: " + known;
  return std::nullopt;
}

}  // namespace hone::cpu
