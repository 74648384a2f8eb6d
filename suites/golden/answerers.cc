#include "suites/golden/answerers.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "oracles/probes/tracing_ops.h"

namespace assay {
namespace {

constexpr int kSessions = 16;

EngineOptions OptionsFor(const GoldenTrace& trace) {
  std::size_t longest = 1;
  for (const GoldenSequence& sequence : trace.sequences)
    longest = std::max({longest, sequence.tokens.size(), sequence.greedy.size()});
  EngineOptions options;
  options.max_sessions = std::min(kSessions, std::max(1, 2 * static_cast<int>(trace.sequences.size())));
  options.capacity = static_cast<int>(longest) + 1;
  options.max_chunk = std::min(options.capacity, 64);
  options.max_rows = options.max_sessions * options.max_chunk;
  return options;
}

// Steps come by position, the trace by entry first.
void PutHidden(GoldenAnswer& answer, const ReferenceStep& step, std::size_t t, std::size_t length) {
  const std::size_t width = step.hidden.front().size();
  answer.hidden.resize(step.hidden.size() * length * width);
  for (std::size_t entry = 0; entry < step.hidden.size(); ++entry)
    std::copy(step.hidden[entry].begin(), step.hidden[entry].end(),
              answer.hidden.begin() + static_cast<std::ptrdiff_t>((entry * length + t) * width));
}

}  // namespace

std::string ReferenceAnswerer::name() const { return assay::Describe(ReferenceOptions()); }

std::vector<GoldenAnswer> ReferenceAnswerer::Answer(std::span<const GoldenRequest> requests) {
  std::vector<GoldenAnswer> answers;
  for (const GoldenRequest& request : requests) answers.push_back(One(request));
  return answers;
}

GoldenAnswer ReferenceAnswerer::One(const GoldenRequest& request) {
  const std::size_t length = request.tokens.size(), first_row = request.first_row;
  const std::size_t common =
      std::mismatch(fed_.begin(), fed_.end(), request.tokens.begin(), request.tokens.end()).first - fed_.begin();
  fed_.resize(request.hidden ? 0 : std::min(common, first_row));
  decoder_->Truncate(static_cast<int>(fed_.size()));
  GoldenAnswer answer;
  for (std::size_t t = fed_.size(); t < length; ++t) {
    fed_.push_back(request.tokens[t]);
    if (t < first_row && !request.hidden) {
      decoder_->Skip(request.tokens[t]);
      continue;
    }
    const ReferenceStep step = decoder_->Step(request.tokens[t]);
    if (t >= first_row) answer.capped.insert(answer.capped.end(), step.capped.begin(), step.capped.end());
    if (request.hidden) PutHidden(answer, step, t, length);
  }
  return answer;
}

SystemAnswerer::SystemAnswerer(CaseState& state, const GoldenTrace& trace)
    : state_(state), system_(state.Open(OptionsFor(trace))) {}

std::string SystemAnswerer::name() const {
  return fmt::format("{} {} on {}", Name(state_.target.precision), state_.bench.provider().Describe().name,
                     state_.target.device.name());
}

// The recorded states are float32's: what 16-bit modes may differ by is stated for logits only.
bool SystemAnswerer::has_hidden() const {
  return state_.target.precision == Precision::kFp32 && system_->engine() != nullptr;
}

std::vector<GoldenAnswer> SystemAnswerer::Answer(std::span<const GoldenRequest> requests) {
  std::vector<GoldenAnswer> answers;
  while (!requests.empty()) {
    const std::size_t batch = std::min<std::size_t>(requests.size(), system_->limits().max_sessions);
    for (GoldenAnswer& answer : Together(requests.first(batch))) answers.push_back(std::move(answer));
    if (has_hidden())
      for (std::size_t i = 0; i < batch; ++i)
        if (requests[i].hidden) answers[answers.size() - batch + i].hidden = HiddenStates(requests[i].tokens);
    requests = requests.subspan(batch);
  }
  return answers;
}

// Feeds all of `requests` to fresh sessions, a chunk of each in every step, so that rows of all of them share every
// step.
std::vector<GoldenAnswer> SystemAnswerer::Together(std::span<const GoldenRequest> requests) {
  std::vector<GoldenAnswer> answers(requests.size());
  std::vector<SessionId> sessions;
  for (std::size_t i = 0; i < requests.size(); ++i) sessions.push_back(system_->Open());
  for (;;) {
    std::vector<Feed> feeds;
    std::vector<std::size_t> request_of_feed;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const int done = system_->Length(sessions[i]);
      const std::span<const std::int32_t> left = requests[i].tokens.subspan(done);
      if (left.empty()) continue;
      const int chunk = std::min(static_cast<int>(left.size()), system_->limits().max_chunk);
      feeds.push_back(
          {sessions[i], left.first(chunk), done + chunk > requests[i].first_row ? Want::kAll : Want::kNone});
      request_of_feed.push_back(i);
    }
    if (feeds.empty()) break;
    const StepResult result = system_->Step(feeds);
    for (int row = 0; row < result.rows(); ++row) {
      const std::size_t i = request_of_feed[result.feed[row]];
      if (result.position[row] < requests[i].first_row) continue;
      const std::span<const float> capped = result.Capped(row);
      answers[i].capped.insert(answers[i].capped.end(), capped.begin(), capped.end());
    }
  }
  for (const SessionId session : sessions) system_->Close(session);
  return answers;
}

// The residual stream behind one sequence, [layers + 1, T, hidden] as traces record it: the embedding, the output of
// each layer but the last, then the final norm of the last one's. In chunks that do not divide the sequence, so that
// rings turn under them.
std::vector<double> SystemAnswerer::HiddenStates(std::span<const std::int32_t> tokens) {
  const std::unique_ptr<Ops> ops = state_.bench.MakeOps(state_.target);
  TracingOps trace(*ops);
  EngineOptions options;
  options.max_sessions = 1;
  options.capacity = static_cast<int>(tokens.size());
  options.max_chunk = std::min(options.capacity, 7);
  const auto system = state_.bench.OpenEngine(state_.target, options, trace);
  const SessionId session = system->Open();
  const std::size_t width = state_.spec().hidden;
  const int layers = state_.spec().layer_count();
  std::vector<double> states((layers + 1) * tokens.size() * width);
  for (std::size_t done = 0; done < tokens.size();) {
    const std::size_t length = std::min<std::size_t>(tokens.size() - done, options.max_chunk);
    system->Step(Feed{session, tokens.subspan(done, length), Want::kAll});
    for (const TracingOps::Tap& tap : trace.taps()) {
      const std::vector<float>& rows = tap.layer == layers - 1 ? tap.normed : tap.x;
      const std::size_t at = ((tap.layer + 1) * tokens.size() + done) * width;
      std::copy(rows.begin(), rows.end(), states.begin() + static_cast<std::ptrdiff_t>(at));
    }
    done += length;
  }
  return states;
}

std::optional<std::vector<std::int32_t>> SystemAnswerer::Greedy(std::span<const std::int32_t> prompt, int steps) {
  if (!state_.bench.provider().CapabilitiesOf(state_.target).Has(Capability::kDecode)) return std::nullopt;
  const SessionId session = system_->Open();
  std::vector<std::int32_t> text = {system_->Prefill(session, prompt).best.back()};
  if (steps > 1) {
    const std::vector<std::int32_t> more = system_->Decode(std::span(&session, 1), text, steps - 1).front();
    text.insert(text.end(), more.begin(), more.end());
  }
  system_->Close(session);
  return text;
}

}  // namespace assay
