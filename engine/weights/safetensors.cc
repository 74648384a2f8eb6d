#include "engine/weights/safetensors.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <unordered_set>

#include "engine/base/check.h"
#include "engine/text/foreign.h"
#include "engine/text/json.h"
#include "engine/weights/strict_json.h"

namespace assay {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxHeader = 100'000'000;
constexpr std::size_t kMaxDims = 8, kMaxName = 4096;
constexpr std::uint64_t kMaxExact = std::uint64_t{1} << 53;  // beyond it JSON readers disagree about integers

struct TypeRow {
  std::string_view name;
  std::uint64_t bits;
  std::optional<DType> type{};
};
constexpr TypeRow kTypes[] = {
    {"F32", 32, DType::kF32},
    {"F16", 16, DType::kF16},
    {"BF16", 16, DType::kBF16},
    {"I32", 32, DType::kI32},
    {"BOOL", 8},
    {"U8", 8},
    {"I8", 8},
    {"F8_E5M2", 8},
    {"F8_E4M3", 8},
    {"F8_E8M0", 8},
    {"F6_E2M3", 6},
    {"F6_E3M2", 6},
    {"F4", 4},
    {"I16", 16},
    {"U16", 16},
    {"U32", 32},
    {"F64", 64},
    {"I64", 64},
    {"U64", 64},
    {"C64", 64},
};

// Entries straight from the parser's events: a document tree would cost many times the header's size.
class HeaderReader final : public nlohmann::json_sax<json> {
 public:
  HeaderReader(const std::string& path, std::vector<SafetensorsEntry>& entries) : path_(path), entries_(entries) {}

  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a bool"); }
  bool number_integer(number_integer_t value) override { Throw("{}: {}: negative number {}", path_, Place(), value); }
  bool number_float(number_float_t value, const string_t&) override {
    Throw("{}: {}: expected an integer, found {}", path_, Place(), value);
  }
  bool binary(binary_t&) override { return false; }

  bool number_unsigned(number_unsigned_t value) override {
    if (!in_array_) return Unexpected("a number");
    Require(value <= kMaxExact, "{}: {}: number {} is beyond 2^53", path_, Place(), value);
    if (field_ == "shape") {
      Require(entry().shape.size() < kMaxDims, "{}: {}: more than {} dimensions", path_, Place(), kMaxDims);
      entry().shape.push_back(static_cast<std::int64_t>(value));
    } else {
      Require(offsets_ < 2, "{}: {}: expected two numbers, found more", path_, Place());
      (offsets_++ == 0 ? entry().offset : end_) = value;
    }
    return true;
  }

  bool string(string_t& value) override {
    if (in_metadata_ && depth_ == 2) return true;
    if (in_metadata_ || depth_ != 2 || field_ != "dtype") return Unexpected("a string");
    const auto found =
        std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeRow& row) { return row.name == value; });
    Require(found != std::end(kTypes), "{}: {}: unknown type '{}'", path_, Place(), ForMessage(value));
    entry().type_name = found->name;
    entry().type = found->type;
    bits_ = found->bits;
    return true;
  }

  bool start_object(std::size_t) override {
    if (depth_ >= 2 || in_array_) return Unexpected("an object");
    ++depth_;
    seen_ = {};
    offsets_ = 0;
    return true;
  }

  bool key(string_t& name) override {
    if (depth_ == 2) return Field(name);
    Require(!name.empty() && name.size() <= kMaxName, "{}: a tensor's name has {} bytes, expected 1..{}", path_,
            name.size(), kMaxName);
    in_metadata_ = name == "__metadata__";
    if (in_metadata_) {
      Require(!metadata_seen_, "{}: '__metadata__' appears twice", path_);
      metadata_seen_ = true;
      return true;
    }
    Require(names_.insert(name).second, "{}: tensor '{}' appears twice", path_, ForMessage(name));
    entries_.push_back({});
    entry().name = std::move(name);
    return true;
  }

  bool end_object() override {
    --depth_;
    if (depth_ == 1 && !in_metadata_) Finish();
    in_metadata_ = false;
    return true;
  }

  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_array_ || in_metadata_ || field_ == "dtype") return Unexpected("an array");
    return in_array_ = true;
  }
  bool end_array() override {
    in_array_ = false;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    Throw("{}: header is not valid JSON: {}", path_, ForMessage(error.what()));
  }

 private:
  SafetensorsEntry& entry() { return entries_.back(); }

  std::string Place() const {
    if (in_metadata_) return "'__metadata__'";
    if (depth_ == 0 || entries_.empty()) return "header";
    return fmt::format("tensor '{}'{}{}", ForMessage(entries_.back().name), depth_ == 2 ? ": " : "",
                       depth_ == 2 ? field_ : "");
  }
  bool Unexpected(const char* found) { Throw("{}: {}: unexpected {}", path_, Place(), found); }

  bool Field(const string_t& name) {
    if (in_metadata_) {
      Require(metadata_keys_.insert(name).second, "{}: '__metadata__': key '{}' appears twice", path_,
              ForMessage(name));
      return true;
    }
    static constexpr std::array<const char*, 3> kFields{"dtype", "shape", "data_offsets"};
    for (std::size_t f = 0; f < kFields.size(); ++f) {
      if (name != kFields[f]) continue;
      field_ = kFields[f];
      Require(!seen_[f], "{}: {} appears twice", path_, Place());
      return seen_[f] = true;
    }
    Throw("{}: tensor '{}': unknown key '{}'", path_, ForMessage(entry().name), ForMessage(name));
  }

  // Offsets stay relative to the data section here.
  void Finish() {
    field_ = "";
    Require(seen_[0] && seen_[1] && seen_[2] && offsets_ == 2,
            "{}: tensor '{}': needs dtype, shape and two data_offsets", path_, ForMessage(entry().name));
    std::uint64_t bits = bits_;
    for (const std::int64_t size : entry().shape)
      Require(!__builtin_mul_overflow(bits, static_cast<std::uint64_t>(size), &bits),
              "{}: tensor '{}': its size overflows 64 bits", path_, ForMessage(entry().name));
    Require(end_ >= entry().offset, "{}: tensor '{}': data_offsets end at {} before they begin at {}", path_,
            ForMessage(entry().name), end_, entry().offset);
    entry().bytes = end_ - entry().offset;
    Require(bits % 8 == 0 && bits / 8 == entry().bytes,
            "{}: tensor '{}': its shape needs {} bytes, data_offsets give {}", path_, ForMessage(entry().name),
            bits / 8, entry().bytes);
  }

  const std::string& path_;
  std::vector<SafetensorsEntry>& entries_;
  std::unordered_set<std::string> names_, metadata_keys_;
  int depth_ = 0;
  bool in_metadata_ = false, metadata_seen_ = false, in_array_ = false;
  std::string_view field_;
  std::array<bool, 3> seen_{};
  int offsets_ = 0;
  std::uint64_t end_ = 0, bits_ = 0;
};

std::uint64_t LittleWord(std::span<const std::byte, 8> bytes) {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) word |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  return word;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(InputFile::Open(path)) {
  Require(file_->size() >= 10, "{}: {} bytes are too few for a safetensors file", path, file_->size());
  std::array<std::byte, 8> word{};
  file_->Read(word, 0, "header length");
  const std::uint64_t length = LittleWord(word);
  Require(length <= kMaxHeader, "{}: header length {} is beyond the format's limit of {}", path, length, kMaxHeader);
  Require(length >= 2 && length <= file_->size() - 8, "{}: header length {} does not fit the file's {} bytes", path,
          length, file_->size());
  header_bytes_ = 8 + length;
  std::string text(static_cast<std::size_t>(length), '\0');
  file_->Read(std::as_writable_bytes(std::span(text.data(), text.size())), 8, "header");
  Require(text[0] == '{', "{}: the header does not begin with '{{'", path);
  HeaderReader reader(path, entries_);
  try {
    ReadJsonEvents(text, reader);
  } catch (const JsonError& error) {
    Throw("{}: header is {}", path, error.what());
  }
  CheckLayout();
  for (std::size_t i = 0; i < entries_.size(); ++i) by_name_.emplace(entries_[i].name, i);
}

void SafetensorsFile::CheckLayout() {
  std::sort(entries_.begin(), entries_.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
  });
  std::uint64_t at = 0;
  for (SafetensorsEntry& entry : entries_) {
    Require(entry.offset == at, "{}: tensor '{}': its data begins at {}, expected {} (no gaps, no overlap)",
            file_->path(), ForMessage(entry.name), entry.offset, at);
    at += entry.bytes;  // both are at most 2^53
    entry.offset += header_bytes_;
    Require(entry.offset + entry.bytes <= file_->size(), "{}: tensor '{}': its data ends at byte {}, the file at {}",
            file_->path(), ForMessage(entry.name), entry.offset + entry.bytes, file_->size());
  }
  Require(header_bytes_ + at == file_->size(), "{}: the tensors end at byte {}, the file at {}", file_->path(),
          header_bytes_ + at, file_->size());
}

const SafetensorsEntry* SafetensorsFile::Find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &entries_[found->second];
}

}  // namespace assay
