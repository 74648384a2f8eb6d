#include "engine/testing/gguf_image.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "engine/base/quant.h"
#include "engine/testing/scratch_folder.h"

namespace assay {
namespace {

constexpr std::uint32_t kString = 8, kArray = 9;

struct Source {
  const std::string& bytes;
  std::size_t at = 0;
  template <class T>
  T Number() {
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof(T));
    at += sizeof(T);
    return value;
  }
  std::string Text() {
    const auto length = Number<std::uint64_t>();
    at += length;
    return bytes.substr(at - length, length);
  }
  void SkipValue(std::uint32_t type) {
    constexpr std::size_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == kString) {
      Text();
    } else if (type == kArray) {
      const auto element = Number<std::uint32_t>();
      const auto count = Number<std::uint64_t>();
      for (std::uint64_t i = 0; i < count; ++i) SkipValue(element);
    } else {
      at += kBytes[type];
    }
  }
};

template <class T>
std::string Raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string RawText(const std::string& text) { return Raw<std::uint64_t>(text.size()) + text; }

std::string RawNumber(std::uint32_t type, double value) {
  switch (type) {
    case 0:
      return Raw(static_cast<std::uint8_t>(value));
    case 1:
      return Raw(static_cast<std::int8_t>(value));
    case 2:
      return Raw(static_cast<std::uint16_t>(value));
    case 3:
      return Raw(static_cast<std::int16_t>(value));
    case 4:
      return Raw(static_cast<std::uint32_t>(value));
    case 5:
      return Raw(static_cast<std::int32_t>(value));
    case 6:
      return Raw(static_cast<float>(value));
    case 7:
      return Raw(static_cast<std::uint8_t>(value));
    case 10:
      return Raw(static_cast<std::uint64_t>(value));
    case 11:
      return Raw(static_cast<std::int64_t>(value));
    case 12:
      return Raw(value);
    default:
      throw std::logic_error("not a number type");
  }
}

template <class Items, class Name>
auto& Named(Items& items, const std::string& name, Name of) {
  const auto found = std::find_if(items.begin(), items.end(), [&](const auto& item) { return of(item) == name; });
  if (found == items.end()) throw std::logic_error("no '" + name + "' in the image");
  return *found;
}

}  // namespace

GgufImage GgufImage::Read(const std::string& path) {
  const std::string bytes = BytesOfFile(path);
  Source in{bytes, 4};
  GgufImage image;
  image.version = in.Number<std::uint32_t>();
  const auto tensors = in.Number<std::uint64_t>(), fields = in.Number<std::uint64_t>();
  for (std::uint64_t i = 0; i < fields; ++i) {
    Field field{in.Text(), in.Number<std::uint32_t>(), {}};
    const std::size_t begin = in.at;
    in.SkipValue(field.type);
    field.payload = bytes.substr(begin, in.at - begin);
    if (field.key == "general.alignment") std::memcpy(&image.alignment, field.payload.data(), field.payload.size());
    image.fields.push_back(std::move(field));
  }
  std::vector<std::uint64_t> offsets;
  for (std::uint64_t i = 0; i < tensors; ++i) {
    Tensor tensor{in.Text(), {}, 0, {}, {}};
    tensor.dims.resize(in.Number<std::uint32_t>());
    for (std::uint64_t& dim : tensor.dims) dim = in.Number<std::uint64_t>();
    tensor.type = in.Number<std::uint32_t>();
    offsets.push_back(in.Number<std::uint64_t>());
    image.tensors.push_back(std::move(tensor));
  }
  const std::size_t data = (in.at + image.alignment - 1) / image.alignment * image.alignment;
  for (std::size_t i = 0; i < image.tensors.size(); ++i) {
    Tensor& tensor = image.tensors[i];
    std::uint64_t rows = 1;
    for (std::size_t d = 1; d < tensor.dims.size(); ++d) rows *= tensor.dims[d];
    const std::size_t count = StoredBytes(DTypeFromGgml(tensor.type).value(), static_cast<std::int64_t>(rows),
                                          static_cast<std::int64_t>(tensor.dims[0]));
    tensor.data = bytes.substr(data + offsets[i], count);
  }
  return image;
}

std::string GgufImage::Bytes(std::vector<std::size_t>* boundaries) const {
  std::string out = "GGUF";
  const auto put = [&](const std::string& raw) {
    out += raw;
    if (boundaries != nullptr) boundaries->push_back(out.size());
  };
  if (boundaries != nullptr) *boundaries = {4};
  put(Raw(version));
  put(Raw<std::uint64_t>(tensor_count.value_or(tensors.size())));
  put(Raw<std::uint64_t>(field_count.value_or(fields.size())));
  for (const Field& field : fields) {
    put(Raw<std::uint64_t>(field.key.size()));
    put(field.key);
    put(Raw(field.type));
    if (field.type == kArray || field.type == kString) {
      const std::size_t head = field.type == kArray ? 12 : 8;
      put(field.payload.substr(0, head));
      put(field.payload.substr(head));
    } else {
      put(field.payload);
    }
  }
  const auto align = [&](std::uint64_t at) { return (at + alignment - 1) / alignment * alignment; };
  std::uint64_t next = 0;
  for (const Tensor& tensor : tensors) {
    put(Raw<std::uint64_t>(tensor.name.size()));
    put(tensor.name);
    put(Raw(static_cast<std::uint32_t>(tensor.dims.size())));
    for (const std::uint64_t dim : tensor.dims) put(Raw(dim));
    put(Raw(tensor.type));
    put(Raw(tensor.offset.value_or(next)));
    next = align(next + tensor.data.size());
  }
  out.resize(align(out.size()));
  if (boundaries != nullptr) boundaries->push_back(out.size());
  const std::size_t data = out.size();
  for (const Tensor& tensor : tensors) {
    out.resize(data + align(out.size() - data));
    out += tensor.data;
  }
  return out;
}

GgufImage::Field& GgufImage::At(const std::string& key) {
  return Named(fields, key, [](const Field& field) { return field.key; });
}

GgufImage::Tensor& GgufImage::TensorAt(const std::string& name) {
  return Named(tensors, name, [](const Tensor& tensor) { return tensor.name; });
}

void GgufImage::Drop(const std::string& name) {
  std::erase_if(fields, [&](const Field& field) { return field.key == name; });
  std::erase_if(tensors, [&](const Tensor& tensor) { return tensor.name == name; });
}

void GgufImage::Set(const std::string& key, std::uint32_t type, const std::vector<double>& values, bool array) {
  std::string payload = array ? Raw(type) + Raw<std::uint64_t>(values.size()) : "";
  for (const double value : values) payload += RawNumber(type, value);
  Drop(key);
  fields.push_back({key, array ? kArray : type, payload});
}

void GgufImage::SetString(const std::string& key, const std::string& value) {
  Drop(key);
  fields.push_back({key, kString, RawText(value)});
}

void GgufImage::SetStrings(const std::string& key, const std::vector<std::string>& values) {
  std::string payload = Raw(kString) + Raw<std::uint64_t>(values.size());
  for (const std::string& value : values) payload += RawText(value);
  Drop(key);
  fields.push_back({key, kArray, payload});
}

void GgufImage::Convert(const std::string& name, DType type) {
  Tensor& tensor = TensorAt(name);
  std::vector<float> values(tensor.data.size() / sizeof(float));
  std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  const auto cols = static_cast<std::int64_t>(tensor.dims[0]), count = static_cast<std::int64_t>(values.size());
  tensor.data.resize(StoredBytes(type, count / cols, cols));
  QuantiseRow(type, values.data(), reinterpret_cast<std::byte*>(tensor.data.data()), count);
  tensor.type = static_cast<std::uint32_t>(Info(type).ggml_id);
}

void GgufImage::Rename(const std::string& architecture) {
  const std::string old = At("general.architecture").payload.substr(8) + ".";
  for (Field& field : fields)
    if (field.key.starts_with(old)) field.key = architecture + "." + field.key.substr(old.size());
  SetString("general.architecture", architecture);
}

}  // namespace assay
