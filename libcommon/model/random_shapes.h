// The shapes that random:NAME knows.
#pragma once

#include <span>
#include <string_view>

namespace hone {

struct RandomShape {
  std::string_view name;
  std::string_view config;  // text of config.json
};

std::span<const RandomShape> random_shape_table();

}  // namespace hone
