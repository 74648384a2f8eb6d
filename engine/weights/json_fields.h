// Typed access to the keys of one JSON object of a configuration file; an absent key and null mean the same. For .cc
// files of this room.
#pragma once

#include <climits>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

// Every getter throws InputError naming file, key, expected and found when the value has the wrong type or leaves the
// range. `object` must outlive the fields.
class JsonFields {
 public:
  // Throws unless `object` is an object. `reads` collects the paths of the keys that were asked for
  // ("text_config.vocab_size"), because what nobody asks for must be explained or refused (unread_keys.h).
  using Reads = std::shared_ptr<std::set<std::string>>;
  JsonFields(const nlohmann::json& object, std::string where, Reads reads = {}, std::string path = "");

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
  const nlohmann::json& object() const { return *object_; }
  const std::string& path() const { return path_; }  // of this object in its document; empty at the top

 private:
  const nlohmann::json* Find(const char* key) const;  // null when absent or JSON null
  void Note(const char* key) const;
  const nlohmann::json* object_;
  std::string where_;
  Reads reads_;
  std::string path_;
};

}  // namespace assay
