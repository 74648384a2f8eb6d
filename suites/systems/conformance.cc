#include "suites/systems/conformance.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <utility>

#include "suites/support/system.h"

namespace assay {
namespace {

constexpr int kSessions = 3, kCapacity = 12, kChunk = 8, kRows = 24;
constexpr double kEndSeconds = 5;

// A wrong request: its keys, and the kind of error that must answer it.
struct Refused {
  const char* what;
  const char* request;  // SESSION and VOCAB are put in
  const char* kind;
};

constexpr Refused kRefused[] = {
    {"an unknown request", R"("request": "transmogrify")", "unsupported"},
    {"no request", R"("session": SESSION)", "unsupported"},
    {"a request that is a number", R"("request": 7)", "unsupported"},
    {"a session that is not open", R"("request": "length", "session": 987654)", "input"},
    {"a session that is a list", R"("request": "length", "session": [SESSION])", "input"},
    {"no session", R"("request": "close")", "input"},
    {"a step of a session that is not open", R"("request": "step", "feeds": [{"session": 987654, "tokens": [1]}])",
     "input"},
    {"a step without feeds", R"("request": "step", "feeds": [])", "input"},
    {"feeds that are a number", R"("request": "step", "feeds": 3)", "input"},
    {"a feed without tokens", R"("request": "step", "feeds": [{"session": SESSION, "tokens": []}])", "input"},
    {"a token below 0", R"("request": "step", "feeds": [{"session": SESSION, "tokens": [-1]}])", "input"},
    {"a token beyond the vocabulary", R"("request": "step", "feeds": [{"session": SESSION, "tokens": [VOCAB]}])",
     "input"},
    {"a token that is a text", R"("request": "step", "feeds": [{"session": SESSION, "tokens": ["a"]}])", "input"},
    {"a session fed twice",
     R"("request": "step", "feeds": [{"session": SESSION, "tokens": [1]}, {"session": SESSION, "tokens": [1]}])",
     "input"},
    {"more tokens than a chunk", R"("request": "step", "feeds": [{"session": SESSION, "tokens": [1,1,1,1,1,1,1,1,1]}])",
     "input"},
    {"an unknown want", R"("request": "step", "feeds": [{"session": SESSION, "tokens": [1], "want": "some"}])",
     "input"},
    {"decode without steps", R"("request": "decode", "sessions": [SESSION], "first": [1], "steps": 0)", "input"},
    {"decode with too few tokens", R"("request": "decode", "sessions": [SESSION], "first": [], "steps": 1)", "input"},
};

constexpr std::pair<const char*, const char*> kJunk[] = {
    {"a line that is no JSON", "this is no JSON"}, {"an empty line", ""}, {"a list", "[1, 2, 3]"}, {"a number", "17"},
    {"half an object", "{\"request\": \"open\""},
};

class Conformance {
 public:
  Conformance(const SystemCommand& command, const std::string& model) : command_(command), model_(model) {}

  std::vector<ConformanceCheck> Run() {
    Do("hello", [&] { Fresh(); });
    Do("load", [&] { Load(); });
    if (!checks_.back().problem.empty()) return std::move(checks_);
    Do("open, step and length", [&] { Rows(); });
    Do("rows that are wanted: none, last, all", [&] { Wants(); });
    Do("rows through the stream, where no memory is shared", [&] { Unshared(); });
    Capable("batch", "two sessions in a step", [&] { Batch(); });
    Capable("fork", "fork", [&] { Fork(); });
    Capable("truncate", "truncate and can_truncate", [&] { Truncate(); });
    Capable("decode", "decode", [&] { Decode(); });
    Do("close frees a session, reset all of them", [&] { CloseAndReset(); });
    Do("more sessions than there may be: capacity", [&] { Sessions(); });
    Do("more tokens than the capacity: capacity", [&] { Capacity(); });
    for (const Refused& refused : kRefused)
      Do(fmt::format("{}: {}", refused.what, refused.kind), [&] { Refuses(refused); });
    for (const auto& [what, line] : kJunk) Do(fmt::format("{}: input", what), [&, line = line] { Junk(line); });
    Do("unknown keys are ignored", [&] { UnknownKeys(); });
    Do("a line of more than 1 MiB: an error, or the end", [&] { LongLine(); });
    Do("load again, nothing of before is left", [&] { LoadAgain(); });
    Do("load of a model that is not there: an error", [&] { NoModel(); });
    Do("it ends when the stream is closed", [&] { Ends(); });
    return std::move(checks_);
  }

 private:
  void Do(std::string what, const std::function<void()>& check) {
    checks_.push_back({std::move(what), {}});
    try {
      check();
    } catch (const std::exception& error) {
      checks_.back().problem = error.what();
      if (process_ && !process_->healthy()) process_.reset();
    }
  }

  void Capable(const char* capability, std::string what, const std::function<void()>& check) {
    const Json says = capabilities_.value(capability, Json(false));
    if (says == Json(true)) return Do(std::move(what), check);
    checks_.push_back({std::move(what), says.is_string() ? says.get<std::string>() : "it does not say why", true});
  }

  void Fresh() {
    process_ = std::make_unique<SystemProcess>(command_);
    capabilities_ = process_->hello().value("capabilities", Json::object());
  }
  SystemProcess& Process() {
    if (!process_) {
      Fresh();
      Load();
    }
    return *process_;
  }

  void Load() {
    if (!process_) Fresh();
    const Json precisions = process_->hello().value("precisions", Json::array({"fp32"}));
    const Json loaded = process_->Ask("load", {{"model", model_},
                                               {"precision", precisions.empty() ? Json("fp32") : precisions[0]},
                                               {"device", "host"},
                                               {"batch_invariant", false},
                                               {"seed", 0},
                                               {"max_sessions", kSessions},
                                               {"capacity", kCapacity},
                                               {"max_chunk", kChunk},
                                               {"max_rows", kRows}});
    vocab_ = loaded.value("vocab", 0);
    Require(vocab_ > 1, "load answers vocab {}", vocab_);
  }

  std::int64_t Open() { return Process().Ask("open").at("session").get<std::int64_t>(); }
  void Close(std::int64_t session) { Process().Ask("close", {{"session", session}}); }
  void ExpectLength(std::int64_t session, int expected) {
    const int length = Process().Ask("length", {{"session", session}}).at("length").get<int>();
    Require(length == expected, "length {}, expected {}", length, expected);
  }

  static Json Feed(std::int64_t session, const std::vector<int>& tokens, const char* want) {
    return {{"session", session}, {"tokens", tokens}, {"want", want}};
  }
  // The rows of a step, capped ones, `count` of them.
  std::vector<float> Step(const Json& feeds, std::size_t count) {
    std::vector<float> capped, raw;
    Process().Ask("step", {{"feeds", feeds}}, [&](const Json& answer) {
      Require<WireError>(answer.at("rows").size() == count, "{} rows, expected {}", answer["rows"].size(), count);
      std::vector<RowsPart> parts{{&capped, count * vocab_}};
      if (answer.value("raw_bytes", 0) > 0) parts.push_back({&raw, count * vocab_});
      return parts;
    });
    const auto finite = [](float value) { return std::isfinite(value); };
    Require(std::all_of(capped.begin(), capped.end(), finite) && std::all_of(raw.begin(), raw.end(), finite),
            "logits that are not finite");
    return capped;
  }

  void Rows() {
    const std::int64_t session = Open();
    ExpectLength(session, 0);
    Step(Json::array({Feed(session, {1, 0, 1}, "all")}), 3);
    ExpectLength(session, 3);
    Step(Json::array({Feed(session, {1}, "last")}), 1);
    ExpectLength(session, 4);
    Close(session);
  }

  // Rows of a prompt of three tokens.
  std::vector<float> Prompt() {
    const std::int64_t session = Open();
    const std::vector<float> rows = Step(Json::array({Feed(session, {1, 0, 1}, "all")}), 3);
    Close(session);
    return rows;
  }

  void Unshared() {
    SystemCommand command = command_;
    command.shares_rows = false;
    const std::vector<float> sent = Conformance(command, model_).Prompt(), rows = Prompt();
    Require(rows.size() == sent.size(), "{} logits, {} in shared memory", sent.size(), rows.size());
    double most = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) most = std::max<double>(most, std::abs(rows[i] - sent[i]));
    const auto [least, largest] = std::minmax_element(rows.begin(), rows.end());
    const double allowed = std::min(1.0, 0.1 * (*largest - *least));
    Require(most <= allowed, "the rows differ by {} from those in shared memory, {} is allowed", most, allowed);
  }

  void Wants() {
    const std::int64_t session = Open(), other = Open();
    const std::vector<float> all = Step(Json::array({Feed(session, {1, 0, 1}, "all")}), 3);
    Step(Json::array({Feed(other, {1, 0}, "none")}), 0);
    const std::vector<float> last = Step(Json::array({Feed(other, {1}, "last")}), 1);
    double most = 0;
    for (int i = 0; i < vocab_; ++i) most = std::max<double>(most, std::abs(last[i] - all[2 * vocab_ + i]));
    Require(most < 1, "the last row of a prompt differs by {} when it comes in two pieces", most);
    Close(session);
    Close(other);
  }

  void Batch() {
    const std::int64_t a = Open(), b = Open();
    Step(Json::array({Feed(a, {1, 0}, "last"), Feed(b, {0}, "all")}), 2);
    ExpectLength(a, 2);
    ExpectLength(b, 1);
    Close(a);
    Close(b);
  }

  void Fork() {
    const std::int64_t session = Open();
    Step(Json::array({Feed(session, {1, 0}, "none")}), 0);
    const auto copy = Process().Ask("fork", {{"session", session}}).at("session").get<std::int64_t>();
    Require(copy != session, "fork answers the session itself");
    ExpectLength(copy, 2);
    Step(Json::array({Feed(copy, {1}, "last")}), 1);
    ExpectLength(session, 2);
    Close(session);
    ExpectLength(copy, 3);
    Close(copy);
  }

  void Truncate() {
    const std::int64_t session = Open();
    Step(Json::array({Feed(session, {1, 0, 1}, "none")}), 0);
    Process().Ask("can_truncate", {{"session", session}, {"length", 2}});
    ExpectLength(session, 3);
    Process().Ask("truncate", {{"session", session}, {"length", 2}});
    ExpectLength(session, 2);
    for (const char* request : {"can_truncate", "truncate"})
      ExpectError(fmt::format(R"("request": "{}", "session": {}, "length": 3)", request, session), {"input"});
    ExpectLength(session, 2);
    Close(session);
  }

  void Decode() {
    const std::int64_t session = Open(), other = Open();
    for (const std::int64_t each : {session, other}) Step(Json::array({Feed(each, {1, 0}, "none")}), 0);
    const Json texts = Process().Ask("decode", {{"sessions", {session}}, {"first", {1}}, {"steps", 3}}).at("tokens");
    Require(texts.size() == 1 && texts[0].size() == 3, "tokens {}, expected one list of 3", texts.dump());
    ExpectLength(session, 5);
    int token = 1;
    for (int step = 0; step < 3; ++step) {
      const std::vector<float> row = Step(Json::array({Feed(other, {token}, "last")}), 1);
      token = static_cast<int>(std::max_element(row.begin(), row.end()) - row.begin());
      const int found = texts[0][step].get<int>();
      Require(found == token, "step {}: token {}, a step with logits prefers {}", step, found, token);
    }
    Close(session);
    Close(other);
  }

  void CloseAndReset() {
    for (int round = 0; round < 2; ++round) {
      std::vector<std::int64_t> sessions;
      for (int i = 0; i < kSessions; ++i) sessions.push_back(Open());
      Step(Json::array({Feed(sessions[0], {1}, "none")}), 0);
      if (round == 0)
        for (const std::int64_t session : sessions) Close(session);
      else
        Process().Ask("reset");
    }
    const std::int64_t session = Open();
    ExpectLength(session, 0);
    Process().Ask("reset");
    ExpectError(fmt::format(R"("request": "length", "session": {})", session), {"input"});
  }

  void Sessions() {
    for (int i = 0; i < kSessions; ++i) Open();
    ExpectError(R"("request": "open")", {"capacity", "input"});
    Process().Ask("reset");
  }

  void Capacity() {
    const std::int64_t session = Open();
    Step(Json::array({Feed(session, {1, 1, 1, 1, 1, 1, 1, 1}, "none")}), 0);
    ExpectError(fmt::format(R"("request": "step", "feeds": [{{"session": {}, "tokens": [1,1,1,1,1]}}])", session),
                {"capacity", "input"});
    ExpectLength(session, kCapacity - 4);
    Step(Json::array({Feed(session, {1, 1, 1, 1}, "last")}), 1);
    ExpectError(fmt::format(R"("request": "step", "feeds": [{{"session": {}, "tokens": [1]}}])", session),
                {"capacity", "input"});
    Close(session);
  }

  void Refuses(const Refused& refused) {
    const std::int64_t session = Open();
    Step(Json::array({Feed(session, {1, 0}, "none")}), 0);
    std::string request = refused.request;
    for (const auto& [name, value] : {std::pair<std::string, std::int64_t>("SESSION", session), {"VOCAB", vocab_}})
      for (std::size_t at; (at = request.find(name)) != std::string::npos;)
        request.replace(at, name.size(), std::to_string(value));
    ExpectError(request, {refused.kind});
    ExpectLength(session, 2);
    Close(session);
  }

  void Junk(const char* line) {
    const std::int64_t session = Open();
    ExpectKind(Json::parse(Process().Exchange(line, command_.timeout_s), nullptr, false), Json(), {"input"});
    ExpectLength(session, 0);
    Close(session);
  }

  void UnknownKeys() {
    const Json answer = Process().Ask("open", {{"colour", "blue"}, {"depth", Json::array({1, 2})}});
    Close(answer.at("session").get<std::int64_t>());
  }

  void LongLine() {
    try {
      const Json answer = Json::parse(
          Process().Exchange(std::string(kLongestLine + 4096, ' ') + "{}", command_.timeout_s), nullptr, false);
      Require(answer.is_object() && answer.contains("error"), "answered {}", answer.dump());
    } catch (const SystemFailure&) {
    }
    process_.reset();
  }

  void LoadAgain() {
    const std::int64_t session = Open();
    Load();
    ExpectError(fmt::format(R"("request": "length", "session": {})", session), {"input"});
  }

  void NoModel() {
    ExpectError(R"("request": "load", "model": "/nowhere/at/all.gguf", "precision": "fp32", "device": "host",
                   "batch_invariant": false, "seed": 0, "max_sessions": 1, "capacity": 8, "max_chunk": 8, "max_rows": 8)",
                {"input", "unsupported"});
    process_.reset();
  }

  void Ends() {
    Process();
    const auto start = std::chrono::steady_clock::now();
    const std::optional<ChildProcess::End> end = process_->Close(std::chrono::milliseconds(5000));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    process_.reset();
    Require(end && !end->killed, "it still runs {:g} s after its stream was closed", kEndSeconds);
    Require(seconds < kEndSeconds && end->signal == 0 && end->code == 0, "it {}", end->how);
  }

  void ExpectError(std::string keys, const std::vector<std::string>& kinds) {
    std::replace(keys.begin(), keys.end(), '\n', ' ');
    const Json id = fmt::format("check {}", ++number_);
    const std::string line = fmt::format(R"({{"id": {}, {}}})", id.dump(), keys);
    ExpectKind(Json::parse(Process().Exchange(line, command_.timeout_s), nullptr, false), id, kinds);
  }
  static void ExpectKind(const Json& answer, const Json& id, const std::vector<std::string>& kinds) {
    Require(answer.is_object() && answer.contains("error"), "expected an error, found {}", answer.dump());
    Require(answer.value("id", Json("none")) == id, "expected id {}, found {}", id.dump(),
            answer.value("id", Json("none")).dump());
    const std::string kind = answer["error"].value("kind", "");
    Require(std::find(kinds.begin(), kinds.end(), kind) != kinds.end() && answer["error"].contains("message"),
            "expected an error of kind {}, found {}", kinds.front(), answer["error"].dump());
  }

  SystemCommand command_;
  std::string model_;
  std::unique_ptr<SystemProcess> process_;
  std::vector<ConformanceCheck> checks_;
  Json capabilities_ = Json::object();
  int vocab_ = 0, number_ = 0;
};

}  // namespace

std::vector<ConformanceCheck> CheckConformance(const SystemCommand& command, const std::string& model) {
  return Conformance(command, model).Run();
}

}  // namespace assay
