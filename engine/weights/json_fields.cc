#include "engine/weights/json_fields.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/base/check.h"
#include "engine/text/foreign.h"
#include "engine/weights/strict_json.h"

namespace assay {
namespace {

using nlohmann::json;

// What was found, short enough for a message: containers by their type only.
std::string Shown(const json& value) {
  return value.is_structured() ? value.type_name()
                               : ForMessage(value.dump(-1, ' ', false, json::error_handler_t::replace));
}

}  // namespace

JsonFields::JsonFields(const json& object, std::string where, Reads reads, std::string path)
    : object_(&object), where_(std::move(where)), reads_(std::move(reads)), path_(std::move(path)) {
  Require(object.is_object(), "{}: expected an object, found {}", where_, Shown(object));
}

std::string JsonFields::At(const char* key) const { return where_ + ": " + key; }

void JsonFields::Note(const char* key) const {
  if (reads_) reads_->insert(path_.empty() ? key : path_ + "." + key);
}

const json* JsonFields::Find(const char* key) const {
  Note(key);
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

bool JsonFields::Has(const char* key) const { return Find(key) != nullptr; }
bool JsonFields::Mentions(const char* key) const {
  Note(key);
  return object_->contains(key);
}
bool JsonFields::IsString(const char* key) const { return Has(key) && Find(key)->is_string(); }

std::optional<int> JsonFields::OptionalInt(const char* key, int low, int high) const {
  const json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  Require(value->is_number_integer(), "{}: expected an integer, found {}", At(key), Shown(*value));
  // Unsigned values beyond the signed range must not wrap into it.
  const bool fits = !value->is_number_unsigned() || value->get<std::uint64_t>() <= INT_MAX;
  const std::int64_t number = fits ? value->get<std::int64_t>() : -1;
  Require(fits && number >= low && number <= high, "{}: expected {}..{}, found {}", At(key), low, high, Shown(*value));
  return static_cast<int>(number);
}

int JsonFields::Int(const char* key, int low, int high) const {
  const std::optional<int> value = OptionalInt(key, low, high);
  Require(value.has_value(), "{}: the key is missing", At(key));
  return *value;
}

double JsonFields::Number(const char* key, double otherwise) const {
  const json* value = Find(key);
  if (value == nullptr) return otherwise;
  Require(value->is_number() && std::isfinite(value->get<double>()), "{}: expected a number, found {}", At(key),
          Shown(*value));
  return value->get<double>();
}

bool JsonFields::Bool(const char* key, bool otherwise) const {
  const json* value = Find(key);
  if (value == nullptr) return otherwise;
  Require(value->is_boolean(), "{}: expected true or false, found {}", At(key), Shown(*value));
  return value->get<bool>();
}

std::optional<std::string> JsonFields::OptionalString(const char* key) const {
  const json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  Require(value->is_string(), "{}: expected a string, found {}", At(key), Shown(*value));
  return ForMessage(value->get_ref<const std::string&>());
}

std::optional<JsonFields> JsonFields::Object(const char* key) const {
  const json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  return JsonFields(*value, At(key), reads_, path_.empty() ? key : path_ + "." + key);
}

std::optional<std::vector<std::string>> JsonFields::Strings(const char* key) const {
  const json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  Require(value->is_array(), "{}: expected an array, found {}", At(key), Shown(*value));
  std::vector<std::string> strings;
  for (const json& item : *value) {
    Require(item.is_string(), "{}[{}]: expected a string, found {}", At(key), strings.size(), Shown(item));
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

std::vector<std::string> JsonFields::Keys() const {
  std::vector<std::string> keys;
  for (const auto& item : object_->items()) keys.push_back(item.key());
  return keys;
}

}  // namespace assay
