// The options of every command, and what they are called with. Help, completion and the manual page come from here.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "ci/assay/commands.h"

namespace assay {

class CommandLine {
 public:
  explicit CommandLine(const Invocation& invocation);
  // Parses and runs; the exit code. Bad input is thrown.
  int Run();

 private:
  void AddRun();
  void AddGolden();
  void AddBench();
  void AddGate();
  void AddList();
  void AddInspect();
  void AddValidate();
  void AddExport();
  void AddHistory();
  void AddMutate();
  void AddFuzz();
  void AddBisect();
  void AddSetup();

  const Invocation invocation_;
  CLI::App app_;
  int code_ = kExitInternal;
  RunArguments run_, list_;
  bool list_cases_ = false, list_groups_ = false;
  GoldenArguments golden_;
  BenchArguments bench_;
  GateArguments gate_;
  MutateArguments mutate_;
  FuzzArguments fuzz_;
  InspectArguments inspect_;
  ValidateArguments validate_;
  std::string folder_, shell_, bisected_, bisected_case_;
  std::string export_format_, export_report_, export_out_;
};

}  // namespace assay
