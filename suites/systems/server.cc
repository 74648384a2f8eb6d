#include "suites/systems/server.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/ops/ops_factory.h"
#include "suites/support/embedded.h"
#include "suites/systems/shared_rows.h"
#include "suites/systems/wire.h"

namespace assay {
namespace {

// What is asked for is none of the protocol's requests.
class UnknownRequest : public Error {
 public:
  using Error::Error;
};

struct Answer {
  Json head = Json::object();
  std::span<const float> rows{};  // that go with it, until the next request
};

Want WantOf(const std::string& name) {
  if (name == "none") return Want::kNone;
  if (name == "last") return Want::kLast;
  Require(name == "all", "want '{}': expected none, last or all", name);
  return Want::kAll;
}

class Server {
 public:
  explicit Server(EngineProvider& provider) : provider_(provider) {}

  Answer Handle(const Json& request) {
    const std::string name = request.value("request", Json()).is_string() ? request["request"].get<std::string>() : "";
    for (const auto& [known, handler] : kRequests)
      if (name == known) return (this->*handler)(request);
    Throw<UnknownRequest>("request '{}' is not known", name);
  }

 private:
  using Handler = Answer (Server::*)(const Json&);
  static const std::pair<const char*, Handler> kRequests[12];

  Answer Hello(const Json& request) {
    if (request.contains("shared_rows") && !shared_)
      shared_ = std::make_unique<SharedRows>(request["shared_rows"].get<int>());
    const SystemInfo info = provider_.Describe();
    Json capabilities;
    for (const char* name : {"chunk", "batch", "mixed_steps", "fork", "truncate", "decode", "logits", "raw_logits"})
      capabilities[name] = true;
    return {{{"protocol", kProtocol},
             {"name", info.name},
             {"version", info.version},
             {"commit", info.commit},
             {"device", DeviceAvailable(Device::Cuda()).ok ? "cuda" : "host"},
             {"precisions", PrecisionNames()},
             {"capabilities", capabilities},
             // On the host, which is where one arithmetic holds for every batch.
             {"claims", {{"batch_invariant", !DeviceAvailable(Device::Cuda()).ok}, {"repeatable", true}}}},
            {}};
  }

  Answer Load(const Json& request) {
    Target target;
    target.model = request.at("model").get<std::string>();
    target.precision = PrecisionFromName(request.value("precision", "fp32"));
    target.device = ResolveDevice(request.value("device", "auto"));
    target.seed = request.value("seed", std::uint64_t{0});
    target.batch_invariant = request.value("batch_invariant", false);
    EngineOptions options;
    options.max_sessions = request.at("max_sessions").get<int>();
    options.capacity = request.at("capacity").get<int>();
    options.max_chunk = request.value("max_chunk", options.capacity);
    options.max_rows = request.value("max_rows", options.max_sessions * options.max_chunk);
    const std::pair key(target.model, target.seed);
    system_.reset();
    sessions_.clear();
    if (!store_ || key_ != key) {
      store_.reset();
      store_ = OpenModel(ResolveModel(target.model), target.seed);
      key_ = key;
    }
    system_ = provider_.Open(*store_, target, options);
    return {{{"vocab", system_->vocab()},
             {"operands", Name(Precision{target.precision.operands, target.precision.operands})},
             {"cache", target.precision.kv == DType::kF8_E4M3 ? "fp8" : Name(target.precision)},
             {"activations", "as operands"},
             {"max_sessions", options.max_sessions},
             {"capacity", options.capacity},
             {"max_chunk", options.max_chunk},
             {"max_rows", options.max_rows}},
            {}};
  }

  Answer Open(const Json&) { return Opened(System().Open()); }
  Answer Fork(const Json& request) { return Opened(System().Fork(Session(request))); }
  Answer Close(const Json& request) {
    System().Close(Session(request));
    sessions_.erase(request.at("session").get<std::int64_t>());
    return {};
  }
  Answer Reset(const Json&) {
    for (const auto& [number, session] : sessions_) System().Close(session);
    sessions_.clear();
    return {};
  }
  Answer CanTruncate(const Json& request) {
    const Support can = System().CanTruncate(Session(request), request.at("length").get<int>());
    Require(can.ok, "{}", can.reason);
    return {};
  }
  Answer Truncate(const Json& request) {
    System().Truncate(Session(request), request.at("length").get<int>());
    return {};
  }
  Answer Length(const Json& request) { return {{{"length", System().Length(Session(request))}}, {}}; }

  Answer Step(const Json& request) {
    std::vector<Tokens> tokens;
    std::vector<Feed> feeds;
    for (const Json& feed : request.at("feeds")) {
      tokens.push_back(feed.at("tokens").get<Tokens>());
      feeds.push_back({Session(feed), {}, WantOf(feed.value("want", "last"))});
    }
    for (std::size_t i = 0; i < feeds.size(); ++i) feeds[i].tokens = tokens[i];
    const auto stamp = shared_ ? request.at("id").get<std::int64_t>() : 0;
    Engine& engine = System().engine()->inside();
    const bool caps = engine.spec().softcap != 0;
    std::span<float> logits;
    const auto place = [&](std::size_t count) { return (logits = Room(count)).data(); };
    const StepResult result = engine.Step(feeds, {.raw = true, .capped = caps, .place = place});
    Answer answer{{{"rows", Json::array()}}, logits};
    for (int row = 0; row < result.rows(); ++row)
      answer.head["rows"].push_back({{"feed", result.feed[row]}, {"position", result.position[row]}});
    if (logits.empty()) return answer;
    answer.head["bytes"] = logits.size_bytes();
    if (caps) answer.head["raw_bytes"] = logits.size_bytes() / 2;
    if (!shared_) return answer;
    shared_->Stamp(logits.size(), stamp);
    answer.head["shared"] = true;
    answer.rows = {};
    return answer;
  }

  Answer Decode(const Json& request) {
    std::vector<SessionId> ids;
    for (const Json& number : request.at("sessions")) ids.push_back(Numbered(number.get<std::int64_t>()));
    const auto first = request.at("first").get<Tokens>();
    Require(first.size() == ids.size(), "decode: {} sessions and {} first tokens", ids.size(), first.size());
    return {{{"tokens", System().Decode(ids, first, request.at("steps").get<int>())}}, {}};
  }

  // Steps of a text are recorded and replayed together: each took its share.
  Answer Time(const Json& request) {
    const std::string what = request.at("what").get<std::string>();
    Require(what == "decode" || what == "step", "time of '{}': expected decode or step", what);
    const auto start = Wire::Clock::now();
    Answer answer = what == "step" ? Step(request) : Decode(request);
    const double seconds = std::chrono::duration<double>(Wire::Clock::now() - start).count();
    const int steps = what == "step" ? 1 : request.at("steps").get<int>();
    answer.head["seconds"] = std::vector<double>(steps, seconds / steps);
    return answer;
  }

  // Where logits go: into memory that is shared, or to be sent from.
  std::span<float> Room(std::size_t count) {
    if (shared_) return {shared_->Room(count), count};
    unshared_.resize(count);
    return unshared_;
  }

  SystemUnderTest& System() {
    Require(system_ != nullptr, "nothing is loaded");
    return *system_;
  }
  Answer Opened(SessionId session) {
    sessions_[++last_] = session;
    return {{{"session", last_}}, {}};
  }
  SessionId Session(const Json& request) { return Numbered(request.at("session").get<std::int64_t>()); }
  SessionId Numbered(std::int64_t number) {
    System();
    const auto found = sessions_.find(number);
    Require(found != sessions_.end(), "session {} is not open", number);
    return found->second;
  }

  EngineProvider& provider_;
  std::unique_ptr<SharedRows> shared_;  // null: rows go through the stream
  std::vector<float> unshared_;
  std::pair<std::string, std::uint64_t> key_;
  std::unique_ptr<WeightStore> store_;
  std::unique_ptr<SystemUnderTest> system_;
  std::map<std::int64_t, SessionId> sessions_;
  std::int64_t last_ = 0;
};

constexpr std::pair<const char*, Server::Handler> Server::kRequests[]{
    {"hello", &Server::Hello},   {"load", &Server::Load},         {"open", &Server::Open},
    {"close", &Server::Close},   {"fork", &Server::Fork},         {"reset", &Server::Reset},
    {"length", &Server::Length}, {"truncate", &Server::Truncate}, {"can_truncate", &Server::CanTruncate},
    {"step", &Server::Step},     {"decode", &Server::Decode},     {"time", &Server::Time},
};

Json ErrorOf(const char* kind, const std::string& message) {
  return {{"error", {{"kind", kind}, {"message", message}}}};
}

Answer Guarded(Server& server, const Json& request) {
  try {
    Require(request.is_object(), "expected a line that is a JSON object");
    return server.Handle(request);
  } catch (const UnknownRequest& error) {
    return {ErrorOf("unsupported", error.what()), {}};
  } catch (const Json::exception& error) {
    return {ErrorOf("input", error.what()), {}};
  } catch (const InputError& error) {
    return {ErrorOf("input", error.what()), {}};
  } catch (const OutOfMemory& error) {
    return {ErrorOf("memory", error.what()), {}};
  } catch (const DeviceError& error) {
    return {ErrorOf("device", error.what()), {}};
  } catch (const std::exception& error) {
    return {ErrorOf("internal", error.what()), {}};
  }
}

}  // namespace

void ServeSystem(int descriptor, EngineProvider& provider) {
  Wire wire(descriptor);
  Server server(provider);
  while (const std::optional<std::string> line = wire.ReadLine(Wire::kNever)) {
    const Json request = Json::parse(*line, nullptr, false);
    Answer answer = Guarded(server, request);
    answer.head["id"] = request.is_object() ? request.value("id", Json()) : Json();
    wire.Send(answer.head.dump(-1, ' ', false, Json::error_handler_t::replace), answer.rows, Wire::kNever);
  }
}

}  // namespace assay
