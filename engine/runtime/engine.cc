#include "engine/runtime/engine.h"

#include <algorithm>
#include <map>

#include "engine/ops/split_keys.h"
#include "engine/runtime/batch.h"
#include "engine/runtime/memory_plan.h"
#include "engine/runtime/session.h"
#include "engine/runtime/trunk.h"
#include "engine/weights/listed_store.h"

namespace assay {
namespace {

constexpr int kPaddingSession = -1;
// Context lengths are recorded for in powers of two, so that a step's grid need not cover the whole capacity.
int ContextBucket(int context, int capacity) {
  int bound = 256;
  while (bound < context) bound *= 2;
  return std::min(bound, std::max(capacity, 1));
}

// What a node of a recorded step takes on a device, from above.
constexpr std::size_t kRecordedNodeBytes = 4096;
// What drivers take at once, and the code of kernels that are loaded when they are first recorded.
constexpr std::size_t kRecordedBytes = std::size_t{8} << 20;

// The powers of two up to `most`, and `most`. Ops change to another kernel at powers of two of rows, and what one
// kernel takes grows with them.
std::vector<int> SizesUpTo(int most) {
  std::vector<int> sizes;
  for (int size = 1; size < most; size *= 2) sizes.push_back(size);
  sizes.push_back(most);
  return sizes;
}

// Throws before anything is allocated.
const EngineOptions& Valid(const EngineOptions& options) {
  Require(options.max_sessions >= 1, "engine: max_sessions {}: expected at least 1", options.max_sessions);
  Require(options.max_rows >= 1, "engine: max_rows {}: expected at least 1", options.max_rows);
  return options;
}

}  // namespace

struct Engine::Impl {
  Impl(const WeightStore& store, Ops& ops_in, const EngineOptions& options_in)
      : spec(store.spec()),
        ops(ops_in),
        options(Valid(options_in)),
        plan(MakeKvPlan(spec, options.capacity, options.max_chunk)),
        max_rows(StepRowsOf(options.max_rows, options.max_sessions).rows),
        logit_rows(StepRowsOf(options.max_rows, options.max_sessions).logits),
        weights(store, ops),
        cache(ops.memory(), plan, ops.precision().kv, options.max_sessions),
        trunk(spec, weights, plan, ops, max_rows, logit_rows),
        rows(ops.memory(), max_rows),
        wanted(ops.memory(), max_rows),
        wanted_index(ops.memory(), max_rows * sizeof(std::int32_t), "wanted rows"),
        history(ops.memory(), sizeof(std::int32_t) * max_rows * kHistorySteps, "decoded tokens"),
        step(ops.memory(), sizeof(std::int32_t), "step counter"),
        sessions(plan, options.max_sessions) {}

  Support CanStep(std::span<const Feed> feeds) const;
  void Upload(std::span<const Feed> feeds, StepResult& result, Rows& all, Rows& few, const std::int32_t*& index);
  void ReadLogits(int count, const StepOutputs& outputs, StepResult& result);
  // Takes one step of every size, on ops that count. Host ops take nothing for a step.
  void CountSteps();
  // A decode step of `bucket` rows whose contexts are no longer than `context_bound`.
  void RunStep(int bucket, int context_bound);
  // Records them for every context bound, those that are not. On the host nothing runs thereby.
  void Record(int bucket);
  // Runs `work`; on failure the lengths stand as they were and a lost device marks the engine.
  template <class Work>
  void Guarded(Work&& work);
  // Called while an exception is handled: rolls sessions back to these lengths and throws the exception on. Steps that
  // were whole can have outrun a ring; then a session is unusable from its length on, so it is emptied, and an Error
  // says so.
  [[noreturn]] void RollBack(std::span<const SessionId> ids, std::span<const int> lengths);

  const ModelSpec spec;
  Ops& ops;
  const EngineOptions options;
  const KvPlan plan;
  const int max_rows, logit_rows;
  ModelWeights weights;
  KvCache cache;
  Trunk trunk;
  DeviceRows rows, wanted;
  Buffer wanted_index, history, step;
  SessionTable sessions;
  // By rows, then by context bound. Null: there was no memory to record it.
  std::map<int, std::map<int, std::unique_ptr<StepGraph>>> graphs;
  bool healthy = true;
};

Engine::Engine(const WeightStore& store, Ops& ops, const EngineOptions& options) {
  if (ops.on_host()) {
    impl_ = std::make_unique<Impl>(store, ops, options);
    return;
  }
  const MemoryPlan plan = PlanMemory(store, ops, options);
  RequireFits(plan, store, ops, options);
  impl_ = std::make_unique<Impl>(store, ops, options);
  ops.Reserve(plan.step_workspace);
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine::~Engine() = default;

Engine Engine::Counted(const WeightStore& store, Ops& planning, const EngineOptions& options) {
  auto impl = std::make_unique<Impl>(ListedStore(store), planning, options);
  impl->CountSteps();
  return Engine(std::move(impl));
}

void Engine::Impl::CountSteps() {
  if (ops.on_host()) return;
  const std::vector<std::int32_t> tokens(static_cast<std::size_t>(max_rows));
  const int longest = std::min(kShortSegment, options.max_chunk);
  for (const int count : SizesUpTo(max_rows)) {
    for (const int length : {1, longest}) {
      // As many rows of short segments as sessions may bring, behind them one long segment.
      RowList list;
      const int few = std::min(count, longest * options.max_sessions);
      const auto add = [&](int rows_of_it) {
        list.AddSegment(0, 0, std::span(tokens).first(static_cast<std::size_t>(rows_of_it)));
      };
      while (list.count() < few) add(std::min(length, few - list.count()));
      if (count > few) add(count - few);
      list.context_bound = options.capacity;
      const Rows& all = rows.Set(list);
      trunk.Forward(all, all, nullptr, cache, options.skip_tail);
    }
  }
  for (const int count : SizesUpTo(logit_rows)) trunk.Head(0, count, true, true);
  for (const int bucket : DecodeBuckets())
    if (bucket <= DecodeBucket(std::min(options.max_sessions, DecodeBuckets().back()))) Record(bucket);
}

MemoryPlan Engine::Taken() const {
  const Impl& impl = *impl_;
  MemoryPlan plan;
  plan.device = impl.ops.device();
  plan.matrices = impl.weights.matrix_bytes;
  plan.vectors = impl.weights.resident_bytes - impl.weights.matrix_bytes;
  plan.sessions = impl.options.max_sessions;
  plan.cache_per_session = impl.cache.bytes() / static_cast<std::size_t>(plan.sessions);
  plan.scratch = impl.trunk.bytes() + impl.rows.bytes() + impl.wanted.bytes() + impl.wanted_index.bytes() +
                 impl.history.bytes() + impl.step.bytes();
  plan.workspace = impl.ops.own_bytes();
  plan.step_workspace = impl.ops.workspace_bytes();
  if (impl.ops.on_host()) return plan;
  for (const auto& [bucket, steps] : impl.graphs) {
    for (const auto& [context_bound, graph] : steps) {
      if (graph == nullptr) continue;
      plan.recorded += static_cast<std::size_t>(graph->nodes()) * kRecordedNodeBytes;
      ++plan.recorded_steps;
    }
  }
  if (plan.recorded_steps > 0) plan.recorded += kRecordedBytes;
  return plan;
}

const ModelSpec& Engine::spec() const { return impl_->spec; }
const KvPlan& Engine::kv_plan() const { return impl_->plan; }
const EngineOptions& Engine::options() const { return impl_->options; }
bool Engine::healthy() const { return impl_->healthy; }
std::size_t Engine::weight_bytes() const { return impl_->weights.resident_bytes; }

std::vector<std::string> Engine::notes() const {
  std::vector<std::string> notes;
  for (const auto& [format, count] : impl_->weights.formats)
    notes.push_back(fmt::format("{}: {} matrices", format, count));
  return notes;
}

Support Engine::CanOpen() const { return impl_->sessions.CanOpen(); }
SessionId Engine::Open() { return impl_->sessions.Open(); }
void Engine::Close(SessionId session) { impl_->sessions.Close(session); }
int Engine::open_sessions() const { return impl_->sessions.open(); }

int Engine::Length(SessionId session) const {
  impl_->sessions.RequireOpen(session);
  return impl_->sessions.Length(session);
}

SessionId Engine::Fork(SessionId session) {
  impl_->sessions.RequireOpen(session);
  Require(impl_->healthy, "fork of session {}: the device was lost in an earlier step; this engine cannot go on",
          session.index);
  const SessionId copy = impl_->sessions.Open();
  try {
    impl_->Guarded([&] { impl_->cache.CopySession(copy.index, session.index, impl_->sessions.HighWater(session)); });
  } catch (...) {
    impl_->sessions.Close(copy);
    throw;
  }
  impl_->sessions.CopyState(copy, session);
  return copy;
}

Support Engine::CanTruncate(SessionId session, int length) const {
  return impl_->sessions.CanTruncate(session, length);
}
void Engine::Truncate(SessionId session, int length) { impl_->sessions.Truncate(session, length); }
Support Engine::CanStep(std::span<const Feed> feeds) const { return impl_->CanStep(feeds); }

Support Engine::Impl::CanStep(std::span<const Feed> feeds) const {
  if (!healthy) return Support::No("the device was lost in an earlier step; this engine cannot go on");
  if (feeds.empty()) return Support::No("step of no sessions: expected at least one feed");
  int count = 0;
  std::vector<bool> seen(options.max_sessions);
  for (std::size_t f = 0; f < feeds.size(); ++f) {
    const Feed& feed = feeds[f];
    if (const Support open = sessions.IsOpen(feed.session); !open) return Support::No("feed {}: {}", f, open.reason);
    const int index = feed.session.index;
    if (seen[index]) return Support::No("feed {}: session {} appears twice in one step", f, feed.session.index);
    seen[index] = true;
    const int tokens = static_cast<int>(feed.tokens.size()), length = sessions.Length(feed.session);
    if (tokens == 0)
      return Support::No("feed {}: no tokens for session {}, expected at least one", f, feed.session.index);
    if (tokens > options.max_chunk)
      return Support::No("feed {}: {} tokens for session {}, expected at most max_chunk = {}", f, tokens,
                         feed.session.index, options.max_chunk);
    if (length + tokens > options.capacity)
      return Support::No("feed {}: session {} has {} tokens and would grow by {}, its capacity is {}", f,
                         feed.session.index, length, tokens, options.capacity);
    for (int i = 0; i < tokens; ++i)
      if (const std::int32_t token = feed.tokens[i]; token < 0 || token >= spec.vocab)
        return Support::No("feed {}: token {} of session {} is {}, expected 0..{}", f, i, feed.session.index, token,
                           spec.vocab - 1);
    count += tokens;
  }
  if (count > max_rows) return Support::No("step of {} rows: expected at most max_rows = {}", count, max_rows);
  return Support::Yes();
}

template <class Work>
void Engine::Impl::Guarded(Work&& work) {
  try {
    work();
  } catch (const DeviceError& error) {
    healthy = healthy && !error.lost;
    throw;
  }
}

void Engine::Impl::RollBack(std::span<const SessionId> ids, std::span<const int> lengths) {
  std::string emptied;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const Support back = sessions.CanTruncate(ids[i], lengths[i]);
    sessions.Truncate(ids[i], back.ok ? lengths[i] : 0);
    if (!back.ok)
      emptied += fmt::format("; session {} cannot return to its {} tokens and was emptied ({})", ids[i].index,
                             lengths[i], back.reason);
  }
  if (emptied.empty()) throw;
  try {
    throw;
  } catch (const std::exception& error) {
    Throw<Error>("{}{}", error.what(), emptied);
  }
}

void Engine::Impl::Upload(std::span<const Feed> feeds, StepResult& result, Rows& all, Rows& few,
                          const std::int32_t*& index) {
  RowList list, wanted_list;
  std::vector<std::int32_t> indices;
  for (std::size_t f = 0; f < feeds.size(); ++f) {
    const Feed& feed = feeds[f];
    const int tokens = static_cast<int>(feed.tokens.size()), length = sessions.Length(feed.session);
    const int first = feed.want == Want::kAll ? 0 : feed.want == Want::kLast ? tokens - 1 : tokens;
    for (int i = first; i < tokens; ++i) {
      indices.push_back(list.count() + i);
      result.feed.push_back(static_cast<int>(f));
      result.position.push_back(length + i);
    }
    // One segment, as in `list`: how a session's rows are computed must not depend on what others want.
    if (first < tokens) wanted_list.AddSegment(feed.session.index, length + first, feed.tokens.subspan(first));
    list.AddSegment(feed.session.index, length, feed.tokens);
  }
  all = rows.Set(list);
  const bool everything = wanted_list.count() == list.count();
  few = everything ? all : wanted.Set(wanted_list);
  index = nullptr;
  if (everything) return;
  if (!indices.empty()) ops.memory().CopyIn(wanted_index.data(), indices.data(), indices.size() * sizeof(std::int32_t));
  index = wanted_index.as<std::int32_t>();
}

void Engine::Impl::ReadLogits(int count, const StepOutputs& outputs, StepResult& result) {
  const std::int64_t vocab = spec.vocab;
  const bool caps = spec.softcap != 0, raw = outputs.raw || (outputs.capped && !caps), capped = outputs.capped && caps;
  result.vocab = spec.vocab;
  result.best.resize(count);
  const std::int64_t raw_count = raw ? count * vocab : 0, capped_count = capped ? count * vocab : 0;
  float *to_raw = nullptr, *to_capped = nullptr;
  if (outputs.place) {
    to_capped = outputs.place(capped_count + raw_count);
    to_raw = to_capped + capped_count;
  } else {
    result.raw.resize(raw_count);
    result.capped.resize(capped_count);
    to_raw = result.raw.data();
    to_capped = result.capped.data();
  }
  for (int first = 0; first < count; first += logit_rows) {
    const int some = std::min(logit_rows, count - first);
    trunk.Head(first, some, capped, true);
    std::vector<Memory::Part> parts{{result.best.data() + first, trunk.best(), some * sizeof(std::int32_t)}};
    if (raw) parts.push_back({to_raw + first * vocab, trunk.raw(), some * vocab * sizeof(float)});
    if (capped) parts.push_back({to_capped + first * vocab, trunk.capped(), some * vocab * sizeof(float)});
    ops.memory().CopyOutAll(parts);
  }
  if (count == 0) ops.Synchronize();
  if (outputs.place) return;
  if (outputs.capped && !caps) result.capped = result.raw;
  if (!outputs.raw) result.raw.clear();
}

StepResult Engine::Step(std::span<const Feed> feeds, const StepOutputs& outputs) {
  const Support support = impl_->CanStep(feeds);
  Require(support.ok, "{}", support.reason);
  StepResult result;
  impl_->Guarded([&] {
    Rows all, few;
    const std::int32_t* index = nullptr;
    impl_->Upload(feeds, result, all, few, index);
    for (const Feed& feed : feeds)
      impl_->sessions.MarkWritten(feed.session,
                                  impl_->sessions.Length(feed.session) + static_cast<int>(feed.tokens.size()));
    impl_->trunk.Forward(all, few, index, impl_->cache, impl_->options.skip_tail);
    impl_->ReadLogits(few.count, outputs, result);
  });
  for (const Feed& feed : feeds) impl_->sessions.Commit(feed.session, static_cast<int>(feed.tokens.size()));
  return result;
}

void StepResult::Append(const StepResult& later) {
  const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  vocab = later.vocab;
  append(feed, later.feed);
  append(position, later.position);
  append(best, later.best);
  append(raw, later.raw);
  append(capped, later.capped);
}

StepResult Engine::Prefill(SessionId session, std::span<const std::int32_t> tokens, Want want, int chunk,
                           const StepOutputs& outputs) {
  const int length = Length(session);
  const int most = chunk == 0 ? std::min(impl_->options.max_chunk, impl_->max_rows) : chunk;
  Require(most >= 1 && most <= impl_->options.max_chunk, "prefill in chunks of {}: expected 1..{}", chunk,
          impl_->options.max_chunk);
  Require(!tokens.empty(), "prefill of session {}: empty prompt, expected at least one token", session.index);
  Require(static_cast<std::int64_t>(tokens.size()) + length <= impl_->options.capacity,
          "prefill of session {}: {} tokens after {}, its capacity is {}", session.index, tokens.size(), length,
          impl_->options.capacity);
  for (std::size_t i = 0; i < tokens.size(); ++i)
    Require(tokens[i] >= 0 && tokens[i] < impl_->spec.vocab, "prefill of session {}: token {} is {}, expected 0..{}",
            session.index, i, tokens[i], impl_->spec.vocab - 1);
  StepResult result;
  try {
    for (std::size_t first = 0; first < tokens.size(); first += most) {
      const auto some = tokens.subspan(first, std::min<std::size_t>(most, tokens.size() - first));
      const bool last = first + some.size() == tokens.size();
      const Feed feed{session, some, want == Want::kLast && !last ? Want::kNone : want};
      result.Append(Step(std::span(&feed, 1), outputs));
    }
  } catch (...) {
    impl_->RollBack(std::span(&session, 1), std::span(&length, 1));
  }
  return result;
}

void Engine::Impl::RunStep(int bucket, int context_bound) {
  const Rows batch = rows.Single(bucket, context_bound);
  trunk.Forward(batch, batch, nullptr, cache, options.skip_tail);
  trunk.Head(0, bucket, false, true);
  ops.Advance({.token = rows.token(),
               .position = rows.position(),
               .segment = rows.segment(),
               .history = history.as<std::int32_t>(),
               .step = step.as<std::int32_t>(),
               .best = trunk.best(),
               .rows = bucket});
}

void Engine::Impl::Record(int bucket) {
  std::map<int, std::unique_ptr<StepGraph>>& steps = graphs[bucket];
  for (int bound = 0; bound < options.capacity;) {
    bound = ContextBucket(bound + 1, options.capacity);
    steps.try_emplace(bound);
  }
  for (auto& [bound, graph] : steps) {
    if (graph) continue;
    const auto body = [this, bucket, context_bound = bound] { RunStep(bucket, context_bound); };
    try {
      graph = ops.Capture(body);
    } catch (const OutOfMemory&) {
      return;  // RunStep serves as well
    }
  }
}

void Engine::Record(int sessions) {
  Require(sessions >= 1, "record decode steps of {} sessions: expected at least 1", sessions);
  impl_->Guarded([&] { impl_->Record(DecodeBucket(sessions)); });
}

std::vector<std::vector<std::int32_t>> Engine::Decode(std::span<const SessionId> ids,
                                                      std::span<const std::int32_t> first, int steps) {
  Impl& impl = *impl_;
  Require(ids.size() == first.size(), "decode: {} sessions and {} first tokens", ids.size(), first.size());
  Require(steps >= 1, "decode of {} steps: expected at least 1", steps);
  std::vector<Feed> feeds;
  for (std::size_t i = 0; i < ids.size(); ++i) feeds.push_back({ids[i], first.subspan(i, 1)});
  const Support support = impl.CanStep(feeds);
  Require(support.ok, "decode: {}", support.reason);
  const int bucket = DecodeBucket(static_cast<int>(ids.size()));
  RowList list;
  int longest = 0;
  std::vector<int> lengths;
  for (const Feed& feed : feeds) {
    const int length = impl.sessions.Length(feed.session);
    lengths.push_back(length);
    Require(std::int64_t{length} + steps <= impl.options.capacity,
            "decode of {} steps: session {} has {} tokens, its capacity is {}", steps, feed.session.index, length,
            impl.options.capacity);
    list.AddSegment(feed.session.index, length, feed.tokens);
    longest = std::max(longest, length);
  }
  const std::int32_t pad = 0;
  while (list.count() < bucket) list.AddSegment(kPaddingSession, 0, std::span(&pad, 1));

  std::vector<std::vector<std::int32_t>> tokens(ids.size());
  const auto decode = [&] {
    if (!impl.graphs.contains(bucket)) impl.Record(bucket);
    impl.rows.Set(list);
    for (int done = 0; done < steps; done += kHistorySteps) {
      const int some = std::min(kHistorySteps, steps - done);
      impl.ops.memory().Fill(impl.step.data(), 0, sizeof(std::int32_t));
      for (int s = 0; s < some; ++s) {
        const int grown = done + s + 1;
        const int bound = ContextBucket(longest + grown, impl.options.capacity);
        for (std::size_t i = 0; i < ids.size(); ++i) impl.sessions.MarkWritten(ids[i], lengths[i] + grown);
        if (StepGraph* const graph = impl.graphs.at(bucket).at(bound).get())
          graph->Launch();
        else
          impl.RunStep(bucket, bound);
      }
      std::vector<std::int32_t> read(some * bucket);
      impl.ops.memory().CopyOut(read.data(), impl.history.data(), read.size() * sizeof(std::int32_t));
      for (int s = 0; s < some; ++s)
        for (std::size_t i = 0; i < ids.size(); ++i) tokens[i].push_back(read[s * bucket + i]);
    }
  };
  try {
    impl.Guarded(decode);
  } catch (...) {
    impl.RollBack(ids, lengths);
  }
  for (const SessionId id : ids) impl.sessions.Commit(id, steps);
  return tokens;
}

Engine::CacheBytes Engine::Cache(SessionId session, int layer) const {
  impl_->sessions.RequireOpen(session);
  Require(layer >= 0 && layer < impl_->spec.layer_count(), "cache of layer {}: expected 0..{}", layer,
          impl_->spec.layer_count() - 1);
  const KvCache::Place place = impl_->cache.SessionPlace(session.index, layer);
  const int cache = impl_->plan.cache_of_layer[layer];
  return {impl_->plan.caches[cache].writer, place.keys, place.values, place.bytes};
}

}  // namespace assay
