// Typed access to the keys of one JSON object of a configuration file; an absent key and null mean the same. For .cc
// files of this room.
#pragma once

#include <climits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace assay {

// Every getter throws InputError naming file, key, expected and found when the value has the wrong type or leaves the
// range. `object` must outlive the fields.
class JsonFields {
 public:
  JsonFields(const nlohmann::json& object, std::string where);  // throws unless `object` is an object

  const std::string& where() const { return where_; }  // "dir/config.json: text_config"
  std::string At(const char* key) const;               // where() + ": key", for messages
  bool Has(const char* key) const;                     // present and not null
  bool Mentions(const char* key) const;                // present, even as null
  bool IsString(const char* key) const;

  std::optional<int> OptionalInt(const char* key, int low, int high = INT_MAX) const;
  int Int(const char* key, int low, int high = INT_MAX) const;  // required
  int Int(const char* key, int low, int high, int otherwise) const {
    return OptionalInt(key, low, high).value_or(otherwise);
  }
  double Number(const char* key, double otherwise) const;  // finite
  bool Bool(const char* key, bool otherwise) const;
  std::optional<std::string> OptionalString(const char* key) const;
  std::optional<JsonFields> Object(const char* key) const;
  std::optional<std::vector<std::string>> Strings(const char* key) const;
  std::vector<std::string> Keys() const;

 private:
  const nlohmann::json* Find(const char* key) const;  // null when absent or JSON null
  const nlohmann::json* object_;
  std::string where_;
};

}  // namespace assay
