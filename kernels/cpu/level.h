// The instructions that the CPU backend may use: a target of Highway and what goes with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace hone::cpu {

struct Level {
  int64_t target;
  std::string name;
  bool int8 = true;   // products of int8 are faster than those of floats
  bool bf16 = false;  // there are products of pairs of BF16
  bool amx = false;   // many tokens are multiplied in tile registers
};

Level best_level();

// The level that HONE_CPU asks for, or the best; nothing and a reason if there is no such one here.
std::optional<Level> choose_level(std::string* why);

}  // namespace hone::cpu
