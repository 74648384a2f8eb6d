// The options of every command, and what they are called with. Help, completion and the manual page come from here.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "ci/assay/commands.h"

namespace assay {

class CommandLine {
 public:
  CommandLine(const Invocation& invocation, CaseLister list);
  // Parses and runs; the exit code. Bad input is thrown.
  int Run();

 private:
  void AddRun();
  void AddSpread(CLI::App* command);
  void AddPlan();
  void AddWorker();
  void AddMerge();
  void AddStatus();
  void AddGolden();
  void AddBench();
  void AddGate();
  void AddList();
  void AddInspect();
  void AddValidate();
  void AddExport();
  void AddHistory();
  void AddTrend();
  void AddMutate();
  void AddFuzz();
  void AddSoak();
  void AddBisect();
  void AddServe();
  void AddSetup();

  const Invocation invocation_;
  const CaseLister list_cases_of_;
  CLI::App app_;
  int code_ = kExitInternal;
  RunArguments run_, list_, planned_;
  SpreadArguments spread_;
  PlanArguments plan_;
  WorkerArguments worker_;
  MergeArguments merge_, verify_;
  std::int64_t generation_ = 0;
  bool list_cases_ = false, list_groups_ = false;
  GoldenArguments golden_;
  BenchArguments bench_;
  GateArguments gate_;
  MutateArguments mutate_;
  FuzzArguments fuzz_;
  SoakArguments soak_;
  SystemArguments checked_system_;
  std::string checked_model_ = "hf-tiny/llama3";
  InspectArguments inspect_;
  ValidateArguments validate_;
  HistoryArguments history_;
  TrendArguments trend_;
  std::string folder_, shell_, run_folder_, bisected_, bisected_case_;
  std::string export_format_, export_report_, export_out_;
};

}  // namespace assay
