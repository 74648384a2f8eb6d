#include "suites/golden/golden_suite.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "oracles/probes/tracing_ops.h"
#include "suites/golden/golden_cases.h"
#include "suites/support/embedded.h"
#include "suites/support/judge.h"

namespace assay {
namespace {

constexpr int kSessions = 16;

EngineOptions OptionsFor(const GoldenTrace& trace) {
  std::size_t longest = 1;
  for (const GoldenSequence& sequence : trace.sequences) {
    longest = std::max({longest, sequence.tokens.size(), sequence.greedy.size()});
  }
  EngineOptions options;
  options.max_sessions = std::min(kSessions, std::max(1, 2 * static_cast<int>(trace.sequences.size())));
  options.capacity = static_cast<int>(longest) + 1;
  options.max_chunk = std::min(options.capacity, 64);
  options.max_rows = options.max_sessions * options.max_chunk;
  return options;
}

// Feeds all of `requests` to fresh sessions, a chunk of each in every step, so that rows of all of them share every
// step.
std::vector<GoldenAnswer> AnswerTogether(Engine& engine, std::span<const GoldenRequest> requests) {
  std::vector<GoldenAnswer> answers(requests.size());
  std::vector<SessionId> sessions;
  for (std::size_t i = 0; i < requests.size(); ++i) sessions.push_back(engine.Open());
  for (;;) {
    std::vector<Feed> feeds;
    std::vector<std::size_t> request_of_feed;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const auto done = static_cast<std::size_t>(engine.Length(sessions[i]));
      const std::span<const std::int32_t> left = requests[i].tokens.subspan(done);
      if (left.empty()) continue;
      const auto chunk = std::min(left.size(), static_cast<std::size_t>(engine.options().max_chunk));
      const bool wanted = static_cast<int>(done + chunk) > requests[i].first_row;
      feeds.push_back({sessions[i], left.first(chunk), wanted ? Want::kAll : Want::kNone});
      request_of_feed.push_back(i);
    }
    if (feeds.empty()) break;
    const StepResult result = engine.Step(feeds);
    for (int row = 0; row < result.rows(); ++row) {
      const std::size_t i = request_of_feed[static_cast<std::size_t>(result.feed[static_cast<std::size_t>(row)])];
      if (result.position[static_cast<std::size_t>(row)] < requests[i].first_row) continue;
      const std::span<const float> capped = result.Capped(row);
      answers[i].capped.insert(answers[i].capped.end(), capped.begin(), capped.end());
    }
  }
  for (const SessionId session : sessions) engine.Close(session);
  return answers;
}

// The residual stream behind one sequence, [layers + 1, T, hidden] as traces record it: the embedding, the output of
// each layer but the last, then the final norm of the last one's. In chunks that do not divide the sequence, so that
// rings turn under them.
std::vector<double> HiddenStates(const Subject& subject, std::span<const std::int32_t> tokens) {
  const std::unique_ptr<Ops> ops = MakeOpsOf(subject);
  TracingOps trace(*ops);
  EngineOptions options;
  options.max_sessions = 1;
  options.capacity = static_cast<int>(tokens.size());
  options.max_chunk = std::min(options.capacity, 7);
  Engine engine(StoreOf(subject), trace, options);
  const SessionId session = engine.Open();
  const auto width = static_cast<std::size_t>(engine.spec().hidden);
  const int layers = engine.spec().layer_count();
  std::vector<double> states(static_cast<std::size_t>(layers + 1) * tokens.size() * width);
  for (std::size_t done = 0; done < tokens.size();) {
    const std::size_t length = std::min(tokens.size() - done, static_cast<std::size_t>(options.max_chunk));
    const std::span<const std::int32_t> chunk = tokens.subspan(done, length);
    const Feed feed{session, chunk, Want::kAll};
    engine.Step(std::span(&feed, 1));
    for (const TracingOps::Tap& tap : trace.taps()) {
      const std::vector<float>& rows = tap.layer == layers - 1 ? tap.normed : tap.x;
      const std::size_t at = (static_cast<std::size_t>(tap.layer + 1) * tokens.size() + done) * width;
      std::copy(rows.begin(), rows.end(), states.begin() + static_cast<std::ptrdiff_t>(at));
    }
    done += length;
  }
  return states;
}

std::vector<std::int32_t> Continuation(Engine& engine, std::span<const std::int32_t> prompt, int steps) {
  const SessionId session = engine.Open();
  std::vector<std::int32_t> text = {engine.Prefill(session, prompt).best.back()};
  if (steps > 1) {
    const std::vector<std::int32_t> more = engine.Decode(std::span(&session, 1), text, steps - 1).front();
    text.insert(text.end(), more.begin(), more.end());
  }
  engine.Close(session);
  return text;
}

CaseOutcome JudgeEngine(const Subject& subject, const std::string& trace_file) {
  const GoldenTrace trace = ReadGolden(trace_file);
  const GoldenTolerance tolerance = GoldenToleranceOf(subject);
  ReleaseReferences();
  Judge judge;
  judge.Add(JudgeGolden(trace, EngineSubject(subject, trace), tolerance));
  return judge.Finish();
}

}  // namespace

GoldenSubject EngineSubject(const Subject& subject, const GoldenTrace& trace) {
  const auto stage = std::make_shared<Stage>(subject, OptionsFor(trace));
  GoldenSubject result;
  result.name = fmt::format("{} engine on {}", Name(subject.precision), stage->ops().device());
  result.answer = [stage, subject](std::span<const GoldenRequest> requests) {
    Engine& engine = stage->engine();
    std::vector<GoldenAnswer> answers;
    while (!requests.empty()) {
      const auto batch = std::min(requests.size(), static_cast<std::size_t>(engine.options().max_sessions));
      for (GoldenAnswer& answer : AnswerTogether(engine, requests.first(batch))) answers.push_back(std::move(answer));
      // The recorded states are float32's: what 16-bit modes may differ by is stated for logits only.
      if (subject.precision == Precision::kFp32)
        for (std::size_t i = 0; i < batch; ++i)
          if (requests[i].hidden)
            answers[answers.size() - batch + i].hidden = HiddenStates(subject, requests[i].tokens);
      requests = requests.subspan(batch);
    }
    return answers;
  };
  result.greedy = [stage](std::span<const std::int32_t> prompt, int steps) {
    return Continuation(stage->engine(), prompt, steps);
  };
  return result;
}

std::vector<Case> GoldenEngineCases(const std::string& model, const std::string& trace, const SuiteInputs& inputs) {
  std::vector<Case> cases;
  for (const std::string& device : inputs.devices) {
    for (const std::string& dtype : inputs.dtypes) {
      const Subject subject{model, device, PrecisionFromName(dtype), inputs.seed, inputs.batch_invariant};
      if (!ReferenceBounds(subject)) continue;
      cases.push_back({.suite = "Golden",
                       .name = "EngineMatches",
                       .params = subject.label(),
                       .model = model,
                       .dtype = dtype,
                       .device = device,
                       .run = [subject, trace] { return JudgeEngine(subject, trace); }});
    }
  }
  return cases;
}

std::vector<Case> GoldenCases(const SuiteInputs& inputs) {
  const bool on_cuda = std::find(inputs.devices.begin(), inputs.devices.end(), "cuda") != inputs.devices.end();
  std::vector<Case> cases = GoldenReferenceCases(inputs.models, on_cuda ? "cuda" : "host", inputs.seed);
  for (const std::string& model : inputs.models) {
    const std::string trace = GoldensOf(model);
    if (trace.empty()) continue;
    std::vector<Case> more = GoldenEngineCases(model, trace, inputs);
    std::move(more.begin(), more.end(), std::back_inserter(cases));
  }
  return cases;
}

}  // namespace assay
