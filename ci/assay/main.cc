// assay: runs oracle suites on checkpoints, judges recorded answers, inspects models, checks reports.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <exception>

#include "ci/assay/commands.h"
#include "engine/base/check.h"
#include "reports/context.h"
#include "suites/suites.h"

namespace assay {
namespace {

void AddSelection(CLI::App* command, RunArguments* arguments) {
  command->add_option("--model", arguments->models,
                      "checkpoint folder, .gguf file, embedded model or preset; * and ? match names");
  command->add_option("--suite", arguments->suites, "suite; default: all");
  command->add_option("--case", arguments->pattern, "id of a case; * and ? match several");
  command->add_flag("--batch-invariant", arguments->batch_invariant,
                    "the engine's results must not depend on the batch");
}

// Options that every command which runs cases takes alike.
template <class Arguments>
void AddRunning(CLI::App* command, Arguments* arguments) {
  command->add_option("--device", arguments->device, "where the engine runs")
      ->check(CLI::IsMember({"auto", "host", "cuda"}));
  command->add_option("--dtype", arguments->dtypes, "mode of the engine; default: all")
      ->check(CLI::IsMember({"fp32", "fp16", "bf16"}));
  command->add_option("--seed", arguments->seed, "seed of made-up tokens and synthetic weights");
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
  run_command->add_option("--report", run.report, "file to write");
  run_command->callback([&] { code = RunCommand(run, invocation); });

  GoldenArguments golden;
  CLI::App* golden_command = app.add_subcommand("golden", "judge reference and engine against recorded logits");
  golden_command->add_option("model,--model", golden.model, "checkpoint")->required();
  golden_command->add_option("--goldens", golden.goldens,
                             "goldens.safetensors or .logits.json; default: beside the model");
  golden_command->add_option("--case", golden.pattern, "id of a case; * and ? match several");
  AddRunning(golden_command, &golden);
  golden_command->add_option("--report", golden.report, "file to write");
  golden_command->callback([&] { code = GoldenCommand(golden, invocation); });

  BenchArguments bench;
  CLI::App* bench_command =
      app.add_subcommand("bench", "time what parity has verified, against the measured limits of the device");
  bench_command->add_option("--model", bench.models,
                            "checkpoint folder, .gguf file, embedded model or preset; * and ? match names");
  bench_command->add_option("--what", bench.what, "decode, prefill, load, ops")
      ->check(CLI::IsMember({"decode", "prefill", "load", "ops"}));
  bench_command->add_option("--n", bench.sessions, "sessions decoded together")->check(CLI::Range(1, 1 << 16));
  bench_command->add_option("--ctx", bench.contexts, "tokens in each session's cache when a step starts")
      ->check(CLI::Range(1, 1 << 24));
  bench_command->add_option("--prompt", bench.prompts, "shape of a prefill: tokens (2048) or prompts x tokens (32x64)");
  AddRunning(bench_command, &bench);
  bench_command->add_flag("--batch-invariant", bench.batch_invariant,
                          "the mode in which a row's results do not depend on its batch");
  bench_command->add_option("--seconds", bench.seconds, "timed repeats of a row; as long again at most to warm up")
      ->check(CLI::PositiveNumber);
  bench_command->add_option("--report", bench.report, "file to write");
  bench_command->callback([&] { code = BenchCommand(bench, invocation); });

  RunArguments list;
  bool list_cases = false;
  CLI::App* list_command = app.add_subcommand("list", "suites, models and devices, or the cases a selection has");
  list_command->add_flag("--cases", list_cases, "print case ids");
  AddSelection(list_command, &list);
  AddRunning(list_command, &list);
  list_command->callback([&] { code = ListCommand(list, list_cases); });

  InspectArguments inspect;
  CLI::App* inspect_command =
      app.add_subcommand("inspect", "geometry, KV plan and tensors of a model; reads headers only");
  inspect_command->add_option("model", inspect.model, "checkpoint folder, .gguf file, embedded model or preset")
      ->required();
  inspect_command->add_option("--context", inspect.context, "positions per session")->check(CLI::PositiveNumber);
  inspect_command->add_option("--max-chunk", inspect.max_chunk, "most rows of a session in a step")
      ->check(CLI::PositiveNumber);
  inspect_command->callback([&] { code = InspectCommand(inspect); });

  std::string report;
  CLI::App* validate_command = app.add_subcommand("validate", "check a report's shape and that it agrees with itself");
  validate_command->add_option("report", report, "file")->required();
  validate_command->callback([&] { code = ValidateCommand(report); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitPass : kExitUsage;
  }
  return code;
}

// Bad input and unusable resources are the caller's to mend; anything else is ours.
int CodeOf(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const NoSuchModel& error) {
    fmt::print(stderr, "assay: {}\n", error.what());
    return kExitIncomplete;
  } catch (const ReportVersionError& error) {
    fmt::print(stderr, "assay: {}\n", error.what());
    return kExitNotComparable;
  } catch (const Error& error) {
    fmt::print(stderr, "assay: {}\n", error.what());
    return kExitUsage;
  } catch (const ReportError& error) {
    fmt::print(stderr, "assay: {}\n", error.what());
    return kExitUsage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "assay: internal error: {}\n", error.what());
  } catch (...) {
    fmt::print(stderr, "assay: internal error\n");
  }
  return kExitInternal;
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  try {
    return assay::Main(argc, argv);
  } catch (...) {
    return assay::CodeOf(std::current_exception());
  }
}
