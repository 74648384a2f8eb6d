// A child process as the system under test: suites see it as they see the engine of this tree.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "suites/support/system.h"
#include "suites/systems/system_process.h"

namespace assay {

// Makes systems of one command. A process that a case is done with serves the next one; one that failed is gone, and
// the next case gets a fresh one. Two systems that are open together are two processes.
class ProcessProvider : public SystemProvider {
 public:
  // Starts a process to learn what the system is. Throws SystemFailure.
  explicit ProcessProvider(const SystemCommand& command);
  ~ProcessProvider() override;

  SystemInfo Describe() const override { return info_; }
  Capabilities CapabilitiesOf(const Target&) const override { return capabilities_; }
  bool Loose() const override { return !info_.claims_batch_invariance; }
  TwinArithmetic ArithmeticOf(const WeightStore& store, const Target& target) override;
  std::unique_ptr<SystemUnderTest> Open(const WeightStore& store, const Target& target,
                                        const EngineOptions& options) override;

  // Modes that the system has: of --dtype when none is named. Empty: it does not say.
  const std::vector<std::string>& precisions() const { return precisions_; }
  // A process for whoever speaks the protocol itself.
  std::unique_ptr<SystemProcess> Take();
  void GiveBack(std::unique_ptr<SystemProcess> process);
  // Ends those that are idle: the next system has a fresh one.
  void EndIdle() { idle_.clear(); }

 private:
  using Key = std::tuple<std::string, std::string, std::uint64_t, std::string>;  // model, dtype, seed, device

  SystemCommand command_;
  std::vector<std::unique_ptr<SystemProcess>> idle_;
  SystemInfo info_;
  Capabilities capabilities_;
  std::vector<std::string> precisions_;
  std::map<Key, TwinArithmetic> arithmetics_;
  std::map<Key, std::string> refused_;
};

// The arithmetic that an answer to load declares. Throws InputError for a word that no twin knows.
TwinArithmetic DeclaredArithmetic(const Json& loaded, Precision precision);

}  // namespace assay
