#pragma once

#include "fedmpi/error.hpp"

#include <concepts>
#include <cstdint>
#include <utility>

#include <nlohmann/json.hpp>

namespace fedmpi {

// The library's own conversion takes 1e300 for an integer, which is undefined. Error when `value` is not one that fits.
template <std::integral T>
T json_integer(const nlohmann::json& value) {
  if (!value.is_number_integer()) throw Error("not an integer");
  const bool fits = value.is_number_unsigned() ? std::in_range<T>(value.get<std::uint64_t>())
                                               : std::in_range<T>(value.get<std::int64_t>());
  if (!fits) throw Error("an integer out of range");
  return value.get<T>();
}

}  // namespace fedmpi
