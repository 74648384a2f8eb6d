// assay: runs oracle suites on checkpoints, judges recorded answers, inspects models, checks reports.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <system_error>

#include "bench/cases/cases.h"
#include "ci/assay/commands.h"
#include "engine/base/check.h"
#include "engine/ops/ops_factory.h"
#include "reports/environment/build.h"
#include "reports/format/report.h"
#include "suites/suites.h"

namespace assay {
namespace {

// An option that may be given several times, one argument each: what follows is the next option or a model.
template <class Value>
CLI::Option* AddList(CLI::App* command, const char* name, std::vector<Value>* values, const std::string& about) {
  return command->add_option(name, *values, about)->allow_extra_args(false);
}

template <class Arguments>
void AddPatterns(CLI::App* command, Arguments* arguments) {
  AddList(command, "--case", &arguments->patterns, "id of a case; * and ? match several");
  AddList(command, "--exclude", &arguments->excluded, "id of a case, or suite, to leave out; * and ? match several");
}

void AddSelection(CLI::App* command, RunArguments* arguments) {
  AddList(command, "models,--model", &arguments->models,
          "checkpoint folder, .gguf file, embedded model or preset; commas separate, * and ? match names");
  AddList(command, "--suite", &arguments->suites, "suites; default: all")->delimiter(',');
  AddPatterns(command, arguments);
  command->add_flag("--batch-invariant", arguments->batch_invariant,
                    "the engine's results must not depend on the batch");
}

// The largest is what JSON readers take for an integer.
std::string Seed(const std::string& text) {
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  const bool ok = error == std::errc() && end == text.data() + text.size() && seed <= std::uint64_t{INT64_MAX};
  return ok ? "" : fmt::format("'{}': expected a number from 0 to {}", text, INT64_MAX);
}

std::string Seconds(const std::string& text) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const bool ok = error == std::errc() && end == text.data() + text.size() && seconds > 0 && seconds <= 86400;
  return ok ? "" : fmt::format("'{}': expected more than 0 and at most 86400", text);
}

std::string DeviceName(const std::string& text) {
  try {
    ResolveDevice(text);
    return "";
  } catch (const InputError& error) {
    return error.what();
  }
}

// Options that every command which runs cases takes alike.
template <class Arguments>
void AddRunning(CLI::App* command, Arguments* arguments) {
  command->add_option("--device", arguments->device, "where the engine runs: auto, host, cuda or cuda:N")
      ->capture_default_str()
      ->check(DeviceName);
  AddList(command, "--dtype", &arguments->dtypes,
          std::string("modes of the engine: fp32, fp16, bf16") + (arguments->dtypes.empty() ? "; default: all" : ""))
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--seed", arguments->seed, "seed of made-up tokens and synthetic weights")
      ->capture_default_str()
      ->check(Seed);
}

// How commands that judge cases go about it.
void AddControl(CLI::App* command, RunControl* control) {
  command->add_option("--require", control->require, "exit 4 unless a case ran on this device: host, cuda or cuda:N")
      ->check(DeviceName);
  CLI::Option* most = command->add_option("--max-failures", control->max_failures, "end after so many failures")
                          ->check(CLI::Range(1, 1 << 30));
  command
      ->add_flag_callback("--fail-fast", [control] { control->max_failures = 1; }, "end after the first failure")
      ->excludes(most);
  command->add_option("--timeout", control->timeout_s, "seconds that a case may take; one that takes more ends the run")
      ->check(Seconds);
  command->add_option("--durations", control->durations, "list so many of the slowest cases")
      ->check(CLI::Range(1, 1 << 30));
  command->add_flag("--quiet,-q", control->quiet, "print failures and the last line alone");
}

std::string VersionText() {
  const BuildInfo build = ThisBuild();
  return fmt::format("assay {} commit {}{} {} {}{}", build.version, build.commit, build.dirty ? " (dirty)" : "",
                     build.compiler, build.build_type, build.cuda.empty() ? " without CUDA" : " CUDA " + build.cuda);
}

int Main(int argc, char** argv) {
  CLI::App app{"Assay: does batched serving compute what one user alone would get, and how close to the hardware?"};
  app.require_subcommand(1);
  app.set_version_flag("--version", VersionText);
  const Invocation invocation{argc, argv};
  int code = kExitInternal;

  RunArguments run;
  CLI::App* run_command = app.add_subcommand("run", "run oracle suites; write a report");
  AddSelection(run_command, &run);
  AddRunning(run_command, &run);
  AddControl(run_command, &run.control);
  run_command->add_option("--repeat", run.repeat, "seeds to run, from --seed on; what flipped between them is listed")
      ->check(CLI::Range(1, 1 << 20));
  run_command->add_option("--rerun-failed", run.rerun, "report whose failed cases are run again");
  run_command->add_option("--report", run.report, "file to write; .gz compresses");
  run_command->callback([&] { code = RunCommand(run, invocation); });

  GoldenArguments golden;
  CLI::App* golden_command = app.add_subcommand("golden", "judge reference and engine against recorded logits");
  golden_command->add_option("model,--model", golden.model, "checkpoint")->required();
  golden_command->add_option("--goldens", golden.goldens,
                             "goldens.safetensors or .logits.json; default: beside the model");
  AddPatterns(golden_command, &golden);
  AddRunning(golden_command, &golden);
  AddControl(golden_command, &golden.control);
  golden_command->add_option("--report", golden.report, "file to write");
  golden_command->callback([&] { code = GoldenCommand(golden, invocation); });

  BenchArguments bench;
  CLI::App* bench_command =
      app.add_subcommand("bench", "time what parity has verified, against the measured limits of the device");
  AddList(bench_command, "models,--model", &bench.models,
          "checkpoint folder, .gguf file, embedded model or preset; commas separate, * and ? match names")
      ->capture_default_str();
  std::vector<std::string> abouts;
  for (const BenchEntry& entry : Benchmarks()) abouts.push_back(fmt::format("{}: {}", entry.name, entry.about));
  AddList(bench_command, "--what", &bench.what, fmt::format("{}", fmt::join(abouts, "; ")))
      ->delimiter(',')
      ->capture_default_str();
  AddList(bench_command, "--n", &bench.sessions, "sessions decoded together")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 16));
  AddList(bench_command, "--ctx", &bench.contexts, "tokens in each session's cache when a step starts")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24));
  AddList(bench_command, "--prompt", &bench.prompts, "shape of a prefill: tokens (2048) or prompts x tokens (32x64)")
      ->delimiter(',')
      ->capture_default_str();
  AddRunning(bench_command, &bench);
  bench_command->add_flag("--batch-invariant", bench.batch_invariant,
                          "the mode in which a row's results do not depend on its batch");
  bench_command->add_option("--seconds", bench.seconds, "timed repeats of a row; as long again at most to warm up")
      ->capture_default_str()
      ->check(Seconds);
  bench_command->add_option("--report", bench.report, "file to write");
  bench_command->callback([&] { code = BenchCommand(bench, invocation); });

  RunArguments list;
  bool list_cases = false, list_groups = false;
  CLI::App* list_command = app.add_subcommand("list", "suites, models and devices, or the cases a selection has");
  CLI::Option* cases = list_command->add_flag("--cases", list_cases, "print case ids");
  list_command->add_flag("--groups", list_groups, "print groups of cases that share a loaded model: what a scheduler may place")
      ->excludes(cases);
  list_command->add_flag("--json", list.json, "as JSON: ids, axes and rough seconds");
  AddSelection(list_command, &list);
  AddRunning(list_command, &list);
  std::vector<const CLI::Option*> selections;
  for (const CLI::Option* option : list_command->get_options())
    if (const std::string name = option->get_name();
        name != "--cases" && name != "--groups" && name != "--help" && name != "--json")
      selections.push_back(option);
  list_command->callback([&] {
    for (const CLI::Option* option : selections)
      if (!option->empty() && !list_cases && !list_groups)
        throw CLI::RequiresError(option->get_name(), "--cases or --groups");
    code = ListCommand(list, list_groups  ? ListWhat::kGroups
                             : list_cases ? ListWhat::kCases
                                          : ListWhat::kOverview);
  });

  InspectArguments inspect;
  CLI::App* inspect_command =
      app.add_subcommand("inspect", "geometry, KV plan and tensors of a model; reads headers only");
  AddList(inspect_command, "models,--model", &inspect.models,
          "checkpoint folder, .gguf file, embedded model or preset; commas separate, * and ? match names")
      ->required();
  inspect_command->add_flag("--json", inspect.json, "a line of JSON a model");
  inspect_command->add_option("--context", inspect.context, "positions per session; default: the model's, at most 4096")
      ->check(CLI::Range(1, 1 << 24));
  inspect_command->add_option("--max-chunk", inspect.max_chunk, "most rows of a session in a step")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24));
  inspect_command->callback([&] { code = InspectCommand(inspect); });

  ValidateArguments validate;
  CLI::App* validate_command = app.add_subcommand("validate", "check a report's shape and that it agrees with itself");
  validate_command->add_option("reports", validate.files, "files; - is standard input")->required();
  validate_command->add_flag("--require-pass", validate.require_pass,
                             "exit as the run did: 1 FAIL, 3 INCONCLUSIVE, 4 INCOMPLETE");
  validate_command->add_option("--comparable", validate.comparable,
                               "another report, or 'here' for this machine: exit 5 unless numbers may be compared");
  validate_command->callback([&] { code = ValidateCommand(validate); });

  std::string folder;
  CLI::App* history_command = app.add_subcommand("history", "the folder of kept reports");
  history_command->require_subcommand(1);
  CLI::App* render_command = history_command->add_subcommand("render", "print its page, made of the reports alone");
  render_command->add_option("folder", folder, "folder of reports, with a preface.md or without")->required();
  render_command->callback([&] { code = RenderHistoryCommand(folder); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitPass : kExitUsage;
  }
  return code;
}

// Never throws: standard error may be what cannot be written.
void Complain(const std::string& text) { std::fputs(("assay: " + text + "\n").c_str(), stderr); }

// Bad input and unusable resources are the caller's to mend; anything else is ours.
int CodeOf(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const NoSuchModel& error) {
    Complain(error.what());
    return kExitIncomplete;
  } catch (const ReportVersionError& error) {
    Complain(error.what());
    return kExitNotComparable;
  } catch (const Error& error) {
    Complain(error.what());
    return kExitUsage;
  } catch (const ReportError& error) {
    Complain(error.what());
    return kExitUsage;
  } catch (const std::system_error& error) {
    Complain(error.what());
    return kExitUsage;
  } catch (const std::exception& error) {
    Complain(fmt::format("internal error: {}", error.what()));
  } catch (...) {
    Complain("internal error");
  }
  return kExitInternal;
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  int code = assay::kExitInternal;
  try {
    code = assay::Main(argc, argv);
  } catch (...) {
    code = assay::CodeOf(std::current_exception());
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    assay::Complain("standard output cannot be written");
    if (code == assay::kExitPass) code = assay::kExitUsage;
  }
  return code;
}
