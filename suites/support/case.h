// A case: one named thing a suite checks of one target; and groups of cases, the unit that a scheduler may place.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/random.h"
#include "suites/support/checker.h"
#include "suites/support/workbench.h"

namespace assay {

// Thrown by a body whose question this model cannot answer, whatever the system does: the case is skipped with the
// reason.
class CannotBeSeen : public Error {
 public:
  using Error::Error;
};

// What a case works with while it runs.
class CaseState {
 public:
  CaseState(Workbench& bench_in, const Target& target_in) : bench(bench_in), target(target_in) {
    bench.ForgetRouting();
  }

  Workbench& bench;
  const Target& target;
  Checker check;

  const ModelSpec& spec() { return bench.Spec(target); }
  ReferenceAnswers& references() { return bench.references(); }
  Tokens MadeUp(int stream, int length) { return RandomTokens(target.seed, stream, length, spec().vocab); }
  std::unique_ptr<SystemUnderTest> Open(const EngineOptions& options) { return bench.Open(target, options); }
  // Names of kernels that ran; the case's outcome holds them, so that what it covers can be told.
  void Watch(const std::vector<std::string>& kernels) { kernels_.insert(kernels.begin(), kernels.end()); }
  CaseOutcome Finish() const;

 private:
  std::set<std::string> kernels_;
};

struct Case {
  std::string suite;  // "BatchedDecode"
  std::string name;   // "MatchesSingleUser"
  Axes axes;          // of the target, then the case's own: n, length, ...
  Target target;
  std::vector<Capability> needs;
  std::function<void(CaseState&)> body;
  bool may_not_fit = false;  // a system or reference that does not fit on the device is a skip with the planner's words
  double tokens = 200;       // rough number of tokens that system and reference compute: the cost
  double seconds = 0.03;     // rough cost beside these, whatever the size of the model
  std::string id() const { return PrintId(suite, name, axes); }
};

// What a case costs on two cores of a host, roughly: for orders and estimates.
double RoughSeconds(Workbench& bench, const Case& item);

// The cases that share a loaded model on a device: another seed is another model.
struct CaseGroup {
  std::string model;   // label
  std::string device;  // kind: "host", "cuda"
  std::uint64_t seed = 0;
  std::vector<Case> cases;
  std::size_t memory_bytes = 0;  // of the device: weights and an engine of ordinary sizes
  double seconds = 0;            // rough
};
// In the order in which groups first appear; cases keep their order.
std::vector<CaseGroup> GroupCases(Workbench& bench, std::vector<Case> cases);

// What a suite is asked to cover: the product of the lists.
struct SuiteInputs {
  std::vector<std::string> models;  // paths, presets or embedded names
  std::vector<Precision> dtypes;
  std::vector<Device> devices;
  std::uint64_t seed = 0;
  bool batch_invariant = false;
  int seeds = 1;  // seed, seed + 1, ...: several are an axis
};
// The product, labelled. Two models of one name get the beginning of their identity behind it; two of one name and
// identity are refused (InputError naming both). Opens models' headers.
std::vector<Target> TargetsOf(Workbench& bench, const SuiteInputs& inputs);

// A case of a suite; `own` are its axes behind the target's.
Case MakeCase(const char* suite, const char* name, const Target& target, std::vector<Axes::Axis> own,
              std::vector<Capability> needs, std::function<void(CaseState&)> body);

}  // namespace assay
