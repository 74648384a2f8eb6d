// JSON of a model's files, by the one reader of engine/text/json.h.
#pragma once

#include <string>
#include <string_view>

#include "engine/text/json.h"

namespace assay {

// Throws InputError that begins with `where`.
nlohmann::json ParseJson(std::string_view text, const std::string& where, const JsonLimits& limits,
                         const JsonTaker<nlohmann::json>& take = nullptr);
nlohmann::json ReadJsonFile(const std::string& path, const JsonLimits& limits);
// The bytes of a file of at most `limits.bytes`.
std::string ReadJsonText(const std::string& path, const JsonLimits& limits);

}  // namespace assay
