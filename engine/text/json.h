// JSON of untrusted files: one clear error instead of a guess. Refuses duplicate keys, deep nesting, broken UTF-8, what
// would take too much memory, and bytes behind the end, NUL among them.
#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>

namespace assay {

// The message says what is wrong, in printable text of a bounded length; whoever knows the file names it.
class JsonError : public std::runtime_error {
 public:
  JsonError(const std::string& what, bool breaks_off = false) : std::runtime_error(what), breaks_off_(breaks_off) {}
  bool breaks_off() const { return breaks_off_; }  // the text ends before the document does

 private:
  bool breaks_off_;
};

struct JsonLimits {
  std::size_t bytes = std::size_t{1} << 20;
  std::size_t depth = 32;
  // What a document may take, by an estimate of its parts: so many bytes for each byte of its text, and these. With
  // what the library takes to grow and to destroy it, and with the text, that is at most 8 bytes for each byte and 64
  // MiB.
  std::size_t memory_per_byte = 4;
  std::size_t memory = std::size_t{36} << 20;
};

// Takes an element of an array that is a member of the root, as soon as it is whole: "cases" of a report, one by one.
// `root` is what was read before it. True: taken, and not kept in the document.
template <class Json>
using JsonTaker = std::function<bool(const Json& root, const std::string& member, Json& element)>;

// For nlohmann::json and nlohmann::ordered_json. Throws JsonError, and what `take` throws.
template <class Json>
Json ParseJson(std::string_view text, const JsonLimits& limits, const JsonTaker<Json>& take = nullptr);

// The events of a text, for readers that keep no document. What `events` throws passes through; its parse_error is
// called for what is no JSON, and must throw. Throws JsonError for a NUL byte.
void ReadJsonEvents(std::string_view text, nlohmann::json_sax<nlohmann::json>& events);

}  // namespace assay
