#include "suites/support/subject.h"

#include <algorithm>
#include <map>
#include <utility>

#include "engine/base/random.h"
#include "engine/ops/ops_factory.h"
#include "suites/support/embedded.h"

namespace assay {
namespace {

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
  return text + "_" + Name(precision) + (device == "host" ? "" : "_" + device) + (batch_invariant ? "_invariant" : "");
}

const WeightStore& StoreOf(const Subject& subject) {
  static std::map<ModelKey, std::unique_ptr<WeightStore>> stores;
  std::unique_ptr<WeightStore>& store = stores[KeyOf(subject)];
  if (!store) store = OpenModel(ResolveModel(subject.model), subject.seed);
  return *store;
}

std::unique_ptr<Ops> MakeOpsOf(const Subject& subject) {
  return MakeOps(subject.device, subject.precision, subject.batch_invariant);
}

Stage::Stage(const Subject& subject, const EngineOptions& options)
    : own_(MakeOpsOf(subject)), ops_(*own_), engine_(std::make_unique<Engine>(StoreOf(subject), ops_, options)) {}

Stage::Stage(const Subject& subject, const EngineOptions& options, Ops& ops)
    : ops_(ops), engine_(std::make_unique<Engine>(StoreOf(subject), ops_, options)) {}

SessionId Stage::Opened(std::span<const std::int32_t> tokens) {
  const SessionId session = engine_->Open();
  if (!tokens.empty()) engine_->Prefill(session, tokens, Want::kNone);
  return session;
}

Tokens MadeUpTokens(const Subject& subject, int stream, int length) {
  return RandomTokens(subject.seed, stream, length, StoreOf(subject).spec().vocab);
}

int SmallestWindow(const ModelSpec& spec) {
  int window = 0;
  for (const LayerSpec& layer : spec.layers)
    if (layer.window > 0 && (window == 0 || layer.window < window)) window = layer.window;
  return window;
}

}  // namespace assay
