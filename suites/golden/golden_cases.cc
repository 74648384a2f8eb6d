#include "suites/golden/golden_cases.h"

#include <algorithm>
#include <cctype>
#include <memory>
#include <utility>

#include "suites/support/embedded.h"
#include "suites/support/judge.h"
#include "suites/support/references.h"

namespace assay {
namespace {

// "hf-tiny/gemma4-e2b" as part of a test's name.
std::string Label(std::string model) {
  for (char& c : model)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return model;
}

// Answers requests with one decoder, which keeps what the next request has in common with the last: traces record a
// sequence and its continuation.
class Answerer {
 public:
  explicit Answerer(std::unique_ptr<ReferenceDecoder> decoder) : decoder_(std::move(decoder)) {}

  GoldenAnswer operator()(const GoldenRequest& request) {
    const std::size_t length = request.tokens.size();
    const auto first_row = static_cast<std::size_t>(request.first_row);
    const auto common =
        std::mismatch(fed_.begin(), fed_.end(), request.tokens.begin(), request.tokens.end()).first - fed_.begin();
    fed_.resize(request.hidden ? 0 : std::min(static_cast<std::size_t>(common), first_row));
    decoder_->Truncate(static_cast<int>(fed_.size()));
    GoldenAnswer answer;
    for (std::size_t t = fed_.size(); t < length; ++t) {
      if (t < first_row && !request.hidden) {
        decoder_->Skip(request.tokens[t]);
        fed_.push_back(request.tokens[t]);
        continue;
      }
      const ReferenceStep step = decoder_->Step(request.tokens[t]);
      fed_.push_back(request.tokens[t]);
      if (t >= first_row) answer.capped.insert(answer.capped.end(), step.capped.begin(), step.capped.end());
      if (request.hidden) PutHidden(answer, step, t, length);
    }
    return answer;
  }

 private:
  // Steps come by position, the trace by entry first.
  static void PutHidden(GoldenAnswer& answer, const ReferenceStep& step, std::size_t t, std::size_t length) {
    const std::size_t width = step.hidden.front().size();
    answer.hidden.resize(step.hidden.size() * length * width);
    for (std::size_t entry = 0; entry < step.hidden.size(); ++entry)
      std::copy(step.hidden[entry].begin(), step.hidden[entry].end(),
                answer.hidden.begin() + static_cast<std::ptrdiff_t>((entry * length + t) * width));
  }

  std::unique_ptr<ReferenceDecoder> decoder_;
  std::vector<std::int32_t> fed_;
};

CaseOutcome JudgeReference(const Subject& subject, const std::string& trace) {
  const ReferencesInScope scope;  // engines come next
  const auto answerer = std::make_shared<Answerer>(MakeReferenceOf(subject, {.keep_hidden = true, .twin = {}}));
  GoldenSubject reference;
  reference.name = Describe(ReferenceOptions());
  reference.answer = [answerer](std::span<const GoldenRequest> requests) {
    std::vector<GoldenAnswer> answers;
    for (const GoldenRequest& request : requests) answers.push_back((*answerer)(request));
    return answers;
  };
  Judge judge;
  judge.Add(JudgeGolden(ReadGolden(trace), reference, GoldenToleranceOf(subject)));
  return judge.Finish();
}

}  // namespace

GoldenTolerance GoldenToleranceOf(const Subject& subject) {
  if (subject.precision != Precision::kFp32) {
    GoldenTolerance tolerance = GoldenTolerance::Fp32();
    tolerance.logits = ToleranceOf(subject);
    return tolerance;
  }
  if (IsLarge(StoreOf(subject).spec())) return GoldenTolerance::Fp32Large();
  return GoldenTolerance::Fp32(&ToleranceOf(subject));
}

Case GoldenReferenceCase(const std::string& model, const std::string& trace, const std::string& device,
                         std::uint64_t seed) {
  Subject subject{model, "host", Precision::kFp32, seed};
  if (device == "cuda" && IsLarge(StoreOf(subject).spec())) subject.device = device;
  return {.suite = "Golden",
          .name = "ReferenceMatches",
          .params = Label(model),
          .model = model,
          .dtype = "",
          .device = subject.device,
          .run = [subject, trace] { return JudgeReference(subject, trace); }};
}

std::vector<Case> GoldenReferenceCases(const std::vector<std::string>& models, const std::string& device,
                                       std::uint64_t seed) {
  std::vector<Case> cases;
  for (const std::string& model : models) {
    const std::string trace = GoldensOf(model);
    if (!trace.empty()) cases.push_back(GoldenReferenceCase(model, trace, device, seed));
  }
  return cases;
}

std::vector<Case> GoldenReferenceCases() {
  std::vector<std::string> models;
  for (const EmbeddedModel& model : EmbeddedModels()) models.push_back(model.name);
  return GoldenReferenceCases(models);
}

}  // namespace assay
