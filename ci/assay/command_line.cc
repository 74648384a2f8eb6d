#include "ci/assay/command_line.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <sstream>
#include <system_error>

#include "bench/cases/cases.h"
#include "ci/assay/completion.h"
#include "ci/assay/manual.h"
#include "ci/assay/terminal.h"
#include "engine/base/check.h"
#include "engine/ops/ops_factory.h"
#include "engine/runtime/batch.h"
#include "reports/environment/build.h"
#include "reports/render/export.h"
#include "suites/support/names.h"

namespace assay {
namespace {

// An option that may be given several times, one argument each: what follows is the next option or a model.
template <class Value>
CLI::Option* ListOption(CLI::App* command, const char* name, std::vector<Value>* values, const std::string& about) {
  return command->add_option(name, *values, about)->allow_extra_args(false);
}

template <class Arguments>
void AddPatterns(CLI::App* command, Arguments* arguments) {
  ListOption(command, "--case", &arguments->patterns, "id of a case; * and ? match several");
  ListOption(command, "--exclude", &arguments->excluded, "id of a case, or suite, to leave out; * and ? match several");
}

void AddSelection(CLI::App* command, RunArguments* arguments) {
  ListOption(command, "models,--model", &arguments->models,
             "checkpoint folder, GGUF file, embedded model or preset; commas separate, * and ? match names");
  ListOption(command, "--suite", &arguments->suites, "suites; default: all")->delimiter(',');
  AddPatterns(command, arguments);
  command->add_flag("--batch-invariant", arguments->batch_invariant,
                    "the engine's results must not depend on the batch or on cuts of a text");
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

std::string RequiredDevice(const std::string& text) {
  try {
    Device::FromName(text);
    return "";
  } catch (const InputError& error) {
    return error.what();
  }
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
  ListOption(command, "--dtype", &arguments->dtypes,
             fmt::format("modes of the engine: {}{}", fmt::join(PrecisionNames(), ", "),
                         arguments->dtypes.empty() ? "; default: the first three" : ""))
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--seed", arguments->seed, "seed of made-up tokens and synthetic weights")
      ->capture_default_str()
      ->check(Seed);
}

// What is timed, and at which shapes.
void AddTiming(CLI::App* command, TimingInputs* timing) {
  std::vector<std::string> abouts;
  for (const BenchEntry& entry : Benchmarks()) abouts.push_back(fmt::format("{}: {}", entry.name, entry.about));
  ListOption(command, "--what", &timing->what, fmt::format("{}", fmt::join(abouts, "; ")))
      ->delimiter(',')
      ->capture_default_str();
  ListOption(command, "--n", &timing->sessions, "sessions decoded together")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(1, DecodeBuckets().back()));
  ListOption(command, "--ctx", &timing->contexts, "tokens in each session's cache when a step starts")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24));
  ListOption(command, "--prompt", &timing->prompts, "shape of a prefill: tokens (2048) or prompts x tokens (32x64)")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--seconds", timing->seconds, "timed repeats of a row; as long again at most to warm up")
      ->capture_default_str()
      ->check(Seconds);
}

// How commands that judge cases go about it.
void AddControl(CLI::App* command, RunControl* control) {
  command->add_option("--require", control->require, "exit 4 unless a case ran on this device: host, cuda or cuda:N")
      ->check(RequiredDevice);
  CLI::Option* most = command->add_option("--max-failures", control->max_failures, "end after so many failures")
                          ->check(CLI::Range(1, 1 << 30));
  command
      ->add_flag_callback(
          "--fail-fast", [control] { control->max_failures = 1; }, "end after the first failure")
      ->excludes(most);
  command->add_option("--timeout", control->timeout_s, "seconds that a case may take; one that takes more ends the run")
      ->check(Seconds);
  command->add_option("--durations", control->durations, "list so many of the slowest cases")
      ->check(CLI::Range(1, 1 << 30));
  command->add_flag("--quiet,-q", control->quiet, "print failures and the last line alone");
}

// Whom to judge.
void AddSystem(CLI::App* command, SystemArguments* system) {
  CLI::Option* option = command->add_option(
      "--system", system->command,
      "command of a process to judge instead of the engine of this tree: suites/adapters/README.md");
  command
      ->add_option("--system-timeout", system->timeout_s,
                   "seconds that it may take for an answer, ten times so many to load")
      ->capture_default_str()
      ->check(Seconds)
      ->needs(option);
}

// The report of a run as a CI system reads it.
void AddExports(CLI::App* command, ExportArguments* exports) {
  command->add_option("--junit", exports->junit, "JUnit XML to write: a CI system's list of tests");
  command->add_option("--summary", exports->summary,
                      "Markdown to write; the file that GITHUB_STEP_SUMMARY names is appended to");
  command->add_flag("--github", exports->github, "print GitHub annotations of what did not pass");
}

void AddMeasures(CLI::App* command, std::vector<RunMeasure>* measures) {
  command
      ->add_option_function<std::vector<std::string>>(
          "--measure",
          [measures](const std::vector<std::string>& texts) {
            for (const std::string& text : texts) {
              RunMeasure measure = MeasureFrom(text);
              for (const RunMeasure& known : *measures)
                if (known.name == measure.name)
                  throw ReportError(fmt::format("measure '{}': given twice", measure.name));
              measures->push_back(std::move(measure));
            }
          },
          "number for the report: NAME=VALUE[:UNIT[:higher]], as build_time=312:s; repeatable")
      ->allow_extra_args(false);
}

// An option whose argument is empty, as that of a variable that is not set, is not an option left out.
void RefuseEmptyTexts(CLI::App* app) {
  const auto check = [](const std::string& text) { return std::string(text.empty() ? "its argument is empty" : ""); };
  for (CLI::Option* option : app->get_options())
    if (option->get_items_expected_max() > 0) option->check(CLI::Validator(check, ""));
  for (CLI::App* command : app->get_subcommands([](const CLI::App*) { return true; })) RefuseEmptyTexts(command);
}

std::string VersionText() {
  const BuildInfo build = ThisBuild();
  return fmt::format("assay {} commit {}{} {} {}{}", build.version, build.commit, build.dirty ? " (dirty)" : "",
                     build.compiler, build.build_type, build.cuda.empty() ? " without CUDA" : " CUDA " + build.cuda);
}

}  // namespace

CommandLine::CommandLine(const Invocation& invocation, CaseLister list)
    : invocation_(invocation),
      list_cases_of_(std::move(list)),
      app_("Assay: does batched serving compute what one user alone would get, and how close to the hardware?",
           "assay") {
  app_.require_subcommand(1);
  app_.set_version_flag("--version", VersionText);
  AddRun();
  AddPlan();
  AddMerge();
  AddStatus();
  AddWorker();
  AddGolden();
  AddBench();
  AddGate();
  AddList();
  AddInspect();
  AddValidate();
  AddExport();
  AddHistory();
  AddTrend();
  AddMutate();
  AddFuzz();
  AddSoak();
  AddBisect();
  AddServe();
  AddSetup();
  RefuseEmptyTexts(&app_);
}

int CommandLine::Run() {
  // CLI11 would say that a word was not expected, or that a subcommand is required.
  if (invocation_.argc > 1 && invocation_.argv[1][0] != '-') {
    std::vector<std::string> commands;
    for (const CLI::App* command : app_.get_subcommands([](const CLI::App*) { return true; }))
      commands.push_back(command->get_name());
    MatchNames("command", {invocation_.argv[1]}, commands);
  }
  try {
    app_.parse(invocation_.argc, invocation_.argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out, complaint;  // the complaint quotes arguments
    if (app_.exit(error, out, complaint) != 0) {
      Complain(fmt::format("{}", error.what()));
      Tell(stderr, "Run with --help for more information.\n");
      return kExitUsage;
    }
    WriteOut(out.str());
    return kExitPass;
  }
  return code_;
}

void CommandLine::AddRun() {
  CLI::App* run_command = app_.add_subcommand("run", "run oracle suites; write a report");
  AddSystem(run_command, &run_.system);
  AddSelection(run_command, &run_);
  AddRunning(run_command, &run_);
  AddControl(run_command, &run_.control);
  run_command->add_option("--repeat", run_.repeat, "seeds to run, from --seed on; what flipped between them is listed")
      ->check(CLI::Range(1, 1 << 20));
  run_command->add_option("--rerun-failed", run_.rerun, "report whose failed cases are run again");
  run_command->add_option("--report", run_.report, "file to write; .gz compresses");
  AddExports(run_command, &run_.exports);
  AddMeasures(run_command, &run_.measures);
  AddSpread(run_command);
  run_command->callback([this] { code_ = RunCommand(run_, spread_, invocation_, list_cases_of_); });
}

void CommandLine::AddSpread(CLI::App* command) {
  command->add_option("--jobs", spread_.jobs, "worker processes, one a GPU; on a host so many, which share its cores")
      ->check(CLI::Range(1, 4096));
  command
      ->add_option("--executor", spread_.executor,
                   "local: workers of this host; slurm: an array of jobs; files: one part, for a CI matrix")
      ->check(CLI::IsMember({"local", "slurm", "files"}));
  command->add_option("--run", spread_.folder, "folder of the run: plan, leases, shard files and logs");
  command->add_flag("--resume", spread_.resume, "go on with the folder's run");
  command->add_option("--plan", spread_.plan, "file of 'assay plan', instead of a selection");
  command->add_option("--durations-from", spread_.durations_from, "report: how long cases took, for the plan");
  command->add_option("--bundle", spread_.bundle, "of files: the bundle of the plan to run, from 0 on")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--group", spread_.group, "of files, or with --resume: the group to run, from 0 on")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--attempt", spread_.attempt, "of files: which attempt this is; the newest one is merged")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  ListOption(command, "--sbatch", &spread_.sbatch, "of slurm: further options of sbatch, such as --sbatch=--time=60");
  command
      ->add_option("--bundles", spread_.bundles, "of slurm: elements of the array; default: one a group, at most 256")
      ->check(CLI::Range(1, 1 << 20));
}

void CommandLine::AddPlan() {
  CLI::App* plan = app_.add_subcommand("plan", "cut a selection into groups that workers may take; write the plan");
  AddSelection(plan, &planned_);
  AddRunning(plan, &planned_);
  plan->add_option("--repeat", planned_.repeat, "seeds to run, from --seed on")->check(CLI::Range(1, 1 << 20));
  plan->add_option("--timeout", planned_.control.timeout_s, "seconds that a case may take; default: 600")
      ->check(Seconds);
  plan->add_option("--workers", plan_.workers, "cut groups so that so many workers end at about the same time")
      ->check(CLI::Range(1, 1 << 20));
  plan->add_option("--bundles", plan_.bundles, "bundles of groups of about equal duration: parts of a CI matrix")
      ->check(CLI::Range(1, 1 << 20));
  plan->add_option("--gpu", plan_.gpu, "what the name of each GPU must hold, such as h100");
  plan->add_option("--durations-from", plan_.durations_from, "report: how long cases took");
  AddTiming(plan, &plan_.timing);
  plan->add_option("--out", plan_.out, "file to write")->required();
  plan->callback([this] { code_ = PlanCommand(planned_, plan_, invocation_, list_cases_of_); });
}

void CommandLine::AddMerge() {
  const auto common = [](CLI::App* command, MergeArguments* arguments) {
    command->add_option("folder", arguments->folder, "folder of a run, or of shard files at any depth")->required();
    command->add_option("--plan", arguments->plan, "file of 'assay plan'; default: the folder's plan.json");
  };
  CLI::App* merge = app_.add_subcommand("merge", "make one report of shard files, or say everything that is wrong");
  common(merge, &merge_);
  merge->add_option("--report", merge_.report, "file to write; .gz compresses")->required();
  merge->add_flag("--allow-partial", merge_.allow_partial, "write an incomplete report of what there is; exit 4");
  merge->callback([this] { code_ = MergeCommand(merge_, list_cases_of_); });
  CLI::App* verify = app_.add_subcommand("verify", "check that a merged report follows from its plan and shard files");
  verify->add_option("report", verify_.report, "file")->required();
  common(verify, &verify_);
  verify->callback([this] { code_ = VerifyCommand(verify_, list_cases_of_); });
}

void CommandLine::AddStatus() {
  CLI::App* status = app_.add_subcommand("status", "how far a run is, from its folder");
  status->add_option("folder", run_folder_, "folder of the run")->required();
  status->callback([this] { code_ = StatusCommand(run_folder_); });
}

void CommandLine::AddWorker() {
  CLI::App* worker = app_.add_subcommand("worker", "run groups of a plan; records go to standard output");
  worker->add_option("--plan", worker_.plan, "file of 'assay plan'")->required();
  worker->add_option("--group", worker_.group, "from 0 on; default: assignments come on standard input")
      ->check(CLI::NonNegativeNumber);
  worker->add_option("--lease", worker_.lease, "text that every record carries");
  worker->callback([this] { code_ = WorkerCommand(worker_, list_cases_of_); });
  CLI::App* element = app_.add_subcommand("element", "what --executor slurm starts as an element of an array");
  element->add_option("--run", run_folder_, "folder of the run")->required();
  element->add_option("--generation", generation_, "of the array")->required();
  element->callback([this] { code_ = ElementCommand(run_folder_, generation_); });
}

void CommandLine::AddMutate() {
  CLI::App* mutate = app_.add_subcommand("mutate", "run the suites under every fault of the catalogue: what survives?");
  ListOption(mutate, "faults", &mutate_.faults, "ids; default: all; * and ? match several");
  mutate->add_option("--device", mutate_.device, "where the engine runs")->capture_default_str()->check(DeviceName);
  mutate->add_option("--seed", mutate_.seed, "the first seed")->capture_default_str()->check(Seed);
  mutate->add_option("--seeds", mutate_.seeds, "under each of so many must each fault be seen")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  mutate->add_flag("--all-suites", mutate_.all, "run every suite, and say in the report which turned red");
  mutate->add_option("--shard", mutate_.shard, "I/N: one of N shares of the faults");
  AddControl(mutate, &mutate_.control);
  AddSystem(mutate, &mutate_.system);
  mutate->add_option("--report", mutate_.report, "file to write");
  AddExports(mutate, &mutate_.exports);
  mutate->callback([this] { code_ = MutateCommand(mutate_, invocation_); });
}

void CommandLine::AddBisect() {
  CLI::App* bisect =
      app_.add_subcommand("bisect", "where the failures of a report begin: step, layer, op, row, element");
  bisect->add_option("report", bisected_, "report of a run")->required();
  bisect->add_option("case", bisected_case_, "id of a failed case; * and ? match several; default: all");
  bisect->callback([this] { code_ = BisectCommand(bisected_, bisected_case_); });
}

void CommandLine::AddFuzz() {
  CLI::App* fuzz = app_.add_subcommand("fuzz", "play random schedules; shrink what fails to one replay line");
  fuzz->add_option("--seconds", fuzz_.seconds, "how long")->capture_default_str()->check(Seconds);
  fuzz->add_option("--seed", fuzz_.seed, "the first schedule's")->capture_default_str()->check(Seed);
  fuzz->add_option("--model", fuzz_.model, "a small model; default: random ones, random-0, random-1, ...");
  fuzz->add_option("--schedule", fuzz_.schedule, "play this one alone");
  CLI::Option* fault = fuzz->add_option("--fault", fuzz_.fault, "plant a fault of the catalogue");
  AddSystem(fuzz, &fuzz_.system);
  fault->excludes("--system");
  fuzz->add_option("--device", fuzz_.device, "where the engine runs")->capture_default_str()->check(DeviceName);
  fuzz->add_option("--dtype", fuzz_.dtype, "mode of the engine")
      ->capture_default_str()
      ->check(CLI::IsMember(PrecisionNames()));
  fuzz->callback([this] { code_ = FuzzCommand(fuzz_); });
}

void CommandLine::AddSoak() {
  CLI::App* soak = app_.add_subcommand("soak", "random schedules for minutes: what grows, and what goes wrong late");
  soak->add_option("--minutes", soak_.minutes, "how long, all models together")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 100000.0));
  ListOption(soak, "models,--model", &soak_.models, "models, one after the other")
      ->delimiter(',')
      ->capture_default_str();
  soak->add_option("--device", soak_.device, "where the engine runs")->capture_default_str()->check(DeviceName);
  soak->add_option("--dtype", soak_.dtype, "mode of the engine")
      ->capture_default_str()
      ->check(CLI::IsMember(PrecisionNames()));
  soak->add_option("--seed", soak_.seed, "the first schedule's")->capture_default_str()->check(Seed);
  AddControl(soak, &soak_.control);
  soak->add_option("--report", soak_.report, "file to write; .gz compresses");
  AddExports(soak, &soak_.exports);
  soak->callback([this] { code_ = SoakCommand(soak_, invocation_); });
}

void CommandLine::AddGolden() {
  CLI::App* golden_command = app_.add_subcommand("golden", "judge reference and engine against recorded logits");
  golden_command->add_option("model,--model", golden_.model, "checkpoint")->required();
  golden_command->add_option("--goldens", golden_.goldens,
                             "goldens.safetensors or .logits.json; default: beside the model");
  golden_command->add_option("--recorded-in", golden_.recorded_in, "fp32, fp16 or bf16; default: as its logits say");
  golden_command->add_flag("--padding", golden_.padding, "recorded columns beyond the model's vocabulary are padding");
  AddSystem(golden_command, &golden_.system);
  AddPatterns(golden_command, &golden_);
  AddRunning(golden_command, &golden_);
  AddControl(golden_command, &golden_.control);
  golden_command->add_option("--report", golden_.report, "file to write");
  AddExports(golden_command, &golden_.exports);
  AddMeasures(golden_command, &golden_.measures);
  golden_command->callback([this] { code_ = GoldenCommand(golden_, invocation_); });
}

void CommandLine::AddBench() {
  CLI::App* bench_command =
      app_.add_subcommand("bench", "time what parity has verified, against the measured limits of the device");
  ListOption(bench_command, "models,--model", &bench_.models,
             "checkpoint folder, GGUF file, embedded model or preset; commas separate, * and ? match names")
      ->capture_default_str();
  AddSystem(bench_command, &bench_.system);
  AddTiming(bench_command, &bench_.timing);
  AddRunning(bench_command, &bench_);
  bench_command->add_flag("--batch-invariant", bench_.batch_invariant,
                          "the mode in which a row's results depend on neither its batch nor cuts");
  bench_command->add_option("--evidence", bench_.evidence,
                            "report of an earlier run of this build on this device: its cases and limits hold for this "
                            "process, which only times");
  bench_command->add_option("--report", bench_.report, "file to write");
  AddExports(bench_command, &bench_.exports);
  AddMeasures(bench_command, &bench_.measures);
  bench_command->callback([this] { code_ = BenchCommand(bench_, invocation_); });
}

void CommandLine::AddGate() {
  CLI::App* gate =
      app_.add_subcommand("gate", "is a build as right and as fast as another? Paired rounds of fresh processes");
  CLI::Option* baseline =
      gate->add_option("--baseline", gate_.baseline, "an assay program, a build folder or a git revision");
  CLI::Option* candidate = gate->add_option("--candidate", gate_.candidate, "what is judged, given alike");
  gate->add_option("--baseline-system", gate_.baseline_system,
                   "command of a process that the baseline judges instead of its engine; the build may be left out");
  gate->add_option("--candidate-system", gate_.candidate_system, "the same of the candidate");
  CLI::Option* reports =
      gate->add_option("--reports", gate_.reports, "two kept reports, old and new, whose parity is compared")
          ->expected(2)
          ->excludes(baseline)
          ->excludes(candidate);
  ListOption(gate, "models,--model", &gate_.models, "models, as bench takes them; default: gemma4-nano")
      ->delimiter(',');
  ListOption(gate, "--suite", &gate_.suites, "suites of the candidate's parity; default: all")->delimiter(',');
  ListOption(gate, "--dtype", &gate_.dtypes, "modes of the engine; default: bf16")->delimiter(',');
  ListOption(gate, "--what", &gate_.what, "benchmarks; default: decode")->delimiter(',');
  ListOption(gate, "--n", &gate_.sessions, "sessions decoded together")
      ->delimiter(',')
      ->check(CLI::Range(1, DecodeBuckets().back()));
  ListOption(gate, "--ctx", &gate_.contexts, "tokens in each session's cache")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 24));
  ListOption(gate, "--prompt", &gate_.prompts, "shapes of a prefill")->delimiter(',');
  gate->add_option("--device", gate_.device, "where both run: auto, host, cuda or cuda:N; default: auto");
  gate->add_option("--seconds", gate_.seconds, "timed repeats of a row in each process")
      ->capture_default_str()
      ->check(Seconds);
  gate->add_option("--timeout", gate_.timeout_s, "seconds that a process may take; one that takes more ends the gate")
      ->capture_default_str()
      ->check(Seconds);
  gate->add_option("--rounds", gate_.rounds, "most fresh rounds of a cell that the screen did not pass; default: 24")
      ->check(CLI::Range(8, 40));
  gate->add_option("--budget", gate_.budget_s, "seconds that all rounds may take; says what can be found in them")
      ->check(Seconds);
  gate->add_option(
      "--threshold", gate_.threshold,
      "percent that a cell must be shown not to be slower by, or auto: from each cell's spread; default: 3");
  gate->add_option("--seed", gate_.seed, "of the coin that draws the order; default: a random one")->check(Seed);
  gate->add_option("--policy", gate_.policy, "file: what must be there and pass, thresholds, waivers");
  gate->add_option("--report", gate_.report, "file to write; .gz compresses");
  AddExports(gate, &gate_.exports);
  gate->callback([this, baseline, candidate, reports] {
    const bool two = (!baseline->empty() || !gate_.baseline_system.empty()) &&
                     (!candidate->empty() || !gate_.candidate_system.empty());
    if (!two && reports->empty()) throw CLI::RequiredError("--baseline and --candidate, or --reports");
    code_ = gate_.reports.empty() ? GateCommand(gate_, invocation_) : GateReportsCommand(gate_);
  });
}

void CommandLine::AddList() {
  CLI::App* list_command = app_.add_subcommand("list", "suites, models and devices, or the cases a selection has");
  CLI::Option* cases = list_command->add_flag("--cases", list_cases_, "print case ids");
  list_command
      ->add_flag("--groups", list_groups_,
                 "print groups of cases that share a loaded model: what a scheduler may place")
      ->excludes(cases);
  list_command->add_flag("--json", list_.json, "as JSON: ids, axes and rough seconds");
  AddSelection(list_command, &list_);
  AddRunning(list_command, &list_);
  std::vector<const CLI::Option*> selections;
  for (const CLI::Option* option : list_command->get_options())
    if (const std::string name = option->get_name();
        name != "--cases" && name != "--groups" && name != "--help" && name != "--json")
      selections.push_back(option);
  list_command->callback([this, selections] {
    for (const CLI::Option* option : selections)
      if (!option->empty() && !list_cases_ && !list_groups_)
        throw CLI::RequiresError(option->get_name(), "--cases or --groups");
    code_ = ListCommand(list_,
                        list_groups_  ? ListWhat::kGroups
                        : list_cases_ ? ListWhat::kCases
                                      : ListWhat::kOverview,
                        list_cases_of_);
  });
}

void CommandLine::AddInspect() {
  CLI::App* inspect_command =
      app_.add_subcommand("inspect", "geometry, KV plan and tensors of a model; reads headers only");
  ListOption(inspect_command, "models,--model", &inspect_.models,
             "checkpoint folder, GGUF file, embedded model or preset; commas separate, * and ? match names")
      ->required();
  inspect_command->add_flag("--json", inspect_.json, "a line of JSON a model");
  inspect_command->add_flag("--whole-identity", inspect_.whole_identity,
                            "make the identity of every byte; else of samples where tensors are larger than 1 MiB");
  inspect_command
      ->add_option("--context", inspect_.context, "positions per session; default: the model's, at most 4096")
      ->check(CLI::Range(1, 1 << 24));
  inspect_command->add_option("--max-chunk", inspect_.max_chunk, "most rows of a session in a step")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24));
  inspect_command->callback([this] { code_ = InspectCommand(inspect_); });
}

void CommandLine::AddValidate() {
  CLI::App* validate_command = app_.add_subcommand("validate", "check a report's shape and that it agrees with itself");
  validate_command->add_option("reports", validate_.files, "files; - is standard input")->required();
  validate_command->add_flag("--require-pass", validate_.require_pass,
                             "exit as the run did: 1 FAIL, 3 INCONCLUSIVE, 4 INCOMPLETE");
  validate_command->add_option("--comparable", validate_.comparable,
                               "another report, or 'here' for this machine: exit 5 unless numbers may be compared");
  validate_command->callback([this] { code_ = ValidateCommand(validate_); });
}

void CommandLine::AddExport() {
  CLI::App* export_command = app_.add_subcommand("export", "a report as text that other programs read");
  std::vector<std::string> formats;
  for (const ExportFormat& format : ExportFormats()) formats.emplace_back(format.name);
  export_command->add_option("format", export_format_, fmt::format("{}", fmt::join(formats, ", ")))
      ->required()
      ->check(CLI::IsMember(formats));
  export_command->add_option("report", export_report_, "file; - is standard input")->required();
  export_command->add_option("--out", export_out_, "file to write; default: standard output");
  export_command->callback([this] { code_ = ExportCommand(export_format_, export_report_, export_out_); });
}

void CommandLine::AddHistory() {
  CLI::App* history_command = app_.add_subcommand("history", "the database of runs, and the folder of kept reports");
  history_command->require_subcommand(1);
  history_command->add_option("--db", history_.db,
                              "file; default: $ASSAY_HISTORY, else assay/history.db in the user's data folder");
  const auto inner = [&](const char* name, const char* about, int (*run)(const HistoryArguments&)) {
    CLI::App* command = history_command->add_subcommand(name, about)->fallthrough();  // --db may stand behind it
    command->callback([this, run] { code_ = run(history_); });
    return command;
  };
  inner("add", "add reports; one that is there already is left alone", AddHistoryCommand)
      ->add_option("reports", history_.reports, "files, and folders for every report below them")
      ->required();
  inner("list", "the runs, newest first", ListHistoryCommand)
      ->add_option("--limit", history_.limit, "so many")
      ->capture_default_str();
  inner("show", "what a run found", ShowHistoryCommand)
      ->add_option("run", history_.run, "the beginning of its SHA-256, run id or commit")
      ->required();
  CLI::App* exported = inner("export", "every point, for other programs", ExportHistoryCommand);
  exported->add_option("--format", history_.format, "csv or json")
      ->capture_default_str()
      ->check(CLI::IsMember({"csv", "json"}));
  exported->add_option("--out", history_.out, "file to write; default: standard output");
  CLI::App* prune = inner("prune", "drop old runs; their reports are not touched", PruneHistoryCommand);
  prune->add_option("--before", history_.before, "date: runs that started earlier go")->required();
  prune->add_flag("--dry-run", history_.dry, "say how many, and drop none");
  CLI::App* render_command = history_command->add_subcommand("render", "print the page of a folder of kept reports");
  render_command->add_option("folder", folder_, "folder of reports, with a preface.md or without")->required();
  render_command->callback([this] { code_ = RenderHistoryCommand(folder_); });
}

void CommandLine::AddTrend() {
  CLI::App* trend = app_.add_subcommand("trend", "what changed since when: in the terminal, as a page, or as a check");
  trend->add_option("--db", trend_.db, "the history; default: as history says");
  trend->add_option("--out", trend_.out, "page to write: one file that needs no network");
  trend->add_flag("--check", trend_.check, "exit 1 on a change for the worse, 3 and 4 when nothing can be said");
  ListOption(trend, "--cell", &trend_.cells, "cells by id; * and ? match several; default: all")->delimiter(',');
  ListOption(trend, "--metric", &trend_.metrics, "time, headroom, graph_nodes, ...; default: all")->delimiter(',');
  trend->add_option("--days", trend_.days, "days before the newest run that are looked at")
      ->capture_default_str()
      ->check(CLI::Range(1, 36500));
  trend->add_option("--recent", trend_.recent, "nights in which a check is about a change")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  trend->add_option("--reference", trend_.reference, "commit that creep is held against");
  trend->add_option("--creep", trend_.creep_percent, "percent that the latest nights may be worse than the reference")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 100.0));
  trend
      ->add_option("--silent", trend_.silent_hours,
                   "hours without a run after which a machine is silent; default: three of its usual intervals")
      ->check(CLI::Range(1.0, 100000.0));
  trend->add_option("--source", trend_.source, "git repository that the subjects of commits are read from");
  trend->add_option("--now", trend_.now, "time of the view as 2025-01-31T23:59:59Z; default: now");
  trend->add_option("--limit", trend_.limit, "series in the terminal")->capture_default_str();
  trend->callback([this] { code_ = TrendCommand(trend_); });
}

void CommandLine::AddServe() {
  app_.add_subcommand("serve", "the engine of this tree as a system of another process, on descriptor 3")
      ->callback([this] { code_ = ServeCommand(); });
  CLI::App* check = app_.add_subcommand("system-check", "does a system speak the protocol? What can it do?");
  AddSystem(check, &checked_system_);
  check->get_option("--system")->required();
  check->add_option("--model", checked_model_, "a model that it can load")->capture_default_str();
  check->callback([this] { code_ = SystemCheckCommand(checked_system_, checked_model_); });
}

void CommandLine::AddSetup() {
  app_.add_subcommand("doctor", "what this machine can run, and what is missing")->callback([this] {
    code_ = DoctorCommand();
  });
  CLI::App* completion =
      app_.add_subcommand("completion", "print a completion script: eval \"$(assay completion bash)\"");
  completion->add_option("shell", shell_, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion->callback([this] {
    WriteOut(CompletionScript(shell_, app_));
    code_ = kExitPass;
  });
  app_.add_subcommand("manual", "print assay(1), the manual page, as roff")->callback([this] {
    WriteOut(ManualPage(app_, ThisBuild().version));
    code_ = kExitPass;
  });
}

}  // namespace assay
