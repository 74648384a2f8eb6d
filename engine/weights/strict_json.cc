#include "engine/weights/strict_json.h"

#include "engine/base/check.h"
#include "engine/weights/input_file.h"

namespace assay {

nlohmann::json ParseJson(std::string_view text, const std::string& where, const JsonLimits& limits,
                         const JsonTaker<nlohmann::json>& take) {
  try {
    return ParseJson<nlohmann::json>(text, limits, take);
  } catch (const JsonError& error) {
    Throw("{}: {}", where, error.what());
  }
}

std::string ReadJsonText(const std::string& path, const JsonLimits& limits) {
  const auto file = InputFile::Open(path);
  Require(file->size() <= limits.bytes, "{}: {} bytes, at most {} are accepted", path, file->size(), limits.bytes);
  std::string text(static_cast<std::size_t>(file->size()), '\0');
  file->Read(std::as_writable_bytes(std::span(text.data(), text.size())), 0, "text");
  return text;
}

nlohmann::json ReadJsonFile(const std::string& path, const JsonLimits& limits) {
  return ParseJson(ReadJsonText(path, limits), path, limits);
}

}  // namespace assay
