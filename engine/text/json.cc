#include "engine/text/json.h"

#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/text/foreign.h"

namespace assay {
namespace {

template <class... Values>
[[noreturn]] void Refuse(fmt::format_string<Values...> text, Values&&... values) {
  throw JsonError(fmt::format(text, std::forward<Values>(values)...));
}

// The lexer takes a NUL byte for the end of its input. No JSON holds one: strings escape it.
void RefuseNul(std::string_view text) {
  if (const std::size_t at = text.find('\0'); at != std::string_view::npos)
    Refuse("not valid JSON: NUL at byte {}", at);
}

// Bytes that the heap takes for a block.
constexpr std::size_t Block(std::size_t bytes) {
  return bytes == 0 ? 0 : std::max<std::size_t>(32, (bytes + 23) / 16 * 16);
}
std::size_t Heap(const std::string& text) { return text.size() > 15 ? Block(text.size() + 1) : 0; }

// Builds the document event by event: the library's own builder keeps the last of duplicate keys and has no limits.
template <class Json>
class Builder final : public nlohmann::json_sax<Json> {
 public:
  using Object = typename Json::object_t;
  static constexpr bool kOrdered = std::is_same_v<Json, OrderedJson>;
  // An array that grows has its old elements beside room for twice as many.
  static constexpr std::size_t kElement = 3 * sizeof(Json);
  static constexpr std::size_t kMember =
      kOrdered ? 3 * sizeof(typename Object::value_type) : Block(32 + sizeof(typename Object::value_type));

  Builder(std::size_t text_bytes, const JsonLimits& limits, const JsonTaker<Json>& take)
      : text_bytes_(text_bytes),
        limits_(limits),
        take_(take),
        allowed_(limits.memory + limits.memory_per_byte * text_bytes) {}

  Json Take() { return std::move(root_); }

  bool null() override { return Put(Json(nullptr)) != nullptr; }
  bool boolean(bool value) override { return Put(Json(value)) != nullptr; }
  bool number_integer(typename Json::number_integer_t value) override { return Put(Json(value)) != nullptr; }
  bool number_unsigned(typename Json::number_unsigned_t value) override { return Put(Json(value)) != nullptr; }
  bool number_float(typename Json::number_float_t value, const std::string&) override {
    return Put(Json(value)) != nullptr;
  }
  bool string(std::string& value) override {
    Charge(Block(sizeof(std::string)) + Heap(value));
    return Put(Json(std::move(value))) != nullptr;
  }
  bool binary(typename Json::binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Open(Json::object()); }
  bool start_array(std::size_t) override { return Open(Json::array()); }
  bool end_object() override {
    if constexpr (kOrdered) RefuseDoubles(open_.back().value->template get_ref<const Object&>());
    return Close();
  }
  bool end_array() override { return Close(); }

  bool key(std::string& name) override {
    if constexpr (!kOrdered)
      if (open_.back().value->contains(name)) Twice(name);
    if (open_.size() == 1) member_ = name;
    key_ = std::move(name);
    return true;
  }

  bool parse_error(std::size_t at, const std::string&, const nlohmann::detail::exception& error) override {
    throw JsonError(fmt::format("not valid JSON: {}", ForMessage(error.what())), at > text_bytes_);
  }

 private:
  struct Level {
    Json* value;
    std::size_t memory;  // before it
  };

  [[noreturn]] static void Twice(const std::string& name) {
    Refuse("key '{}' appears twice in one object", ForMessage(name));
  }

  // The ordered object finds a key by looking at all: sorting them once is as good for any number of keys.
  static void RefuseDoubles(const Object& object) {
    std::vector<const std::string*> keys;
    keys.reserve(object.size());
    for (const auto& member : object) keys.push_back(&member.first);
    std::sort(keys.begin(), keys.end(), [](auto a, auto b) { return *a < *b; });
    const auto twice = std::adjacent_find(keys.begin(), keys.end(), [](auto a, auto b) { return *a == *b; });
    if (twice != keys.end()) Twice(**twice);
  }

  void Charge(std::size_t bytes) {
    memory_ += bytes;
    if (memory_ > allowed_) Refuse("the document would take more than {} bytes of memory", allowed_);
  }

  Json* Put(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back().value;
    if (parent.is_array()) {
      Charge(kElement);
      parent.push_back(std::move(value));
      Json* element = &parent.back();
      if (!element->is_structured()) Offer();
      return element;
    }
    Charge(kMember + Heap(key_));
    Object& object = parent.template get_ref<Object&>();
    if constexpr (kOrdered) {
      using Members = std::vector<std::pair<const std::string, Json>, typename Object::allocator_type>;
      return &static_cast<Members&>(object).emplace_back(std::move(key_), std::move(value)).second;
    } else {
      return &object.emplace(std::move(key_), std::move(value)).first->second;
    }
  }

  bool Open(Json container) {
    if (open_.size() >= limits_.depth) Refuse("nested deeper than {} levels", limits_.depth);
    const std::size_t before = memory_;
    Charge(Block(container.is_object() ? sizeof(Object) : sizeof(typename Json::array_t)));
    Json* const value = Put(std::move(container));
    // Only the innermost one grows, so the pointers stay good.
    open_.push_back({value, before});
    return true;
  }

  bool Close() {
    const std::size_t before = open_.back().memory;
    open_.pop_back();
    if (Offer()) memory_ = before;
    return true;
  }

  // What has just become whole, if it is an element of an array of the root.
  bool Offer() {
    if (!take_ || open_.size() != 2 || !open_.back().value->is_array()) return false;
    Json& array = *open_.back().value;
    if (!take_(root_, member_, array.back())) return false;
    array.erase(std::prev(array.end()));
    return true;
  }

  const std::size_t text_bytes_;
  const JsonLimits& limits_;
  const JsonTaker<Json>& take_;
  const std::size_t allowed_;
  Json root_;
  std::vector<Level> open_;  // the innermost last
  std::string key_, member_;
  std::size_t memory_ = 0;
};

}  // namespace

template <class Json>
Json ParseJson(std::string_view text, const JsonLimits& limits, const JsonTaker<Json>& take) {
  if (text.size() > limits.bytes) Refuse("{} bytes of JSON, at most {} are accepted", text.size(), limits.bytes);
  RefuseNul(text);
  Builder<Json> builder(text.size(), limits, take);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) Refuse("not valid JSON");
  return builder.Take();
}

template nlohmann::json ParseJson(std::string_view, const JsonLimits&, const JsonTaker<nlohmann::json>&);
template OrderedJson ParseJson(std::string_view, const JsonLimits&, const JsonTaker<OrderedJson>&);

void ReadJsonEvents(std::string_view text, nlohmann::json_sax<nlohmann::json>& events) {
  RefuseNul(text);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &events)) Refuse("not valid JSON");
}

}  // namespace assay
