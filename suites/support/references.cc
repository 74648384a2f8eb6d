#include "suites/support/references.h"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "engine/model/tensors.h"
#include "oracles/compare/tensors.h"
#include "oracles/reference/single_user_cuda.h"

namespace assay {
namespace {

bool HasExperts(const ModelSpec& spec) {
  return std::any_of(spec.layers.begin(), spec.layers.end(), [](const LayerSpec& layer) { return layer.experts > 0; });
}

// Calibration sets: sessions x tokens. Short ones serve for long contexts too: on the tiny and nano models a twin's
// median error after 600 tokens is 0.5 to 1.2 of that in the first 32 in bf16, 0.8 to 1.7 in fp32.
constexpr int kCalibrationTokens = 32;
// Of 1024 rows the 0.999 quantile is one; of 128 it is their largest, which one row in 129 exceeds. Small models have
// random weights whose errors vary most; on larger ones more rows would cost more than they tell. With experts errors
// in float32 are alike, but for a rare row where another expert is chosen: that one must not become the tolerance.
int CalibrationSessions(const ModelSpec& spec, Precision precision) {
  return WeightCount(spec) <= 1'000'000 && !(HasExperts(spec) && precision == Precision::kFp32) ? 32 : 4;
}
constexpr int kCalibrationStream = 1'000'000;  // streams no case uses

bool OnCuda(const Subject& subject) { return subject.device == "cuda" && IsLarge(StoreOf(subject).spec()); }

using Key = std::tuple<std::string, std::uint64_t, bool, std::optional<DType>>;  // model, seed, on CUDA, twin
Key KeyOf(const Subject& subject, std::optional<DType> twin = {}) {
  return {subject.model, subject.seed, OnCuda(subject), twin};
}

struct Reference {
  std::shared_ptr<const CudaReferenceWeights> uploaded;  // on CUDA: for the reference and its twins
  std::unique_ptr<ReferenceDecoder> decoder;
  Tokens fed;  // what the decoder has seen
  std::vector<std::unique_ptr<ReferenceSession>> sessions;

  void Release() {
    decoder.reset();
    uploaded.reset();
    fed.clear();
  }
};

// Never destroyed: at exit the CUDA runtime may be gone before statics are.
std::map<Key, Reference>& References() {
  static auto& references = *new std::map<Key, Reference>();
  return references;
}

// Of large models one is kept: their rows are megabytes each.
Reference& ReferenceOf(const Subject& subject, std::optional<DType> twin = {}) {
  const Key key = KeyOf(subject, twin);
  if (OnCuda(subject))
    std::erase_if(References(), [&](const auto& entry) { return std::get<bool>(entry.first) && entry.first != key; });
  return References()[key];
}

bool StartsWith(const Tokens& tokens, const Tokens& start) {
  return start.size() <= tokens.size() && std::equal(start.begin(), start.end(), tokens.begin());
}

}  // namespace

std::int64_t WeightCount(const ModelSpec& spec) {
  std::int64_t count = 0;
  for (const TensorEntry& entry : Catalogue(spec)) count += entry.elements();
  return count;
}

std::unique_ptr<ReferenceDecoder> MakeReferenceOf(const Subject& subject, const ReferenceOptions& options) {
  if (!OnCuda(subject)) return MakeReference(StoreOf(subject), options);
  Reference& reference = ReferenceOf(subject);
  if (!reference.uploaded) reference.uploaded = UploadForReference(StoreOf(subject));
  return MakeCudaReference(reference.uploaded, options);
}

namespace {

const ReferenceSession& RowsOf(const Subject& subject, std::optional<DType> twin, const Tokens& tokens, int first) {
  Reference& reference = ReferenceOf(subject, twin);
  for (const auto& session : reference.sessions)
    if (session->first <= first && StartsWith(session->tokens, tokens)) return *session;
  if (!reference.decoder) reference.decoder = MakeReferenceOf(subject, {.twin = twin});
  ReferenceDecoder& decoder = *reference.decoder;
  Tokens& fed = reference.fed;
  const auto common = std::mismatch(fed.begin(), fed.end(), tokens.begin(), tokens.end()).first - fed.begin();
  fed.resize(std::min(static_cast<std::size_t>(common), static_cast<std::size_t>(first)));
  decoder.Truncate(static_cast<int>(fed.size()));
  auto session = std::make_unique<ReferenceSession>(ReferenceSession{tokens, first, {}});
  while (fed.size() < tokens.size()) {
    const std::int32_t token = tokens[fed.size()];
    if (fed.size() < static_cast<std::size_t>(first)) {
      decoder.Skip(token);
    } else {
      session->rows.push_back(decoder.Step(token).raw);
    }
    fed.push_back(token);
  }
  reference.sessions.push_back(std::move(session));
  return *reference.sessions.back();
}

}  // namespace

const ReferenceSession& ReferenceRows(const Subject& subject, const Tokens& tokens, int first) {
  return RowsOf(subject, {}, tokens, first);
}

double TwinErrorRatio(const Subject& subject, const Tokens& tokens, int position, int first) {
  if (OnCuda(subject)) return 1;
  const std::vector<double>& exact = ReferenceRows(subject, tokens, first).Raw(position);
  const std::vector<double>& twin = RowsOf(subject, OperandType(subject.precision), tokens, first).Raw(position);
  return std::max(1.0, kKappa * Compare(exact, twin).max_abs / ToleranceOf(subject).max_abs.calibrated);
}

const LogitTolerance& ToleranceOf(const Subject& subject) {
  static std::map<std::tuple<Key, Precision>, LogitTolerance> tolerances;
  const auto key = std::tuple(KeyOf(subject), subject.precision);
  const auto known = tolerances.find(key);
  if (known != tolerances.end()) return known->second;
  const WeightStore& store = StoreOf(subject);
  const std::unique_ptr<ReferenceDecoder> twin = MakeReferenceOf(subject, {.twin = OperandType(subject.precision)});
  Calibrator calibrator;
  const int sessions = CalibrationSessions(store.spec(), subject.precision);
  for (int s = 0; s < sessions; ++s) {
    const Tokens tokens = MadeUpTokens(subject, kCalibrationStream + s, kCalibrationTokens);
    const ReferenceSession& reference = ReferenceRows(subject, tokens);
    twin->Truncate(0);
    for (int i = 0; i < kCalibrationTokens; ++i)
      calibrator.Add(reference.Raw(i), twin->Step(tokens[static_cast<std::size_t>(i)]).raw);
  }
  const Calibration calibration = calibrator.Finish(
      fmt::format("{} twin of {} (weights {:.12}), seed {}, {} sessions x {} tokens", Name(subject.precision),
                  store.spec().name, store.Identity(), subject.seed, sessions, kCalibrationTokens));
  return tolerances.emplace(key, LogitTolerance::From(calibration)).first->second;
}

bool ReferenceBounds(const Subject& subject) {
  return subject.precision == Precision::kFp32 || !HasExperts(StoreOf(subject).spec());
}

void PrepareReference(const Subject& subject, const std::vector<ReferenceRequest>& requests) {
  const ReferencesInScope scope;
  if (ReferenceBounds(subject))
    for (const ReferenceRequest& request : requests) ReferenceRows(subject, request.tokens, request.first);
  ToleranceOf(subject);
}

void ReleaseReferences() {
  for (auto& [key, reference] : References())
    if (std::get<bool>(key)) reference.Release();
}

}  // namespace assay
