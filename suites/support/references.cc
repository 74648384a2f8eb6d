#include "suites/support/references.h"

#include <algorithm>
#include <utility>

#include "oracles/compare/tensors.h"
#include "oracles/reference/single_user_cuda.h"
#include "suites/support/calibration.h"
#include "suites/support/routing.h"
#include "suites/support/workbench.h"

namespace assay {
namespace {

bool StartsWith(const Tokens& tokens, const Tokens& start) {
  return start.size() <= tokens.size() && std::equal(start.begin(), start.end(), tokens.begin());
}

}  // namespace

ReferenceAnswers::ReferenceAnswers(Workbench& bench) : bench_(bench) {}
ReferenceAnswers::~ReferenceAnswers() = default;

bool ReferenceAnswers::OnCuda(const Target& target) { return !target.device.on_host() && IsLarge(bench_.Spec(target)); }

ReferenceAnswers::Key ReferenceAnswers::KeyOf(const Target& target, std::optional<TwinArithmetic> twin) {
  return {target.model, target.seed, OnCuda(target), twin};
}

// Of large models one is kept: their rows are megabytes each.
ReferenceAnswers::Reference& ReferenceAnswers::ReferenceOf(const Target& target, std::optional<TwinArithmetic> twin) {
  const Key key = KeyOf(target, twin);
  if (OnCuda(target))
    std::erase_if(references_, [&](const auto& entry) { return std::get<bool>(entry.first) && entry.first != key; });
  return references_[key];
}

std::unique_ptr<ReferenceDecoder> ReferenceAnswers::MakeDecoder(const Target& target, const ReferenceOptions& options) {
  const WeightStore& store = bench_.Store(target);
  if (!OnCuda(target)) return MakeReference(store, options);
  Reference& reference = ReferenceOf(target);
  if (!reference.uploaded) reference.uploaded = UploadForReference(store, target.device);
  return MakeCudaReference(reference.uploaded, options);
}

const ReferenceSession& ReferenceAnswers::RowsOf(const Target& target, std::optional<TwinArithmetic> twin,
                                                 const Tokens& tokens, int first) {
  Reference& reference = ReferenceOf(target, twin);
  for (const auto& session : reference.sessions)
    if (session->first <= first && StartsWith(session->tokens, tokens)) return *session;
  if (!reference.decoder) reference.decoder = MakeDecoder(target, {.keep_hidden = false, .twin = twin});
  ReferenceDecoder& decoder = *reference.decoder;
  Tokens& fed = reference.fed;
  const auto common = std::mismatch(fed.begin(), fed.end(), tokens.begin(), tokens.end()).first - fed.begin();
  fed.resize(std::min<std::size_t>(common, first));
  decoder.Truncate(static_cast<int>(fed.size()));
  auto session = std::make_unique<ReferenceSession>(ReferenceSession{tokens, first, {}});
  while (fed.size() < tokens.size()) {
    const std::int32_t token = tokens[fed.size()];
    if (std::ssize(fed) < first)
      decoder.Skip(token);
    else
      session->rows.push_back(decoder.Step(token).raw);
    fed.push_back(token);
  }
  reference.sessions.push_back(std::move(session));
  return *reference.sessions.back();
}

const ReferenceSession& ReferenceAnswers::Rows(const Target& target, const Tokens& tokens, int first) {
  return RowsOf(target, {}, tokens, first);
}

double ReferenceAnswers::TwinErrorRatio(const Target& target, const LogitTolerance& tolerance, const Tokens& tokens,
                                        int position, int first) {
  if (OnCuda(target)) return 1;
  return std::max(1.0, kKappa * TwinError(target, tokens, position, first) / tolerance.max_abs.soft);
}

double ReferenceAnswers::WorstTwinErrorRatio(const Target& target, const LogitTolerance& tolerance,
                                             const Tokens& tokens, int position, int first) {
  constexpr int kOrders = 12;
  double ratio = TwinErrorRatio(target, tolerance, tokens, position, first);
  if (OnCuda(target)) return ratio;
  const std::vector<double>& exact = Rows(target, tokens, first).Raw(position);
  TwinArithmetic twin = bench_.ArithmeticOf(target);
  for (twin.order = 1; twin.order <= kOrders; ++twin.order) {
    const auto decoder = MakeDecoder(target, {.keep_hidden = false, .twin = twin});
    for (int i = 0; i < position; ++i) decoder->Skip(tokens[i]);
    const double error = Compare(exact, decoder->Step(tokens[position]).raw).max_abs;
    ratio = std::max(ratio, kKappa * error / tolerance.max_abs.soft);
  }
  return ratio;
}

double ReferenceAnswers::TwinError(const Target& target, const Tokens& tokens, int position, int first) {
  const std::vector<double>& exact = Rows(target, tokens, first).Raw(position);
  return Compare(exact, RowsOf(target, bench_.ArithmeticOf(target), tokens, first).Raw(position)).max_abs;
}

const LogitTolerance& ReferenceAnswers::Tolerance(const Target& target) {
  const auto key = KeyOf(target, bench_.ArithmeticOf(target));
  const auto known = tolerances_.find(key);
  if (known != tolerances_.end()) return known->second;
  return tolerances_.emplace(key, Calibrate(bench_, target)).first->second;
}

const RoutingTolerance& ReferenceAnswers::Routing(const Target& target) {
  std::unique_ptr<RoutingTolerance>& known = routings_[{KeyOf(target), target.precision}];
  if (!known) known = std::make_unique<RoutingTolerance>(CalibrateRouting(bench_, target));
  return *known;
}

bool ReferenceAnswers::Bounds(const Target& target) {
  return target.precision == Precision::kFp32 || !HasExperts(bench_.Spec(target));
}

void ReferenceAnswers::Prepare(const Target& target, const std::vector<ReferenceRequest>& requests) {
  try {
    if (Bounds(target))
      for (const ReferenceRequest& request : requests) Rows(target, request.tokens, request.first);
    Tolerance(target);
  } catch (...) {
    ReleaseDevice();
    throw;
  }
  ReleaseDevice();
}

void ReferenceAnswers::ReleaseDevice() {
  for (auto& [key, reference] : references_) {
    if (!std::get<bool>(key)) continue;
    reference.decoder.reset();
    reference.uploaded.reset();
    reference.fed.clear();
  }
}

void ReferenceAnswers::ForgetRows() {
  for (auto& [key, reference] : references_) reference.sessions.clear();
}

void ReferenceAnswers::Forget() {
  references_.clear();
  tolerances_.clear();
  routings_.clear();
}

}  // namespace assay
