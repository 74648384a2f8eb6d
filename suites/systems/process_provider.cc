#include "suites/systems/process_provider.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <utility>

#include "engine/base/parallel.h"
#include "oracles/compare/ranking.h"
#include "suites/support/embedded.h"

namespace assay {
namespace {

// Names of the protocol.
constexpr std::pair<const char*, Capability> kCapabilities[] = {
    {"chunk", Capability::kChunk},   {"batch", Capability::kBatch},          {"mixed_steps", Capability::kMixed},
    {"fork", Capability::kFork},     {"truncate", Capability::kTruncate},    {"decode", Capability::kDecode},
    {"logits", Capability::kLogits}, {"raw_logits", Capability::kRawLogits},
};

constexpr std::pair<const char*, ActivationRounding> kActivations[] = {
    {"as operands", ActivationRounding::kNone},
    {"q8_0", ActivationRounding::kQ8},
    {"q8_1", ActivationRounding::kQ8},
    {"q8_K", ActivationRounding::kQ8K},
    {"by weight", ActivationRounding::kByWeight},
};

constexpr std::pair<const char*, bool> kGelu[] = {{"exact", false}, {"fp16 table", true}};

constexpr std::pair<const char*, DType> kTypes[] = {
    {"fp32", DType::kF32}, {"fp16", DType::kF16}, {"bf16", DType::kBF16}};
constexpr std::pair<const char*, DType> kCacheTypes[] = {
    {"fp32", DType::kF32}, {"fp16", DType::kF16}, {"bf16", DType::kBF16}, {"fp8", DType::kF8_E4M3}};

template <class Value, std::size_t count>
Value Word(const Json& answer, const char* key, const std::pair<const char*, Value> (&words)[count], Value otherwise) {
  const std::string word = answer.value(key, "");
  if (word.empty()) return otherwise;
  std::string known;
  for (const auto& [name, value] : words) {
    if (word == name) return value;
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  Throw<>("load: {} '{}': expected one of {}", key, word, known);
}

Capabilities CapabilitiesFrom(const Json& hello) {
  Capabilities capabilities;
  const Json stated = hello.value("capabilities", Json::object());
  for (const auto& [name, capability] : kCapabilities) {
    const Json says = stated.value(name, Json(false));
    if (says == Json(true)) continue;
    capabilities.Lacks(capability, says.is_string() ? says.get<std::string>() : "it does not say why");
  }
  capabilities.Lacks(Capability::kInternals, "it is another process");
  return capabilities;
}

SystemInfo InfoFrom(const Json& hello) {
  SystemInfo info;
  info.protocol = kProtocol;
  info.name = hello.value("name", "");
  info.version = hello.value("version", "");
  info.commit = hello.value("commit", "");
  info.build = hello.value("build", "");
  info.device = hello.value("device", "");
  const Json claims = hello.value("claims", Json::object());
  info.claims_batch_invariance = claims.value("batch_invariant", false);
  info.claims_repeatable = claims.value("repeatable", false);
  return info;
}

Json LoadRequest(const Target& target, const EngineOptions& options) {
  const std::string path = ResolveModel(target.model);
  std::error_code error;
  const bool there = std::filesystem::exists(path, error);
  return {{"model", there ? std::filesystem::absolute(path).string() : path},
          {"precision", Name(target.precision)},
          {"device", target.device.name()},
          {"batch_invariant", target.batch_invariant},
          {"seed", target.seed},
          {"max_sessions", options.max_sessions},
          {"capacity", options.capacity},
          {"max_chunk", options.max_chunk},
          {"max_rows", options.max_rows}};
}

const char* Name(Want want) { return want == Want::kNone ? "none" : want == Want::kLast ? "last" : "all"; }

class ProcessUnderTest final : public SystemUnderTest {
 public:
  ProcessUnderTest(ProcessProvider& provider, const WeightStore& store, const Target& target,
                   const EngineOptions& options)
      : provider_(provider), process_(provider.Take()), limits_(options) {
    try {
      Load(store, target, options);
    } catch (...) {
      Return();
      throw;
    }
  }
  ~ProcessUnderTest() override { Return(); }

  const EngineOptions& limits() const override { return limits_; }
  int vocab() const override { return vocab_; }

  SessionId Open() override { return Opened(process_->Ask("open").at("session").get<std::int64_t>(), 0); }
  void Close(SessionId session) override {
    process_->Ask("close", {{"session", Known(session).wire}});
    sessions_[session.index].open = false;
  }
  SessionId Fork(SessionId session) override {
    const Session& from = Known(session);
    const int length = from.length;
    return Opened(process_->Ask("fork", {{"session", from.wire}}).at("session").get<std::int64_t>(), length);
  }
  Support CanTruncate(SessionId session, int length) const override {
    try {
      process_->Ask("can_truncate", {{"session", Known(session).wire}, {"length", length}});
      return Support::Yes();
    } catch (const InputError& error) {
      return Support::No("{}", error.what());
    }
  }
  void Truncate(SessionId session, int length) override {
    process_->Ask("truncate", {{"session", Known(session).wire}, {"length", length}});
    sessions_[session.index].length = length;
  }
  int Length(SessionId session) const override {
    return process_->Ask("length", {{"session", Known(session).wire}}).at("length").get<int>();
  }

  using SystemUnderTest::Step;
  StepResult Step(std::span<const Feed> feeds) override {
    StepResult result;
    AskRows("step", Json::object(), feeds, &result);
    return result;
  }
  TimedRows StepTimed(std::span<const Feed> feeds) override {
    TimedRows timed;
    timed.seconds = Seconds(AskRows("time", {{"what", "step"}}, feeds, &timed.result), 1).front();
    return timed;
  }

  std::vector<Tokens> Decode(std::span<const SessionId> sessions, std::span<const std::int32_t> first,
                             int steps) override {
    return Text(process_->Ask("decode", DecodeRequest(sessions, first, steps)), sessions, steps);
  }
  TimedText DecodeTimed(std::span<const SessionId> sessions, std::span<const std::int32_t> first, int steps) override {
    Json request = DecodeRequest(sessions, first, steps);
    request["what"] = "decode";
    const Json answer = process_->Ask("time", std::move(request));
    return {Text(answer, sessions, steps), Seconds(answer, steps)};
  }

 private:
  // A step, as the request `what` asks for it, and its rows.
  Json AskRows(const std::string& what, Json request, std::span<const Feed> feeds, StepResult* result) {
    Json wanted = Json::array();
    result->vocab = vocab_;
    for (int i = 0; i < std::ssize(feeds); ++i) {
      const Feed& feed = feeds[i];
      const Session& session = Known(feed.session);
      const int count = static_cast<int>(feed.tokens.size());
      wanted.push_back({{"session", session.wire},
                        {"tokens", Tokens(feed.tokens.begin(), feed.tokens.end())},
                        {"want", Name(feed.want)}});
      for (int row = feed.want == Want::kAll ? 0 : count - 1; feed.want != Want::kNone && row < count; ++row) {
        result->feed.push_back(i);
        result->position.push_back(session.length + row);
      }
    }
    request["feeds"] = std::move(wanted);
    Json answer = process_->Ask(what, std::move(request), [&](const Json& found) { return Places(found, result); });
    for (const Feed& feed : feeds) sessions_[feed.session.index].length += static_cast<int>(feed.tokens.size());
    result->best.resize(result->feed.size());
    ParallelFor(result->rows(), 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row)
        result->best[row] = ArgMax(result->Capped(static_cast<int>(row)));
    });
    return answer;
  }

  // Of each step that an answer times.
  std::vector<double> Seconds(const Json& answer, int steps) {
    std::vector<double> seconds;
    const Json times = answer.value("seconds", Json());
    if (times.is_array())
      for (const Json& time : times) seconds.push_back(time.is_number() ? time.get<double>() : 0);
    if (std::ssize(seconds) != steps || std::any_of(seconds.begin(), seconds.end(), [](double s) { return !(s > 0); }))
      process_->Fail(fmt::format("answered time with other than {} seconds above 0", steps));
    return seconds;
  }

  Json DecodeRequest(std::span<const SessionId> sessions, std::span<const std::int32_t> first, int steps) const {
    Json ids = Json::array();
    for (const SessionId session : sessions) ids.push_back(Known(session).wire);
    return {{"sessions", ids}, {"first", Tokens(first.begin(), first.end())}, {"steps", steps}};
  }
  std::vector<Tokens> Text(const Json& answer, std::span<const SessionId> sessions, int steps) {
    auto texts = answer.at("tokens").get<std::vector<Tokens>>();
    const bool whole = texts.size() == sessions.size() &&
                       std::all_of(texts.begin(), texts.end(), [&](const Tokens& t) { return std::ssize(t) == steps; });
    if (!whole) process_->Fail(fmt::format("answered decode with other than {} x {} tokens", sessions.size(), steps));
    for (const SessionId session : sessions) sessions_[session.index].length += steps;
    return texts;
  }

  struct Session {
    std::int64_t wire = 0;
    int length = 0;  // by what was fed
    std::uint32_t generation = 0;
    bool open = false;
  };

  void Load(const WeightStore& store, const Target& target, const EngineOptions& options) {
    const Json loaded = process_->Ask("load", LoadRequest(target, options));
    const auto limit = [&](const char* name, int& asked) {
      const int has = loaded.value(name, asked);
      Require<Unsupported>(has >= asked, "its {} is {}, the case asks for {}", name, has, asked);
      asked = has;
    };
    limit("max_sessions", limits_.max_sessions);
    limit("capacity", limits_.capacity);
    limit("max_chunk", limits_.max_chunk);
    limit("max_rows", limits_.max_rows);
    vocab_ = loaded.value("vocab", 0);
    Require(vocab_ == store.spec().vocab, "load: a vocabulary of {}, expected {} as the checkpoint has", vocab_,
            store.spec().vocab);
  }
  void Return() {
    if (process_->healthy()) provider_.GiveBack(std::move(process_));
  }

  SessionId Opened(std::int64_t wire, int length) {
    auto slot = std::find_if(sessions_.begin(), sessions_.end(), [](const Session& s) { return !s.open; });
    if (slot == sessions_.end()) slot = sessions_.insert(sessions_.end(), Session{});
    *slot = {wire, length, slot->generation + 1, true};
    return {static_cast<int>(slot - sessions_.begin()), slot->generation};
  }
  const Session& Known(SessionId id) const {
    const bool known = id.index >= 0 && id.index < std::ssize(sessions_) && sessions_[id.index].open &&
                       sessions_[id.index].generation == id.generation;
    Require(known, "session {}.{} is not open", id.index, id.generation);
    return sessions_[id.index];
  }

  // Where the rows of a step go, once it is sure that they are those that were asked for.
  std::vector<RowsPart> Places(const Json& answer, StepResult* result) const {
    const Json& rows = answer.at("rows");
    Require<WireError>(rows.is_array() && rows.size() == result->feed.size(), "{} rows, {} were asked for", rows.size(),
                       result->feed.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const int feed = rows[i].at("feed").get<int>(), position = rows[i].at("position").get<int>();
      Require<WireError>(feed == result->feed[i] && position == result->position[i],
                         "row {} is of feed {} and position {}, expected {} and {}", i, feed, position, result->feed[i],
                         result->position[i]);
    }
    const std::size_t values = rows.size() * vocab_, bytes = values * sizeof(float);
    const std::size_t raw = answer.value("raw_bytes", std::size_t{0});
    Require<WireError>(raw == 0 || raw == bytes, "raw_bytes {}, expected {}", raw, bytes);
    if (raw == 0) return {{&result->capped, values, &result->raw}};
    return {{&result->capped, values}, {&result->raw, values}};
  }

  ProcessProvider& provider_;
  mutable std::unique_ptr<SystemProcess> process_;
  EngineOptions limits_;
  int vocab_ = 0;
  std::vector<Session> sessions_;
};

}  // namespace

TwinArithmetic DeclaredArithmetic(const Json& loaded, Precision precision) {
  TwinArithmetic arithmetic = Word(loaded, "operands", kTypes, precision.operands);
  const DType cache = precision.kv == precision.operands ? arithmetic.operands : precision.kv;
  arithmetic.cache = Word(loaded, "cache", kCacheTypes, cache);
  arithmetic.stream = Word(loaded, "stream", kTypes, DType::kF32);
  arithmetic.activations = Word(loaded, "activations", kActivations, ActivationRounding::kNone);
  arithmetic.gelu_table = Word(loaded, "gelu", kGelu, false);
  return arithmetic;
}

ProcessProvider::ProcessProvider(const SystemCommand& command) : command_(command) {
  std::unique_ptr<SystemProcess> process = Take();
  try {
    const Json& hello = process->hello();
    info_ = InfoFrom(hello);
    capabilities_ = CapabilitiesFrom(hello);
    precisions_ = hello.value("precisions", std::vector<std::string>());
  } catch (const Json::exception& error) {
    process->Fail(fmt::format("answered hello with something else than it promised: {}", error.what()));
  }
  Require(!info_.name.empty(), "system '{}': its hello has no name", command.command);
  GiveBack(std::move(process));
}

ProcessProvider::~ProcessProvider() = default;

std::unique_ptr<SystemProcess> ProcessProvider::Take() {
  if (idle_.empty()) return std::make_unique<SystemProcess>(command_);
  std::unique_ptr<SystemProcess> process = std::move(idle_.back());
  idle_.pop_back();
  return process;
}

void ProcessProvider::GiveBack(std::unique_ptr<SystemProcess> process) { idle_.push_back(std::move(process)); }

TwinArithmetic ProcessProvider::ArithmeticOf(const WeightStore&, const Target& target) {
  const Key key{target.model, assay::Name(target.precision), target.seed, target.device.name()};
  if (const auto refused = refused_.find(key); refused != refused_.end()) throw Unsupported(refused->second);
  if (const auto known = arithmetics_.find(key); known != arithmetics_.end()) return known->second;
  constexpr EngineOptions kSmall{.max_sessions = 1, .capacity = 16, .max_chunk = 16, .max_rows = 16};
  std::unique_ptr<SystemProcess> process = Take();
  try {
    const TwinArithmetic arithmetic =
        DeclaredArithmetic(process->Ask("load", LoadRequest(target, kSmall)), target.precision);
    GiveBack(std::move(process));
    return arithmetics_.emplace(key, arithmetic).first->second;
  } catch (const Unsupported& error) {
    GiveBack(std::move(process));
    refused_[key] = error.what();
    throw;
  }
}

std::unique_ptr<SystemUnderTest> ProcessProvider::Open(const WeightStore& store, const Target& target,
                                                       const EngineOptions& options) {
  return std::make_unique<ProcessUnderTest>(*this, store, target, options);
}

}  // namespace assay
