#include "suites/parity/parity.h"

#include <algorithm>
#include <utility>

#include "oracles/reference/formulas.h"

namespace assay {

Case MakeCase(const char* suite, const std::string& name, const Subject& subject, const std::string& rest,
              std::function<void(Judge&)> body) {
  Case c;
  c.suite = suite;
  c.name = name;
  c.params = subject.label() + (rest.empty() ? "" : "_" + rest);
  c.model = subject.model;
  c.dtype = Name(subject.precision);
  c.device = subject.device;
  c.run = [body = std::move(body)] {
    Judge judge;
    body(judge);
    return judge.Finish();
  };
  return c;
}

CaseOutcome Skipped(std::string reason) {
  CaseOutcome outcome;
  outcome.status = CaseOutcome::Status::kSkip;
  outcome.reason = std::move(reason);
  return outcome;
}

EngineOptions SmallOptions(const Subject& subject, int sessions, int capacity) {
  const int window = SmallestWindow(StoreOf(subject).spec());
  EngineOptions options;
  options.max_sessions = sessions;
  options.capacity = capacity;
  options.max_chunk = std::min(capacity, window > 0 && window < 16 ? window + 3 : 64);
  options.max_rows = std::max(64, sessions * 2);
  return options;
}

StepResult AloneRows(Stage& stage, const Tokens& tokens, int prompt) {
  const std::span<const std::int32_t> all_tokens(tokens);
  const SessionId session = stage.Opened(all_tokens.first(static_cast<std::size_t>(prompt)));
  StepResult all;
  for (const std::int32_t token : all_tokens.subspan(static_cast<std::size_t>(prompt))) {
    const Feed feed{session, std::span(&token, 1)};
    const StepResult one = stage.engine().Step(std::span(&feed, 1));
    all.vocab = one.vocab;
    all.feed.push_back(0);
    all.position.push_back(one.position[0]);
    all.best.push_back(one.best[0]);
    all.raw.insert(all.raw.end(), one.raw.begin(), one.raw.end());
    all.capped.insert(all.capped.end(), one.capped.begin(), one.capped.end());
  }
  stage.engine().Close(session);
  return all;
}

void StreamChecker::Add(const StepResult& result, int row, const Tokens& tokens, const std::string& where, int first) {
  if (!ReferenceBounds(subject_)) return;
  const int position = result.position[static_cast<std::size_t>(row)];
  const std::vector<double>& reference_raw = ReferenceRows(subject_, tokens, first).Raw(position);
  std::vector<double> reference_capped = reference_raw;
  for (double& logit : reference_capped) logit = Softcap(logit, StoreOf(subject_).spec().softcap);
  const std::vector<double> raw = Widen(result.Raw(row)), capped = Widen(result.Capped(row));
  // A row that is off may be one where the arithmetic loses digits: the twin would then be off as well.
  const bool off = Compare(reference_raw, raw).max_abs > ToleranceOf(subject_).max_abs.calibrated;
  const double twin_error_ratio = off ? TwinErrorRatio(subject_, tokens, position, first) : 1;
  stream_.Add({reference_raw, raw, reference_capped, capped, twin_error_ratio}, where);
}

void SameRows(Judge& judge, const Subject& subject, std::span<const float> expected, std::span<const float> found,
              bool same_pieces, const std::string& where) {
  if (subject.exact() || (same_pieces && subject.batch_invariant)) return judge.Bits(expected, found, where);
  Tolerance both = ToleranceOf(subject).max_abs;
  both.calibrated *= 2;
  both.hard *= 2;
  judge.Close(expected, found, both, where);
}

}  // namespace assay
