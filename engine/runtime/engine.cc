#include "engine/runtime/engine.h"

#include <algorithm>
#include <map>

#include "engine/runtime/batch.h"
#include "engine/runtime/memory_plan.h"
#include "engine/runtime/session.h"
#include "engine/runtime/trunk.h"

namespace assay {
namespace {

constexpr int kPaddingSession = -1;
// Context lengths are recorded for in powers of two, so that a step's grid need not cover the whole capacity.
int ContextBucket(int context, int capacity) {
  int bound = 256;
  while (bound < context) bound *= 2;
  return std::min(bound, std::max(capacity, 1));
}

OpsLimits LimitsOf(const ModelSpec& spec, const KvPlan& plan, const EngineOptions& options) {
  const StepRows step = StepRowsOf(options.max_rows, options.max_sessions);
  OpsLimits limits;
  limits.max_rows = step.rows;
  limits.max_sessions = std::max(options.max_sessions, step.decoded);
  limits.vocab = spec.vocab;
  limits.max_width = std::max<std::int64_t>(spec.hidden, std::int64_t{spec.ple_width} * spec.layer_count());
  for (const KvCacheSpec& cache : plan.caches) limits.max_slots = std::max(limits.max_slots, cache.slots);
  for (const LayerSpec& layer : spec.layers) {
    limits.max_heads = std::max(limits.max_heads, layer.heads);
    limits.max_head_dim = std::max(limits.max_head_dim, layer.head_dim);
    limits.max_width = std::max<std::int64_t>({limits.max_width, 2 * std::int64_t{layer.ffn},
                                               std::int64_t{layer.heads + 2 * layer.kv_heads} * layer.head_dim});
    limits.experts = std::max(limits.experts, layer.experts);
    limits.top_k = std::max(limits.top_k, layer.top_k);
    limits.expert_ffn = std::max(limits.expert_ffn, layer.expert_ffn);
  }
  return limits;
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
        weights((RequireFits(store, ops, options), store), ops),
        cache(ops.memory(), plan, ops.precision().kv, options.max_sessions),
        trunk(spec, weights, plan, ops, max_rows, logit_rows),
        rows(ops.memory(), max_rows),
        wanted(ops.memory(), max_rows),
        wanted_index(ops.memory(), max_rows * sizeof(std::int32_t), "wanted rows"),
        history(ops.memory(), sizeof(std::int32_t) * max_rows * kHistorySteps, "decoded tokens"),
        step(ops.memory(), sizeof(std::int32_t), "step counter"),
        sessions(plan, options.max_sessions) {
    ops.Reserve(LimitsOf(spec, plan, options));
  }

  Support CanStep(std::span<const Feed> feeds) const;
  void Upload(std::span<const Feed> feeds, StepResult& result, Rows& all, Rows& few, const std::int32_t*& index);
  void ReadLogits(int count, StepResult& result);
  StepGraph& Graph(int bucket, int context_bound);
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
  std::map<std::pair<int, int>, std::unique_ptr<StepGraph>> graphs;  // by rows and context bound
  bool healthy = true;
};

Engine::Engine(const WeightStore& store, Ops& ops, const EngineOptions& options)
    : impl_(std::make_unique<Impl>(store, ops, options)) {}
Engine::~Engine() = default;

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

void Engine::Impl::ReadLogits(int count, StepResult& result) {
  const std::int64_t vocab = spec.vocab;
  result.vocab = spec.vocab;
  result.best.resize(count);
  result.raw.resize(count * vocab);
  result.capped.resize(result.raw.size());
  for (int first = 0; first < count; first += logit_rows) {
    const int some = std::min(logit_rows, count - first);
    trunk.Head(first, some, true, true);
    ops.memory().CopyOut(result.best.data() + first, trunk.best(), some * sizeof(std::int32_t));
    ops.memory().CopyOut(result.raw.data() + first * vocab, trunk.raw(), some * vocab * sizeof(float));
    ops.memory().CopyOut(result.capped.data() + first * vocab, trunk.capped(), some * vocab * sizeof(float));
  }
}

StepResult Engine::Step(std::span<const Feed> feeds) {
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
    impl_->ReadLogits(few.count, result);
    impl_->ops.Synchronize();
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

StepResult Engine::Prefill(SessionId session, std::span<const std::int32_t> tokens, Want want, int chunk) {
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
      result.Append(Step(std::span(&feed, 1)));
    }
  } catch (...) {
    impl_->RollBack(std::span(&session, 1), std::span(&length, 1));
  }
  return result;
}

StepGraph& Engine::Impl::Graph(int bucket, int context_bound) {
  std::unique_ptr<StepGraph>& graph = graphs[{bucket, context_bound}];
  if (!graph) {
    const auto body = [this, bucket, context_bound] {
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
    };
    graph = ops.Capture(body);
  }
  return *graph;
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
    impl.rows.Set(list);
    for (int done = 0; done < steps; done += kHistorySteps) {
      const int some = std::min(kHistorySteps, steps - done);
      impl.ops.memory().Fill(impl.step.data(), 0, sizeof(std::int32_t));
      for (int s = 0; s < some; ++s) {
        const int grown = done + s + 1;
        StepGraph& graph = impl.Graph(bucket, ContextBucket(longest + grown, impl.options.capacity));
        for (std::size_t i = 0; i < ids.size(); ++i) impl.sessions.MarkWritten(ids[i], lengths[i] + grown);
        graph.Launch();
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
