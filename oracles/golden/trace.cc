#include "oracles/golden/trace.h"

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/base/check.h"
#include "engine/base/quant.h"
#include "engine/text/foreign.h"
#include "engine/weights/safetensors.h"
#include "engine/weights/strict_json.h"

namespace assay {
namespace {

static_assert(std::endian::native == std::endian::little, "recorded values are read as they lie in the file");

// A recorded trace larger than this is not one: 2^31 bytes of logits are 2000 rows of the largest vocabulary.
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 31;
constexpr JsonLimits kJsonLimits{.bytes = std::size_t{1} << 29, .depth = 8};

// The tensors of one safetensors file, each read with the type and shape its part must have.
class TensorReader {
 public:
  TensorReader(const std::string& path, int vocab) : file_(path), vocab_(vocab) {}

  const SafetensorsFile& file() const { return file_; }
  const std::string& path() const { return file_.file().path(); }
  DType stored() const { return stored_; }  // of the logits read so far, the narrowest

  // [n], or nothing when absent. `expected` 0: any n >= 1.
  std::vector<std::int32_t> Ints(const std::string& key, std::size_t expected) const {
    const SafetensorsEntry* entry = Find(key, {"I32", "I64"}, 1);
    if (entry == nullptr) return {};
    const auto n = static_cast<std::size_t>(entry->shape[0]);
    Require(n >= 1 && (expected == 0 || n == expected), "{}: {}: expected [{}], found [{}]", path(), key,
            expected == 0 ? "n >= 1" : std::to_string(expected), n);
    if (entry->type_name == "I32") return Read<std::int32_t>(*entry);
    // PyTorch's default for tokens.
    std::vector<std::int32_t> values;
    for (const std::int64_t value : Read<std::int64_t>(*entry)) {
      Require(value >= 0 && value < (1 << 24), "{}: {}: element {} is {}", path(), key, values.size(), value);
      values.push_back(static_cast<std::int32_t>(value));
    }
    return values;
  }

  // Values of `rank` dimensions, which are written to `shape`; nothing when absent.
  std::vector<float> Floats(const std::string& key, std::size_t rank, std::vector<std::int64_t>& shape) const {
    const SafetensorsEntry* entry = Find(key, {"F32", "F16", "BF16"}, rank);
    if (entry == nullptr) return {};
    shape = entry->shape;
    std::vector<float> values(entry->bytes / Info(*entry->type).bytes);
    const std::vector<std::byte> stored = Read<std::byte>(*entry);
    if (!values.empty())
      DequantiseRow(*entry->type, stored.data(), values.data(), static_cast<std::int64_t>(values.size()));
    if (key.starts_with("logits.") || key.starts_with("greedy_logits.")) {
      if (entry->type != DType::kF32) stored_ = *entry->type;
      KeepColumns(values, shape);
    }
    for (std::size_t i = 0; i < values.size(); ++i)
      Require(std::isfinite(values[i]), "{}: {}: element {} is {}: recorded values must be finite", path(), key, i,
              values[i]);
    return values;
  }

 private:
  const SafetensorsEntry* Find(const std::string& key, std::initializer_list<std::string_view> types,
                               std::size_t rank) const {
    const SafetensorsEntry* entry = file_.Find(key);
    if (entry == nullptr) return nullptr;
    Require(std::find(types.begin(), types.end(), entry->type_name) != types.end(),
            "{}: {}: expected type {}, found {}", path(), key, fmt::join(types, " or "), entry->type_name);
    Require(entry->shape.size() == rank, "{}: {}: expected {} dimensions, found {}", path(), key, rank,
            entry->shape.size());
    Require(entry->bytes <= kMostBytes, "{}: {}: {} bytes are more than the {} a recorded trace may have", path(), key,
            entry->bytes, kMostBytes);
    return entry;
  }

  template <class T>
  std::vector<T> Read(const SafetensorsEntry& entry) const {
    std::vector<T> values(entry.bytes / sizeof(T));
    file_.file().Read(std::as_writable_bytes(std::span(values)), entry.offset, entry.name);
    return values;
  }

  // Drops the columns that are declared as padding.
  void KeepColumns(std::vector<float>& values, std::vector<std::int64_t>& shape) const {
    if (vocab_ == 0 || shape[1] <= vocab_) return;
    const std::int64_t width = shape[1];
    for (std::int64_t row = 0; row < shape[0]; ++row)
      std::copy_n(values.begin() + row * width, vocab_, values.begin() + row * vocab_);
    values.resize(static_cast<std::size_t>(shape[0] * vocab_));
    shape[1] = vocab_;
  }

  SafetensorsFile file_;
  int vocab_;
  mutable DType stored_ = DType::kF32;
};

void RequireVocabulary(const std::string& file, const std::string& key, std::int64_t found, int& vocab) {
  Require(found >= 1 && found <= (1 << 24), "{}: {}: a vocabulary of {}", file, key, found);
  if (vocab == 0) vocab = static_cast<int>(found);
  Require(found == vocab, "{}: {}: expected {} logits a row as in the rest of the file, found {}", file, key, vocab,
          found);
}

void RequireTokens(const std::string& file, const std::string& key, const std::vector<std::int32_t>& tokens,
                   int vocab) {
  for (std::size_t i = 0; i < tokens.size(); ++i)
    Require(tokens[i] >= 0 && tokens[i] < vocab, "{}: {}: element {} is {}, outside the vocabulary of {}", file, key, i,
            tokens[i], vocab);
}

void ReadTokens(GoldenSequence& s, int& vocab, const TensorReader& reader) {
  const auto key = [&](const char* part) { return fmt::format("{}.{}", part, s.name); };
  s.tokens = reader.Ints(key("tokens"), 0);
  if (s.tokens.empty()) {
    for (const char* part : {"logits", "answer_mask", "hidden"})
      Require(reader.file().Find(key(part)) == nullptr, "{}: {}: expected, because there is {}", reader.path(),
              key("tokens"), key(part));
    return;
  }
  std::vector<std::int64_t> shape;
  s.logits = reader.Floats(key("logits"), 2, shape);
  Require(!s.logits.empty(), "{}: {}: expected beside {}", reader.path(), key("logits"), key("tokens"));
  RequireVocabulary(reader.path(), key("logits"), shape[1], vocab);
  const auto length = static_cast<std::int64_t>(s.tokens.size());
  Require(shape[0] <= length, "{}: {}: expected at most {} rows, found {}", reader.path(), key("logits"), length,
          shape[0]);
  s.rows = static_cast<int>(shape[0]);
  s.answer = reader.Ints(key("answer_mask"), s.tokens.size());
  s.hidden_states = reader.Floats(key("hidden"), 3, shape);
  if (s.hidden_states.empty()) return;
  Require(shape[0] >= 2 && shape[1] == length, "{}: {}: expected [layers + 1, {}, hidden], found [{}, {}, {}]",
          reader.path(), key("hidden"), length, shape[0], shape[1], shape[2]);
  s.hidden_entries = static_cast<int>(shape[0]);
  s.hidden = static_cast<int>(shape[2]);
}

void ReadGreedy(GoldenSequence& s, int& vocab, const TensorReader& reader) {
  const std::string text = "greedy." + s.name, logits = "greedy_logits." + s.name;
  s.greedy = reader.Ints(text, 0);
  std::vector<std::int64_t> shape;
  s.greedy_logits = reader.Floats(logits, 2, shape);
  Require(s.greedy.empty() == s.greedy_logits.empty(), "{}: {} without {}", reader.path(),
          s.greedy.empty() ? logits : text, s.greedy.empty() ? text : logits);
  if (s.greedy.empty()) return;
  RequireVocabulary(reader.path(), logits, shape[1], vocab);
  Require(shape[0] < static_cast<std::int64_t>(s.greedy.size()),
          "{}: {}: expected fewer rows than the {} tokens of {}, found {}", reader.path(), logits, s.greedy.size(),
          text, shape[0]);
  s.greedy_steps = static_cast<int>(shape[0]);
}

// The number of "tokens.12"; throws for a name that is none of the layout's.
int SequenceNumber(const std::string& file, const std::string& name) {
  const std::size_t dot = name.find('.');
  int number = -1;
  bool known = false;
  for (const std::string_view part : {"tokens", "logits", "answer_mask", "hidden", "greedy", "greedy_logits"})
    known = known || std::string_view(name).substr(0, dot) == part;
  if (known && dot != std::string::npos) {
    const auto [end, error] = std::from_chars(name.data() + dot + 1, name.data() + name.size(), number);
    if (error != std::errc{} || end != name.data() + name.size()) number = -1;
  }
  Require(number >= 0, "{}: {}: expected tokens.i, logits.i, answer_mask.i, hidden.i, greedy.i or greedy_logits.i",
          file, ForMessage(name));
  return number;
}

GoldenTrace ReadSafetensors(const std::string& path, const GoldenOptions& options) {
  const TensorReader reader(path, options.vocab);
  std::map<int, GoldenSequence> sequences;
  for (const SafetensorsEntry& entry : reader.file().entries()) {
    const int number = SequenceNumber(path, entry.name);
    sequences[number].name = std::to_string(number);
    Require(entry.name.substr(entry.name.find('.') + 1) == sequences[number].name, "{}: {}: expected number {}", path,
            ForMessage(entry.name), number);
  }
  GoldenTrace trace{.file = path};
  for (auto& [number, sequence] : sequences) {
    ReadTokens(sequence, trace.vocab, reader);
    ReadGreedy(sequence, trace.vocab, reader);
    trace.sequences.push_back(std::move(sequence));
  }
  if (reader.stored() != DType::kF32)
    trace.precision = reader.stored() == DType::kF16 ? Precision::kFp16 : Precision::kBf16;
  return trace;
}

void TakeId(const nlohmann::json& id, const std::string& path, GoldenSequence* s) {
  Require(id.is_number_integer(), "{}: ids: element {} is not an integer", path, s->tokens.size());
  Require(id >= 0 && id < (1 << 24), "{}: ids: element {} is {}", path, s->tokens.size(), id.dump());
  s->tokens.push_back(id.get<std::int32_t>());
}

// `kept` columns of a row; 0: all.
void TakeRow(const nlohmann::json& row, const std::string& path, int kept, int* vocab, GoldenSequence* s) {
  Require(row.is_array(), "{}: logits: expected rows of numbers", path);
  const std::size_t padded = row.size(), wanted = static_cast<std::size_t>(kept);
  const std::size_t width = wanted > 0 && wanted < padded ? wanted : padded;
  RequireVocabulary(path, "logits", static_cast<std::int64_t>(width), *vocab);
  for (std::size_t column = 0; column < width; ++column) {
    const nlohmann::json& logit = row[column];
    Require(logit.is_number() && std::isfinite(logit.get<float>()), "{}: logits: element {} is not a finite number",
            path, s->logits.size());
    s->logits.push_back(logit.get<float>());
  }
  ++s->rows;
}

GoldenTrace ReadLogitsJson(const std::string& path, const GoldenOptions& options) {
  GoldenTrace trace{.file = path};
  GoldenSequence s{.name = "0"};
  // Element by element: a document of all logits would take many times the file.
  const auto take = [&](const nlohmann::json&, const std::string& member, const nlohmann::json& element) {
    if (member == "ids")
      TakeId(element, path, &s);
    else if (member == "logits")
      TakeRow(element, path, options.vocab, &trace.vocab, &s);
    return member == "ids" || member == "logits";
  };
  const nlohmann::json root = ParseJson(ReadJsonText(path, kJsonLimits), path, kJsonLimits, take);
  Require(root.is_object() && root.contains("ids") && root.contains("logits"),
          "{}: expected an object with ids and logits", path);
  Require(root["ids"].is_array() && !s.tokens.empty(), "{}: ids: expected a list of at least one token", path);
  Require(root["logits"].is_array() && s.rows >= 1 && s.rows <= static_cast<std::int64_t>(s.tokens.size()),
          "{}: logits: expected a list of 1 to {} rows, found {}", path, s.tokens.size(), s.rows);
  trace.sequences.push_back(std::move(s));
  return trace;
}

template <class Visit>
void EachRow(const GoldenTrace& trace, const Visit& visit) {
  for (const GoldenSequence& s : trace.sequences) {
    for (int row = 0; row < s.rows; ++row) visit(s.Logits(row, trace.vocab));
    for (int step = 0; step < s.greedy_steps; ++step) visit(s.GreedyLogits(step, trace.vocab));
  }
}

// The 16-bit type of which every logit is a number. Among many computed in float32 that does not happen.
Precision DetectedPrecision(const GoldenTrace& trace) {
  constexpr std::size_t kMany = 64;
  bool bf16 = true, fp16 = true;
  std::size_t values = 0;
  EachRow(trace, [&](std::span<const float> row) {
    for (const float value : row) {
      // Whole numbers are numbers of every type: made-up recordings hold them.
      if (value == std::round(value)) continue;
      ++values;
      bf16 = bf16 && (std::bit_cast<std::uint32_t>(value) & 0xffffu) == 0;
      fp16 = fp16 && (std::bit_cast<std::uint32_t>(value) & 0x1fffu) == 0 && std::abs(value) < 65536;
    }
  });
  if (values < kMany) return Precision::kFp32;
  return bf16 ? Precision::kBf16 : fp16 ? Precision::kFp16 : Precision::kFp32;
}

double LogSum(std::span<const double> row) {
  const double largest = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const double value : row) sum += std::exp(value - largest);
  return largest + std::log(sum);
}

bool HoldsLogProbabilities(const GoldenTrace& trace) {
  // A row of logits would sum to 1 by accident only; rounding of the recording moves the sum a little.
  const double allowed = trace.precision == Precision::kFp32 ? 1e-4 : 0.05;
  bool all = trace.vocab > 1;
  EachRow(trace, [&](std::span<const float> row) {
    if (all) all = std::abs(LogSum(std::vector<double>(row.begin(), row.end()))) <= allowed;
  });
  return all;
}

}  // namespace

void Normalise(std::span<double> row) {
  const double shift = LogSum(row);
  for (double& value : row) value -= shift;
}

GoldenTrace ReadGolden(const std::string& path, const GoldenOptions& options) {
  GoldenTrace trace = path.ends_with(".json") ? ReadLogitsJson(path, options) : ReadSafetensors(path, options);
  Require(!trace.sequences.empty(), "{}: no recorded sequence", path);
  for (const GoldenSequence& s : trace.sequences) {
    RequireTokens(path, path.ends_with(".json") ? "ids" : "tokens." + s.name, s.tokens, trace.vocab);
    RequireTokens(path, "greedy." + s.name, s.greedy, trace.vocab);
  }
  if (options.precision) {
    trace.precision = *options.precision;
  } else if (trace.precision == Precision::kFp32) {
    trace.precision = DetectedPrecision(trace);
  }
  trace.log_probabilities = HoldsLogProbabilities(trace);
  return trace;
}

}  // namespace assay
