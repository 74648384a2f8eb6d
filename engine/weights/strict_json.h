// JSON of untrusted files: one clear error instead of a guess. Refuses duplicate keys, deep nesting, too many values,
// broken UTF-8 and trailing bytes. For .cc files of this room: they include <nlohmann/json.hpp> themselves.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace assay {

struct JsonLimits {
  std::size_t bytes = std::size_t{1} << 20;
  std::size_t depth = 32;
  std::size_t values = 100000;  // each costs up to some hundred bytes of memory
};

// Throws InputError that begins with `where`.
nlohmann::json ParseJson(std::string_view text, const std::string& where, const JsonLimits& limits);
nlohmann::json ReadJsonFile(const std::string& path, const JsonLimits& limits);

// Text of a hostile file for a message: cut to a line, and only printable ASCII is left, because reports must be valid
// UTF-8.
std::string ShortComplaint(std::string_view complaint);

}  // namespace assay
