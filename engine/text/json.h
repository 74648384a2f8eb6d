// JSON of untrusted files: one clear error instead of a guess. Refuses duplicate keys, deep nesting, broken UTF-8, what
// would take too much memory, and bytes behind the end, NUL among them.
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace assay {

// The message says what is wrong, in printable text of a bounded length; whoever knows the file names it.
class JsonError : public std::runtime_error {
 public:
  JsonError(const std::string& what, bool breaks_off = false) : std::runtime_error(what), breaks_off_(breaks_off) {}
  bool breaks_off() const { return breaks_off_; }  // the text ends before the document does

 private:
  bool breaks_off_;
};

// How documents become values: a number becomes an integer only where that holds it. The library's own conversion cuts
// fractions and high bits off, and is undefined for 1e30. Throws the library's type_error.
template <class Value, class = void>
struct CheckedIntegers : nlohmann::adl_serializer<Value, void> {};

template <class Value>
requires(std::integral<Value> && !std::same_as<Value, bool>) struct CheckedIntegers<Value, void> {
  template <class Json>
  static void from_json(const Json& json, Value& value) {
    // 2^63 is the first double that no std::int64_t holds.
    constexpr double kLimit = 9223372036854775808.0;
    if (json.is_number_unsigned()) {
      if (Held(json.template get_ref<const std::uint64_t&>(), value)) return;
    } else if (json.is_number_integer()) {
      if (Held(json.template get_ref<const std::int64_t&>(), value)) return;
    } else if (json.is_number_float()) {
      const double real = json.template get_ref<const double&>();
      if (real >= -kLimit && real < kLimit && real == std::trunc(real) && Held(static_cast<std::int64_t>(real), value))
        return;
    }
    throw Json::type_error::create(
        302, "expected a whole number of at most " + std::to_string(8 * sizeof(Value)) + " bits", &json);
  }
  template <class Json>
  static void to_json(Json& json, Value value) {
    nlohmann::to_json(json, value);
  }

 private:
  template <class Integer>
  static bool Held(Integer found, Value& value) {
    value = static_cast<Value>(found);
    return std::in_range<Value>(found);
  }
};

// Members in their order.
using OrderedJson = nlohmann::basic_json<nlohmann::ordered_map, std::vector, std::string, bool, std::int64_t,
                                         std::uint64_t, double, std::allocator, CheckedIntegers>;

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

// For nlohmann::json and OrderedJson. Throws JsonError, and what `take` throws.
template <class Json>
Json ParseJson(std::string_view text, const JsonLimits& limits, const JsonTaker<Json>& take = nullptr);

// The events of a text, for readers that keep no document. What `events` throws passes through; its parse_error is
// called for what is no JSON, and must throw. Throws JsonError for a NUL byte.
void ReadJsonEvents(std::string_view text, nlohmann::json_sax<nlohmann::json>& events);

}  // namespace assay
