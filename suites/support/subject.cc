#include "suites/support/subject.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "engine/base/random.h"
#include "engine/ops/ops_factory.h"
#include "suites/support/embedded.h"

namespace assay {
namespace {

// Calibration sets: sessions x tokens. Small models get more rows for the quantile to mean something.
constexpr int kCalibrationSessions = 4;
constexpr int kCalibrationTokens = 32;
constexpr int kCalibrationStream = 1'000'000;  // streams no case uses

using ModelKey = std::pair<std::string, std::uint64_t>;
ModelKey KeyOf(const Subject& subject) { return {subject.model, subject.seed}; }

}  // namespace

std::string Subject::label() const {
  std::string text = model;
  // Of a path the last part is enough; embedded names need their folder to stay apart.
  const std::size_t slash = ResolveModel(model) == model ? text.find_last_of('/') : std::string::npos;
  if (slash != std::string::npos && slash + 1 < text.size()) text = text.substr(slash + 1);
  for (char& c : text)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return text + "_" + Name(precision) + (device == "host" ? "" : "_" + device);
}

const WeightStore& StoreOf(const Subject& subject) {
  static std::map<ModelKey, std::unique_ptr<WeightStore>> stores;
  std::unique_ptr<WeightStore>& store = stores[KeyOf(subject)];
  if (!store) store = OpenModel(ResolveModel(subject.model), subject.seed);
  return *store;
}

Stage::Stage(const Subject& subject, const EngineOptions& options)
    : ops_(MakeOps(subject.device, subject.precision)), engine_(std::make_unique<Engine>(StoreOf(subject), *ops_, options)) {}

SessionId Stage::Opened(std::span<const std::int32_t> tokens) {
  const SessionId session = engine_->Open();
  if (!tokens.empty()) engine_->Prefill(session, tokens, Want::kNone);
  return session;
}

Tokens MadeUpTokens(const Subject& subject, int stream, int length) {
  const int vocab = StoreOf(subject).spec().vocab;
  Tokens tokens(static_cast<std::size_t>(length));
  const std::uint64_t key = Mix64(subject.seed * 1'000'003u + static_cast<std::uint64_t>(stream) + 1);
  for (std::size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<std::int32_t>(RandomBits(key, i) % static_cast<std::uint64_t>(vocab));
  return tokens;
}

const std::vector<ReferenceStep>& ReferenceRows(const Subject& subject, const Tokens& tokens) {
  // One decoder per first-token stream would be enough for made-up sessions, but callers ask for prefixes of one another in any
  // order: extend the longest stream that is a prefix, or start anew.
  struct Stream {
    Tokens tokens;
    std::vector<ReferenceStep> rows;
    std::unique_ptr<ReferenceDecoder> decoder;
  };
  static std::map<ModelKey, std::unique_ptr<ReferenceDecoder>> decoders;
  static std::map<ModelKey, std::vector<std::unique_ptr<Stream>>> streams;
  std::unique_ptr<ReferenceDecoder>& origin = decoders[KeyOf(subject)];
  if (!origin) origin = MakeReference(StoreOf(subject));
  auto& known = streams[KeyOf(subject)];
  const auto common = [&](const Stream& stream) {
    return std::mismatch(stream.tokens.begin(), stream.tokens.end(), tokens.begin(), tokens.end()).second - tokens.begin();
  };
  auto found = std::find_if(known.begin(), known.end(), [&](const auto& stream) {
    return common(*stream) == static_cast<std::ptrdiff_t>(std::min(tokens.size(), stream->tokens.size()));
  });
  if (found == known.end()) found = known.insert(known.end(), std::make_unique<Stream>(Stream{{}, {}, origin->Fork()}));
  Stream& stream = **found;
  while (stream.tokens.size() < tokens.size()) {
    stream.tokens.push_back(tokens[stream.tokens.size()]);
    stream.rows.push_back(stream.decoder->Step(stream.tokens.back()));
  }
  return stream.rows;
}

const LogitTolerance& ToleranceOf(const Subject& subject) {
  static std::map<std::tuple<ModelKey, Precision>, LogitTolerance> tolerances;
  const auto key = std::tuple(KeyOf(subject), subject.precision);
  const auto known = tolerances.find(key);
  if (known != tolerances.end()) return known->second;
  const WeightStore& store = StoreOf(subject);
  const std::unique_ptr<ReferenceDecoder> twin = MakeReference(store, {.twin = OperandType(subject.precision)});
  Calibrator calibrator;
  for (int s = 0; s < kCalibrationSessions; ++s) {
    const Tokens tokens = MadeUpTokens(subject, kCalibrationStream + s, kCalibrationTokens);
    const std::vector<ReferenceStep>& reference = ReferenceRows(subject, tokens);
    twin->Truncate(0);
    for (std::size_t i = 0; i < tokens.size(); ++i) calibrator.Add(reference[i].raw, twin->Step(tokens[i]).raw);
  }
  const Calibration calibration =
      calibrator.Finish(fmt::format("{} twin of {} (weights {:.12}), seed {}, {} sessions x {} tokens", Name(subject.precision),
                                    store.spec().name, store.Identity(), subject.seed, kCalibrationSessions, kCalibrationTokens));
  return tolerances.emplace(key, LogitTolerance::From(calibration)).first->second;
}

bool ReferenceBounds(const Subject& subject) {
  const std::vector<LayerSpec>& layers = StoreOf(subject).spec().layers;
  return subject.precision == Precision::kFp32 ||
         std::none_of(layers.begin(), layers.end(), [](const LayerSpec& layer) { return layer.experts > 0; });
}

int SmallestWindow(const ModelSpec& spec) {
  int window = 0;
  for (const LayerSpec& layer : spec.layers)
    if (layer.window > 0 && (window == 0 || layer.window < window)) window = layer.window;
  return window;
}

}  // namespace assay
