#include "engine/weights/gguf_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>

#include "engine/base/check.h"
#include "engine/text/foreign.h"

namespace assay {
namespace {

// Limits. Every count is also held against the bytes that are left, each entry having a smallest possible size.
constexpr std::uint64_t kMaxKeys = 65536, kMaxTensors = 1'000'000;
constexpr std::uint64_t kMaxKeyBytes = 65535, kMaxNameBytes = 63, kMaxStringBytes = 64u << 20;
constexpr std::uint64_t kMinKeyEntry = 8 + 1 + 4 + 1, kMinTensorEntry = 8 + 1 + 4 + 8 + 4 + 8;
constexpr std::uint64_t kDefaultAlignment = 32, kMaxAlignment = 1u << 20;
constexpr std::int64_t kMaxParts = 512;        // each holds a file descriptor
constexpr std::uint64_t kWindow = 256u << 10;  // bytes of the header held at once

constexpr std::array<std::string_view, 13> kTypeNames{"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                      "bool", "string", "array", "u64", "i64", "f64"};
constexpr std::array<std::uint64_t, 13> kTypeBytes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

std::string_view NameOf(GgufType type) { return kTypeNames[static_cast<std::size_t>(type)]; }
std::uint64_t BytesOf(GgufType type) { return kTypeBytes[static_cast<std::size_t>(type)]; }

// Types of ggml that exist but are not decoded here: worth a name in the message.
struct NamedId {
  std::uint32_t id;
  std::string_view name;
};
constexpr std::array<NamedId, 17> kUndecoded{{{16, "IQ2_XXS"},
                                              {17, "IQ2_XS"},
                                              {18, "IQ3_XXS"},
                                              {19, "IQ1_S"},
                                              {21, "IQ3_S"},
                                              {22, "IQ2_S"},
                                              {24, "I8"},
                                              {25, "I16"},
                                              {27, "I64"},
                                              {28, "F64"},
                                              {29, "IQ1_M"},
                                              {34, "TQ1_0"},
                                              {35, "TQ2_0"},
                                              {40, "NVFP4"},
                                              {41, "Q1_0"},
                                              {42, "Q2_0"},
                                              {4, "Q4_2 (removed from ggml)"}}};

std::string TypeMessage(std::uint32_t id) {
  for (const NamedId& named : kUndecoded)
    if (named.id == id) return fmt::format("{} (type {}), which is not supported", named.name, id);
  return fmt::format("unknown type {}", id);
}

}  // namespace

// Walks the header through a window that moves forward; every read is held against the file's end first.
class GgufFile::Cursor {
 public:
  explicit Cursor(const InputFile& file) : file_(file) {}

  std::uint64_t position() const { return at_; }
  std::uint64_t left() const { return file_.size() - at_; }

  template <class T>
  T Read(std::string_view what) {
    T value;
    std::memcpy(&value, Bytes(sizeof(T), what), sizeof(T));
    return value;
  }

  // Length-prefixed text without control characters; `limit` bounds it before it is copied.
  std::string Name(std::uint64_t limit, std::string_view what) {
    const auto length = Read<std::uint64_t>(what);
    Require(length >= 1 && length <= limit, "{}: byte {}: {} of {} bytes: expected 1 to {}", file_.path(), at_ - 8,
            what, length, limit);
    const auto* text = reinterpret_cast<const char*>(Bytes(length, what));
    std::string name(text, length);
    for (const char c : name)
      Require(c >= 0x20 && c < 0x7f, "{}: byte {}: {} '{}' has a character that is not printable ASCII", file_.path(),
              at_ - length, what, ForMessage(name));
    return name;
  }

  void Skip(std::uint64_t bytes, std::string_view what) {
    Need(bytes, what);
    at_ += bytes;
  }

  // Checks one string value and moves past it.
  void SkipString(std::string_view what) {
    const auto length = Read<std::uint64_t>(what);
    Require(length <= kMaxStringBytes, "{}: byte {}: {}: string of {} bytes, at most {} are accepted", file_.path(),
            at_ - 8, what, length, kMaxStringBytes);
    Skip(length, what);
  }

 private:
  void Need(std::uint64_t bytes, std::string_view what) const {
    Require(bytes <= left(), "{}: truncated: {} needs {} bytes at byte {}, the file ends at {}", file_.path(), what,
            bytes, at_, file_.size());
  }

  // `bytes` contiguous bytes at the position, which moves past them.
  const std::byte* Bytes(std::uint64_t bytes, std::string_view what) {
    Need(bytes, what);
    if (at_ < begin_ || at_ + bytes > begin_ + window_.size()) {
      begin_ = at_;
      window_.resize(std::min(std::max(bytes, kWindow), left()));
      file_.Read(window_, begin_, "header");
    }
    const std::byte* found = window_.data() + (at_ - begin_);
    at_ += bytes;
    return found;
  }

  const InputFile& file_;
  std::uint64_t at_ = 0, begin_ = 0;
  std::vector<std::byte> window_;
};

GgufFile::GgufFile(const std::string& path) : GgufFile(path, 0) { JoinParts(); }

std::size_t GgufFile::PartCount() const {
  if (Value("split.count") == nullptr) return 1;
  const std::int64_t count = Integers("split.count", 1)[0];
  Require(count >= 0 && count <= kMaxParts, "{}: key 'split.count': expected 0 to {}, found {}", path(), kMaxParts,
          count);
  return static_cast<std::size_t>(std::max<std::int64_t>(count, 1));
}

void GgufFile::JoinParts() {
  const std::size_t count = PartCount();
  if (count == 1) return;
  const auto number = [&](const GgufFile& file) {
    return file.Value("split.no") == nullptr ? -1 : file.Integers("split.no", 1)[0];
  };
  const std::string ending = fmt::format("-00001-of-{:05}.gguf", count);
  Require(number(*this) == 0 && path().ends_with(ending),
          "{}: one part of a model split into {}: open the first part, whose name ends in {}, or join the parts first "
          "(llama-gguf-split --merge)",
          path(), count, ending);
  const std::string stem = path().substr(0, path().size() - ending.size());
  for (std::size_t part = 1; part < count; ++part) {
    const GgufFile next(fmt::format("{}-{:05}-of-{:05}.gguf", stem, part + 1, count), part);
    Require(next.PartCount() == count && number(next) == static_cast<std::int64_t>(part),
            "{}: expected part {} of {}, found split.no {} and split.count {}", next.path(), part, count, number(next),
            next.PartCount());
    parts_.push_back(next.file_);
    for (const GgufTensor& tensor : next.tensors_) {
      Require(tensor_index_.emplace(tensor.name, tensors_.size()).second, "{}: tensor '{}' is in an earlier part too",
              next.path(), tensor.name);
      tensors_.push_back(tensor);
    }
  }
  if (Value("split.tensors.count") == nullptr) return;
  const std::int64_t stated = Integers("split.tensors.count", 1)[0];
  Require(stated == static_cast<std::int64_t>(tensors_.size()), "{}: split.tensors.count is {}, the parts hold {}",
          path(), stated, tensors_.size());
}

GgufFile::GgufFile(const std::string& path, std::size_t part) : file_(InputFile::Open(path)), parts_{file_} {
  Cursor in(*file_);
  const auto magic = in.Read<std::uint32_t>("magic");
  Require(magic == 0x46554747u, "{}: not a GGUF file: expected it to begin with 'GGUF', found {:08x}", path, magic);
  const auto version = in.Read<std::uint32_t>("version");
  Require((version & 0xffffu) != 0, "{}: big-endian GGUF (version word {:08x}): only little-endian files are read",
          path, version);
  Require(version == 2 || version == 3, "{}: GGUF version {}: versions 2 and 3 are read", path, version);
  const auto tensor_count = in.Read<std::uint64_t>("tensor count");
  const auto key_count = in.Read<std::uint64_t>("key count");
  Require(key_count <= kMaxKeys && key_count <= in.left() / kMinKeyEntry,
          "{}: {} metadata keys: at most {} are accepted, and {} bytes are left", path, key_count, kMaxKeys, in.left());
  for (std::uint64_t i = 0; i < key_count; ++i) {
    const std::string key = in.Name(kMaxKeyBytes, "metadata key");
    ReadValue(in, key);
  }
  const std::uint64_t least = PartCount() > 1 ? 0 : 1;  // the first part of a split may hold metadata alone
  Require(tensor_count >= least && tensor_count <= kMaxTensors && tensor_count <= in.left() / kMinTensorEntry,
          "{}: {} tensors: expected 1 to {}, and {} bytes are left", path, tensor_count, kMaxTensors, in.left());
  tensors_.reserve(tensor_count);
  for (std::uint64_t i = 0; i < tensor_count; ++i) ReadTensor(in, i);
  for (GgufTensor& tensor : tensors_) tensor.part = part;
  PlaceTensors(in.position());
}

void GgufFile::ReadValue(Cursor& in, const std::string& key) {
  const auto known = [&](std::uint32_t type) {
    Require(type < kTypeNames.size(), "{}: key '{}': unknown value type {}", path(), ForMessage(key), type);
    return static_cast<GgufType>(type);
  };
  const std::string what = fmt::format("key '{}'", ForMessage(key));
  GgufValue value;
  value.type = known(in.Read<std::uint32_t>(what));
  if (value.type == GgufType::kArray) {
    value.is_array = true;
    value.type = known(in.Read<std::uint32_t>(what));
    value.count = in.Read<std::uint64_t>(what);
    Require(value.type != GgufType::kArray, "{}: {}: arrays of arrays are not accepted", path(), what);
    const std::uint64_t smallest = value.type == GgufType::kString ? 8 : BytesOf(value.type);
    Require(value.count <= in.left() / smallest,
            "{}: {}: truncated: an array of {} {} does not fit into the {} bytes left", path(), what, value.count,
            NameOf(value.type), in.left());
  }
  value.offset = in.position();
  const auto [at, fresh] = values_.emplace(key, value);
  Require(fresh, "{}: {} occurs twice", path(), what);
  if (value.type == GgufType::kString) {
    for (std::uint64_t i = 0; i < value.count; ++i) in.SkipString(what);
  } else if (value.type == GgufType::kBool) {
    for (std::uint64_t i = 0; i < value.count; ++i) {
      const auto byte = in.Read<std::uint8_t>(what);
      Require(byte <= 1, "{}: {}: element {}: a bool must be 0 or 1, found {}", path(), what, i, byte);
    }
  } else {
    in.Skip(value.count * BytesOf(value.type), what);
  }
}

void GgufFile::ReadTensor(Cursor& in, std::uint64_t index) {
  GgufTensor tensor;
  tensor.name = in.Name(kMaxNameBytes, "tensor name");
  const std::string what = fmt::format("tensor '{}'", tensor.name);
  const auto rank = in.Read<std::uint32_t>(what);
  Require(rank >= 1 && rank <= tensor.dims.size(), "{}: {}: expected 1 to 4 dimensions, found {}", path(), what, rank);
  tensor.rank = static_cast<int>(rank);
  std::int64_t rows = 1;
  for (std::uint32_t d = 0; d < rank; ++d) {
    const auto dim = in.Read<std::uint64_t>(what);
    Require(dim >= 1 && dim <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()),
            "{}: {}: dimension {} must be at least 1, found {}", path(), what, d, static_cast<std::int64_t>(dim));
    tensor.dims[d] = static_cast<std::int64_t>(dim);
    Require(d == 0 || !__builtin_mul_overflow(rows, tensor.dims[d], &rows),
            "{}: {}: the product of its dimensions overflows", path(), what);
  }
  const auto type = in.Read<std::uint32_t>(what);
  const std::optional<DType> known = DTypeFromGgml(type);
  Require(known.has_value(), "{}: {}: {}", path(), what, TypeMessage(type));
  tensor.type = *known;
  try {
    tensor.bytes = StoredBytes(tensor.type, rows, tensor.dims[0]);
  } catch (const InputError& error) {
    Throw<>("{}: {}: {}", path(), what, error.what());
  }
  tensor.offset = in.Read<std::uint64_t>(what);
  Require(tensor_index_.emplace(tensor.name, index).second, "{}: {} occurs twice", path(), what);
  tensors_.push_back(std::move(tensor));
}

void GgufFile::PlaceTensors(std::uint64_t header_end) {
  std::uint64_t alignment = kDefaultAlignment;
  if (Value("general.alignment") != nullptr) {
    const std::int64_t stated = Integers("general.alignment", 1)[0];
    alignment = stated > 0 ? static_cast<std::uint64_t>(stated) : 0;
    Require(std::has_single_bit(alignment) && alignment <= kMaxAlignment,
            "{}: key 'general.alignment': expected a power of two up to {}, found {}", path(), kMaxAlignment, stated);
  }
  data_start_ = (header_end + alignment - 1) / alignment * alignment;
  if (tensors_.empty()) data_start_ = header_end;  // nothing follows that would need padding
  Require(data_start_ <= file_->size(), "{}: truncated: the data starts at byte {}, the file ends at {}", path(),
          data_start_, file_->size());
  const std::uint64_t data_bytes = file_->size() - data_start_;
  std::vector<const GgufTensor*> order;
  order.reserve(tensors_.size());
  for (GgufTensor& tensor : tensors_) {
    Require(tensor.offset % alignment == 0, "{}: tensor '{}': offset {} is not a multiple of the alignment {}", path(),
            tensor.name, tensor.offset, alignment);
    // The last tensor's padding may be missing: its own bytes must be there.
    Require(tensor.offset <= data_bytes && tensor.bytes <= data_bytes - tensor.offset,
            "{}: tensor '{}': {} bytes at offset {} leave the data section of {} bytes", path(), tensor.name,
            tensor.bytes, tensor.offset, data_bytes);
    tensor.offset += data_start_;
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
  for (std::size_t i = 1; i < order.size(); ++i)
    Require(order[i - 1]->offset + order[i - 1]->bytes <= order[i]->offset,
            "{}: tensors '{}' and '{}' overlap at byte {}", path(), order[i - 1]->name, order[i]->name,
            order[i]->offset);
}

const GgufTensor* GgufFile::Find(std::string_view name) const {
  const auto found = tensor_index_.find(std::string(name));
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

const GgufTensor& GgufFile::Tensor(std::string_view name) const {
  const GgufTensor* found = Find(name);
  Require(found != nullptr, "{}: tensor '{}' is missing", path(), name);
  return *found;
}

const GgufValue* GgufFile::Value(std::string_view key) const {
  const auto found = values_.find(std::string(key));
  if (found == values_.end()) return nullptr;
  read_.insert(found->first);
  return &found->second;
}

std::vector<std::string> GgufFile::Keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : values_) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  return keys;
}

const GgufValue& GgufFile::Bounded(std::string_view key, std::uint64_t limit) const {
  const GgufValue* value = Value(key);
  Require(value != nullptr, "{}: metadata key '{}' is missing", path(), key);
  Require(value->count >= 1 && value->count <= limit, "{}: key '{}': expected 1 to {} elements, found {}", path(), key,
          limit, value->count);
  return *value;
}

namespace {

template <class To, class From>
std::vector<To> ReadAs(const GgufFile& file, const GgufValue& value, std::string_view key) {
  std::vector<From> stored(value.count);
  file.file().Read(std::as_writable_bytes(std::span(stored)), value.offset, key);
  std::vector<To> out;
  out.reserve(stored.size());
  for (const From element : stored) {
    if constexpr (std::is_same_v<From, std::uint64_t> && std::is_same_v<To, std::int64_t>)
      Require(element <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()),
              "{}: key '{}': {} is out of range", file.path(), key, element);
    out.push_back(static_cast<To>(element));
  }
  return out;
}

template <class To>
std::optional<std::vector<To>> ReadIntegers(const GgufFile& file, const GgufValue& value, std::string_view key) {
  switch (value.type) {
    case GgufType::kU8:
    case GgufType::kBool:
      return ReadAs<To, std::uint8_t>(file, value, key);
    case GgufType::kI8:
      return ReadAs<To, std::int8_t>(file, value, key);
    case GgufType::kU16:
      return ReadAs<To, std::uint16_t>(file, value, key);
    case GgufType::kI16:
      return ReadAs<To, std::int16_t>(file, value, key);
    case GgufType::kU32:
      return ReadAs<To, std::uint32_t>(file, value, key);
    case GgufType::kI32:
      return ReadAs<To, std::int32_t>(file, value, key);
    case GgufType::kU64:
      return ReadAs<To, std::uint64_t>(file, value, key);
    case GgufType::kI64:
      return ReadAs<To, std::int64_t>(file, value, key);
    default:
      return std::nullopt;
  }
}

}  // namespace

std::vector<std::int64_t> GgufFile::Integers(std::string_view key, std::uint64_t limit) const {
  const GgufValue& value = Bounded(key, limit);
  const auto integers = ReadIntegers<std::int64_t>(*this, value, key);
  Require(integers.has_value(), "{}: key '{}': expected an integer, found {}", path(), key, NameOf(value.type));
  return *integers;
}

std::vector<double> GgufFile::Reals(std::string_view key, std::uint64_t limit) const {
  const GgufValue& value = Bounded(key, limit);
  if (value.type == GgufType::kF32) return ReadAs<double, float>(*this, value, key);
  if (value.type == GgufType::kF64) return ReadAs<double, double>(*this, value, key);
  const auto integers = ReadIntegers<double>(*this, value, key);
  Require(integers.has_value(), "{}: key '{}': expected a number, found {}", path(), key, NameOf(value.type));
  return *integers;
}

std::string GgufFile::String(std::string_view key) const {
  const GgufValue& value = Bounded(key, 1);
  Require(value.type == GgufType::kString && !value.is_array, "{}: key '{}': expected a string, found {}", path(), key,
          value.is_array ? "an array" : NameOf(value.type));
  std::uint64_t length = 0;
  file_->Read(std::as_writable_bytes(std::span(&length, 1)), value.offset, key);
  std::string text(length, '\0');
  file_->Read(std::as_writable_bytes(std::span(text)), value.offset + sizeof length, key);
  return text;
}

}  // namespace assay
