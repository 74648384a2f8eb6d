#include "suites/support/system.h"

#include <algorithm>
#include <chrono>

namespace assay {

const char* Name(Capability capability) {
  switch (capability) {
    case Capability::kChunk:
      return "prompts in pieces";
    case Capability::kBatch:
      return "several sessions in a step";
    case Capability::kMixed:
      return "prompts beside single tokens in a step";
    case Capability::kFork:
      return "fork";
    case Capability::kTruncate:
      return "truncate";
    case Capability::kDecode:
      return "greedy decode";
    case Capability::kLogits:
      return "logits";
    case Capability::kRawLogits:
      return "logits before the softcap";
    case Capability::kInternals:
      break;
  }
  return "a look at caches, memory and ops";
}

Support Capabilities::Has(Capability capability) const {
  const auto missing = missing_.find(capability);
  if (missing == missing_.end()) return Support::Yes();
  return Support::No("the system under test has no {}: {}", Name(capability), missing->second);
}

Support Capabilities::HasAll(std::span<const Capability> needs) const {
  for (const Capability need : needs)
    if (Support has = Has(need); !has) return has;
  return Support::Yes();
}

SystemUnderTest::TimedRows SystemUnderTest::StepTimed(std::span<const Feed> feeds) {
  const auto start = std::chrono::steady_clock::now();
  TimedRows timed{Step(feeds), 0};
  timed.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return timed;
}

StepResult SystemUnderTest::Prefill(SessionId session, std::span<const std::int32_t> tokens, Want want, int chunk) {
  const std::size_t most = chunk > 0 ? chunk : limits().max_chunk;
  StepResult all;
  while (!tokens.empty()) {
    const auto some = tokens.first(std::min(most, tokens.size()));
    tokens = tokens.subspan(some.size());
    all.Append(Step(Feed{session, some, want == Want::kLast && !tokens.empty() ? Want::kNone : want}));
  }
  return all;
}

SessionId SystemUnderTest::OpenWith(std::span<const std::int32_t> tokens) {
  const SessionId session = Open();
  if (!tokens.empty()) Prefill(session, tokens, Want::kNone);
  return session;
}

}  // namespace assay
