#include "suites/parity/shapes.h"

#include <algorithm>

#include "suites/parity/batch_scenario.h"
#include "suites/parity/streams.h"

namespace assay {
namespace {

constexpr int kForced = 12;           // teacher-forced steps: as one piece they go to the packed kernel
constexpr int kReferenced = 3;        // sessions that the reference follows
constexpr int kLongContext = 4096;    // from here on it follows one
constexpr int kMostOfHost = 2048;     // tokens a host's reference is asked for: attention makes them quadratic
constexpr int kMostOfDevice = 16384;  // and a device's: some milliseconds each

// The first, the last and one between: neighbours differ in every one of them.
std::vector<int> Referenced(int count, int length) {
  const int most = length >= kLongContext ? 1 : kReferenced;
  std::vector<int> members;
  for (const int i : {count - 1, 0, count / 2})
    if (std::ssize(members) < most && std::find(members.begin(), members.end(), i) == members.end())
      members.push_back(i);
  return members;
}

// Beyond the reference's reach decode is held against the packed kernel, which splits no keys.
bool HasReference(CaseState& state, int tokens) {
  const bool large = IsLarge(state.spec());
  if (large && state.target.device.on_host()) return false;
  return state.references().Bounds(state.target) && tokens <= (large ? kMostOfDevice : kMostOfHost);
}

std::vector<ReferenceRequest> Requests(const std::vector<Tokens>& texts, const std::vector<int>& members, int first) {
  std::vector<ReferenceRequest> requests;
  for (const int i : members) requests.push_back({texts[i], first});
  return requests;
}

// Runs `step` and notes its kernels, where they can be seen.
template <class Step>
void Watched(CaseState& state, SystemUnderTest& system, Step&& step) {
  EngineSystem* const engine = system.engine();
  if (engine != nullptr) engine->ops().LogKernels(true);
  step();
  if (engine == nullptr) return;
  engine->ops().LogKernels(false);
  state.Watch(engine->ops().LoggedKernels());
}

void Decode(CaseState& state, const DecodeShape& shape) {
  const int n = shape.sessions, context = shape.context;
  std::vector<Tokens> texts;
  for (int i = 0; i < n; ++i) texts.push_back(state.MadeUp(kShapesStream + i, context + kForced + 1));
  const std::vector<int> referenced = HasReference(state, context) ? Referenced(n, context) : std::vector<int>();
  if (!referenced.empty()) state.references().Prepare(state.target, Requests(texts, referenced, context));
  LogitChecker checker(state);
  RowAgreement same(state);
  const auto system = state.Open(shape.options());
  std::vector<SessionId> sessions;
  for (const Tokens& text : texts) sessions.push_back(system->OpenWith(Slice(text, 0, context)));
  const auto rewind = [&] {
    for (const SessionId session : sessions) system->Truncate(session, context);
  };
  checker.AtLeast(std::ssize(referenced) * kForced);
  const int alone_sessions = n > 8 ? (n + 3) / 4 : n;
  same.AtLeast(std::int64_t{2} * alone_sessions * kForced);
  state.check.AtLeast("greedy_text", (n > 8 ? (n + 6) / 7 : n) * DecodeShape::kSteps);
  std::vector<StepResult> steps;
  for (int step = 0; step < kForced; ++step) {
    std::vector<Feed> feeds;
    for (int i = 0; i < n; ++i) feeds.push_back({sessions[i], Slice(texts[i], context + step, 1)});
    steps.push_back(system->Step(feeds));
    for (const int i : referenced) checker.Add(steps.back(), i, texts[i], {{"session", i}, {"step", step}}, context);
  }
  if (!referenced.empty()) checker.Finish();
  rewind();
  for (int i = 0; i<n; i += n> 8 ? 4 : 1) {
    for (int step = 0; step < kForced; ++step) {
      const StepResult alone = system->Step(Feed{sessions[i], Slice(texts[i], context + step, 1)});
      same.Check(alone.Raw(0), steps[step].Raw(i), {"alone", {{"session", i}, {"step", step}}}, texts[i],
                 context + step);
    }
    system->Truncate(sessions[i], context);
    const StepResult piece = system->Step(Feed{sessions[i], Slice(texts[i], context, kForced), Want::kAll});
    for (int step = 0; step < kForced; ++step)
      same.Check(piece.Raw(step), steps[step].Raw(i), {"as one piece", {{"session", i}, {"step", step}}}, texts[i],
                 context + step);
  }
  rewind();
  Tokens first;
  for (const Tokens& text : texts) first.push_back(text[context]);
  std::vector<Tokens> recorded;
  Watched(state, *system, [&] { recorded = system->Decode(sessions, first, DecodeShape::kSteps); });
  rewind();
  CheckGreedy(state, *system, sessions, first, recorded);
}

void Prefill(CaseState& state, const PrefillShape& shape) {
  const int last = shape.tokens - 1;
  std::vector<Tokens> texts;
  for (int i = 0; i < shape.prompts; ++i) texts.push_back(state.MadeUp(kShapesStream + 500 + i, shape.tokens));
  const std::vector<int> referenced =
      HasReference(state, shape.tokens) ? Referenced(shape.prompts, shape.tokens) : std::vector<int>();
  if (!referenced.empty()) state.references().Prepare(state.target, Requests(texts, referenced, last));
  LogitChecker checker(state);
  RowAgreement same(state);
  const auto system = state.Open(shape.options());
  std::vector<Feed> feeds;
  for (const Tokens& text : texts) feeds.push_back({system->Open(), text, Want::kLast});
  StepResult packed;
  Watched(state, *system, [&] { packed = system->Step(feeds); });
  for (const Feed& feed : feeds) system->Close(feed.session);
  state.check.True(packed.rows() == shape.prompts, "rows", {});
  checker.AtLeast(std::ssize(referenced));
  for (const int i : referenced) checker.Add(packed, i, texts[i], {{"prompt", i}}, last);
  if (!referenced.empty()) checker.Finish();
  const int some = std::max(1, shape.prompts / 4);
  same.AtLeast((shape.prompts + some - 1) / some);
  for (int i = 0; i < shape.prompts; i += some) {
    const SessionId session = system->Open();
    const StepResult pieces = system->Prefill(session, texts[i], Want::kLast, (shape.tokens + 2) / 3);
    system->Close(session);
    same.Check(pieces.Raw(0), packed.Raw(i), {"alone in pieces", {{"prompt", i}}}, texts[i], last);
  }
}

template <class Shape>
Case ShapeCase(Workbench& bench, const Target& target, const char* name, const Shape& shape, double tokens,
               std::vector<Capability> needs, void (*body)(CaseState&, const Shape&)) {
  Case item = MakeCase("Shapes", name, target, shape.axes(), std::move(needs),
                       [shape, body](CaseState& state) { body(state, shape); });
  item.may_not_fit = IsLarge(bench.Spec(target));
  item.tokens = tokens;
  return item;
}

}  // namespace

Case DecodeShapeCase(Workbench& bench, const Target& target, const DecodeShape& shape) {
  using enum Capability;
  return ShapeCase(bench, target, "Decode", shape, 5.0 * shape.sessions * shape.context,
                   {kLogits, kChunk, kBatch, kTruncate, kDecode}, Decode);
}

Case PrefillShapeCase(Workbench& bench, const Target& target, const PrefillShape& shape) {
  using enum Capability;
  return ShapeCase(bench, target, "Prefill", shape, 3.0 * shape.prompts * shape.tokens, {kLogits, kChunk, kBatch},
                   Prefill);
}

// What is always covered: a context that crosses the first bound that steps are recorded for, and, where a device has
// the time for it, contexts beyond which attention splits its keys into other chunks.
std::vector<Case> ShapeCases(Workbench& bench, const Target& target) {
  std::vector<Case> cases;
  if (IsLarge(bench.Spec(target))) return cases;
  const int most = bench.Spec(target).max_position;
  for (const DecodeShape& shape : {DecodeShape{3, 240}, DecodeShape{2, 8192}, DecodeShape{1, 32768}})
    if ((!target.device.on_host() || shape.context < 1000) &&
        (most == 0 || shape.context + DecodeShape::kSteps <= most))
      cases.push_back(DecodeShapeCase(bench, target, shape));
  cases.push_back(PrefillShapeCase(bench, target, {3, 65}));
  return cases;
}

}  // namespace assay
