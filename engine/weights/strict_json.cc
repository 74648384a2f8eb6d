#include "engine/weights/strict_json.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/weights/input_file.h"

namespace assay {
namespace {

using nlohmann::json;

// Builds the document event by event: the library's own builder keeps the last of duplicate keys and has no limits.
class Builder final : public nlohmann::json_sax<json> {
 public:
  Builder(const std::string& where, const JsonLimits& limits) : where_(where), limits_(limits) {}

  json Take() { return std::move(root_); }

  bool null() override { return Put(json(nullptr)) != nullptr; }
  bool boolean(bool value) override { return Put(json(value)) != nullptr; }
  bool number_integer(number_integer_t value) override { return Put(json(value)) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return Put(json(value)) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override { return Put(json(value)) != nullptr; }
  bool string(string_t& value) override { return Put(json(std::move(value))) != nullptr; }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Open(json::object()); }
  bool start_array(std::size_t) override { return Open(json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    Require(!open_.back()->contains(name), "{}: key '{}' appears twice in one object", where_, ShortComplaint(name));
    key_ = std::move(name);
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    Throw("{}: not valid JSON: {}", where_, ShortComplaint(error.what()));
  }

 private:
  json* Put(json value) {
    Require(++values_ <= limits_.values, "{}: more than {} JSON values", where_, limits_.values);
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }
  bool Open(json container) {
    Require(open_.size() < limits_.depth, "{}: JSON nested deeper than {} levels", where_, limits_.depth);
    open_.push_back(Put(std::move(container)));
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  const std::string& where_;
  const JsonLimits& limits_;
  json root_;
  std::vector<json*> open_;  // the innermost last; only the innermost one grows, so the pointers stay good
  std::string key_;
  std::size_t values_ = 0;
};

}  // namespace

std::string ShortComplaint(std::string_view complaint) {
  constexpr std::size_t kLongest = 160;
  std::string text;
  for (const signed char c : complaint.substr(0, kLongest)) text += c < 0x20 || c == 0x7f ? '?' : static_cast<char>(c);
  return complaint.size() > kLongest ? text + "..." : text;
}

json ParseJson(std::string_view text, const std::string& where, const JsonLimits& limits) {
  Require(text.size() <= limits.bytes, "{}: {} bytes of JSON, at most {} are accepted", where, text.size(),
          limits.bytes);
  Builder builder(where, limits);
  Require(json::sax_parse(text.begin(), text.end(), &builder), "{}: not valid JSON", where);
  return builder.Take();
}

json ReadJsonFile(const std::string& path, const JsonLimits& limits) {
  const auto file = InputFile::Open(path);
  Require(file->size() <= limits.bytes, "{}: {} bytes, at most {} are accepted", path, file->size(), limits.bytes);
  std::string text(static_cast<std::size_t>(file->size()), '\0');
  file->Read(std::as_writable_bytes(std::span(text.data(), text.size())), 0, "text");
  return ParseJson(text, path, limits);
}

}  // namespace assay
