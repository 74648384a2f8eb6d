#include "ci/assay/gate_rounds.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "reports/format/writer.h"
#include "reports/gate/statistics.h"

namespace assay {
namespace {

using Clock = std::chrono::steady_clock;

template <class Value>
void Add(std::vector<std::string>* command, const char* option, const std::vector<Value>& values) {
  for (const Value& value : values) command->insert(command->end(), {option, fmt::format("{}", value)});
}

const ReportBenchmark* RowOf(const Report& report, const std::string& id) {
  const auto found = std::find_if(report.benchmarks.begin(), report.benchmarks.end(),
                                  [&](const ReportBenchmark& row) { return row.id() == id; });
  return found == report.benchmarks.end() ? nullptr : &*found;
}

// What speaks against all rows of a process.
std::string SpoiltProcess(const Report& report) {
  for (const GpuInfo& gpu : report.environment.gpus) {
    if (gpu.other_processes > 0) return fmt::format("{} other processes on the GPU", gpu.other_processes);
    if (gpu.ecc_before && gpu.ecc_after && gpu.ecc_after->uncorrected > gpu.ecc_before->uncorrected)
      return "memory errors were not corrected";
  }
  return "";
}

struct Value {
  double amount = 0;  // in the cell's unit
  std::string spoilt, missing, failure;
};

// Of the cell that holds a row's bytes; the cell of its time has the row's id.
constexpr const char* kPeakBytes = "/peak_bytes";

// The row's most bytes of device memory; nothing where the build does not count them.
std::optional<double> PeakBytesOf(const Report& report, const std::string& id) {
  const ReportBenchmark* row = RowOf(report, id);
  if (row == nullptr) return std::nullopt;
  const auto found = row->counts.find("peak_bytes");
  return found == row->counts.end() ? std::nullopt : std::optional(static_cast<double>(found->second));
}

Value TimeOf(const Report& report, const std::string& id, const char* side) {
  Value value;
  const ReportBenchmark* row = RowOf(report, id);
  if (row == nullptr) {
    value.missing = fmt::format("the {} has no such row", side);
  } else if (row->status == Status::kFail || row->status == Status::kError || row->parity == Verdict::kWrong) {
    value.failure = fmt::format("{}: {}: {}", side, id, row->reason);
  } else if (row->status == Status::kSkip) {
    value.missing = fmt::format("the {} skipped it: {}", side, row->reason);
  } else if (row->status == Status::kUnstable) {
    value.spoilt = fmt::format("{}: {}", side, row->reason);
  } else {
    const Figures figures = FiguresOf(*row, report.limits);
    value.amount = figures.p50_s;
    if (figures.samples < kLeastSamples)
      value.missing = fmt::format("the {} timed it {} times in a process, {} are needed: more --seconds", side,
                                  figures.samples, kLeastSamples);
  }
  if (const std::string why = SpoiltProcess(report); !why.empty() && value.spoilt.empty())
    value.spoilt = fmt::format("{}: {}", side, why);
  return value;
}

// No clock speaks against bytes.
Value BytesOf(const Report& report, const std::string& id, const char* side) {
  const std::optional<double> bytes = PeakBytesOf(report, id);
  if (!bytes) return {0, "", fmt::format("the {} does not count them", side), ""};
  return {*bytes, "", "", ""};
}

std::string IdentityOf(const Report& report) {
  std::string identity;
  for (const ModelInfo& model : report.models)
    identity += fmt::format("{} {} {}; ", model.name, model.format, model.identity);
  return identity;
}

std::string UuidsOf(const Report& report) {
  std::string uuids;
  for (const GpuInfo& gpu : report.environment.gpus) uuids += gpu.uuid + " ";
  return uuids;
}

}  // namespace

GateRounds::GateRounds(GateSelection selection, GateBuilds builds, std::string folder, ChildStop* stop, Report* report,
                       std::function<void()> changed)
    : selection_(std::move(selection)),
      builds_(std::move(builds)),
      folder_(std::move(folder)),
      stop_(stop),
      report_(report),
      changed_(std::move(changed)) {}

bool GateRounds::Stop(const std::string& problem) {
  report_->problems.push_back(problem);
  return false;
}

bool GateRounds::Parity() {
  std::vector<std::string> command = {builds_.candidate, "run"};
  Add(&command, "--model", selection_.models);
  Add(&command, "--suite", selection_.suites);
  Add(&command, "--dtype", selection_.dtypes);
  command.insert(command.end(), {"--device", selection_.device});
  ChildReport child = RunForReport(command, "run", folder_, selection_.timeout_s, stop_);
  if (child.not_comparable) record().not_comparable.push_back("parity of the candidate: " + child.problem);
  if (!child.report) return Stop("parity of the candidate: " + child.problem);
  report_->cases = std::move(child.report->cases);
  report_->listed = child.report->listed;
  report_->selected = child.report->selected;
  report_->models = std::move(child.report->models);
  report_->environment = std::move(child.report->environment);
  record().candidate.build = report_->environment.build;
  run_ids_.insert(child.report->run_id);
  const std::string verdict = Summarise(*child.report).verdict;
  Report parity = *report_;
  parity.kind = "run";
  parity.gate.reset();
  parity.complete = true;
  const std::string found = Summarise(parity).verdict;
  if (found == "FAIL") return false;  // the cases say so themselves
  return found == "PASS" || Stop("parity of the candidate is " + found);
}

std::vector<std::string> GateRounds::BenchCommand(bool of_candidate, const std::string& model,
                                                  const std::set<std::string>& wanted) const {
  const std::string& program = of_candidate ? builds_.candidate : builds_.baseline;
  std::vector<std::string> command = {program, "bench", "--model", model};
  // Only the kinds of rows that are still asked for.
  std::set<std::string> what;
  for (const std::string& id : wanted) what.insert(id.substr(6, id.find('/') - 6));  // behind "bench."
  if (wanted.empty()) what.insert(selection_.what.begin(), selection_.what.end());
  Add(&command, "--what", std::vector<std::string>(what.begin(), what.end()));
  Add(&command, "--n", selection_.sessions);
  Add(&command, "--ctx", selection_.contexts);
  Add(&command, "--prompt", selection_.prompts);
  Add(&command, "--dtype", selection_.dtypes);
  command.insert(command.end(), {"--device", selection_.device, "--seconds", fmt::format("{}", selection_.seconds)});
  return command;
}

bool GateRounds::CheckSides(const Report& baseline, const Report& candidate) {
  std::vector<std::string>& differs = record().not_comparable;
  for (const std::string& field : ComparabilityDifferences(baseline.environment, candidate.environment))
    differs.push_back(field);
  if (IdentityOf(baseline) != IdentityOf(candidate))
    differs.push_back(fmt::format("models: {}and {}", IdentityOf(baseline), IdentityOf(candidate)));
  if (UuidsOf(baseline) != UuidsOf(candidate))
    differs.push_back(fmt::format("GPU: {}and {}", UuidsOf(baseline), UuidsOf(candidate)));
  // Suites run under variables of their own: the first round says where all are timed.
  if (run_ids_.size() == 1) report_->environment = candidate.environment;
  for (const std::string& field : ComparabilityDifferences(report_->environment, candidate.environment))
    differs.push_back("since the first round: " + field);
  if (UuidsOf(candidate) != UuidsOf(*report_)) differs.push_back("another GPU than in the first round");
  GateSide& first = record().baseline;
  const BuildInfo& build = baseline.environment.build;
  if (run_ids_.size() == 1) first.build = build;
  if (first.build.build_id != build.build_id) differs.push_back("the baseline is another build than before");
  if (record().candidate.build.build_id != candidate.environment.build.build_id)
    differs.push_back("the candidate is another build than before");
  for (const Report* report : {&baseline, &candidate})
    if (!run_ids_.insert(report->run_id).second)
      return Stop(fmt::format("a process reported run {}, which was reported before", report->run_id));
  return differs.empty();
}

void GateRounds::Record(const Report& baseline, const Report& candidate, bool candidate_first, bool fresh,
                        const std::set<std::string>& wanted) {
  std::set<std::string> seen;  // cells
  std::vector<std::string> ids;
  for (const Report* report : {&baseline, &candidate})
    for (const ReportBenchmark& row : report->benchmarks)
      if (std::find(ids.begin(), ids.end(), row.id()) == ids.end()) ids.push_back(row.id());
  const auto add = [&](const std::string& id, const char* unit, const Value& before, const Value& after) {
    auto cell = std::find_if(record().cells.begin(), record().cells.end(),
                             [&](const GateCell& known) { return known.id == id; });
    seen.insert(id);
    if (fresh && (cell == record().cells.end() || wanted.count(id) == 0)) return;
    const bool late = cell == record().cells.end() && !record().cells.empty() && tosses_ > selection_.models.size();
    if (cell == record().cells.end())
      cell = record().cells.insert(cell, {id, unit, late ? "it appeared late" : "", {}, {}});
    if (!after.failure.empty()) record().failures.push_back(after.failure);
    for (const std::string& why : {before.failure, before.missing, after.missing, after.failure})
      if (!why.empty() && cell->missing.empty()) cell->missing = why;
    if (!cell->missing.empty()) return;
    GateRound round{candidate_first, before.amount, after.amount, before.spoilt.empty() ? after.spoilt : before.spoilt};
    (fresh ? cell->fresh : cell->screen).push_back(std::move(round));
  };
  for (const std::string& id : ids) {
    add(id, "s", TimeOf(baseline, id, "baseline"), TimeOf(candidate, id, "candidate"));
    // A baseline from before bytes were counted has none to compare with.
    if (PeakBytesOf(baseline, id))
      add(id + kPeakBytes, "byte", BytesOf(baseline, id, "baseline"), BytesOf(candidate, id, "candidate"));
  }
  // A row that was there and is not any more.
  for (GateCell& cell : record().cells) {
    const bool of_model = !ids.empty() && cell.id.find("/" + baseline.models.front().name + "/") != std::string::npos;
    const bool asked = fresh ? wanted.count(cell.id) != 0 : of_model;
    if (asked && of_model && cell.missing.empty() && seen.count(cell.id) == 0)
      cell.missing = "it vanished in a later round";
  }
}

std::string GateRounds::EvidenceFile(bool of_candidate, const std::string& model) const {
  const auto index = std::find(selection_.models.begin(), selection_.models.end(), model) - selection_.models.begin();
  // Of one length, as the names of the programs.
  return fmt::format("{}/{}{}.json", folder_, of_candidate ? 'b' : 'a', index);
}

bool GateRounds::TakesEvidence(const std::string& program) {
  const std::string log = folder_ + "/help.log";
  const ChildEnd end = RunChild({program, "bench", "--help"}, log, selection_.timeout_s, stop_);
  return end.failure.empty() && end.code == 0 && ReadFile(log).find("--evidence") != std::string::npos;
}

ChildReport GateRounds::Bench(bool candidate, const std::vector<std::string>& command) {
  ChildReport child = RunForReport(command, "bench", folder_, selection_.timeout_s, stop_);
  const char* side = candidate ? "candidate" : "baseline";
  if (child.not_comparable) record().not_comparable.push_back(fmt::format("{}: {}", side, child.problem));
  if (!child.report) Stop(fmt::format("round {}: {}: {}", tosses_, side, child.problem));
  return child;
}

bool GateRounds::GatherEvidence() {
  with_evidence_ = TakesEvidence(builds_.baseline) && TakesEvidence(builds_.candidate);
  if (!with_evidence_) return true;
  for (const std::string& model : selection_.models) {
    for (const bool candidate : {false, true}) {
      const ChildReport child = Bench(candidate, BenchCommand(candidate, model, {}));
      if (!child.report) return false;
      std::filesystem::rename(child.file, EvidenceFile(candidate, model));
    }
  }
  return true;
}

bool GateRounds::Pair(const std::string& model, bool fresh, const std::set<std::string>& wanted) {
  const bool candidate_first = Toss(record().coin_seed, tosses_++);
  ChildReport baseline, candidate;
  for (const bool of_candidate : {candidate_first, !candidate_first}) {
    std::vector<std::string> command = BenchCommand(of_candidate, model, wanted);
    if (with_evidence_) command.insert(command.end(), {"--evidence", EvidenceFile(of_candidate, model)});
    ChildReport& child = of_candidate ? candidate : baseline;
    child = Bench(of_candidate, command);
    if (!child.report) return false;
  }
  for (const ChildReport* child : {&baseline, &candidate})
    if (child->report->models.empty() || child->report->benchmarks.empty())
      return Stop(fmt::format("round {}: a process timed nothing", tosses_));
  if (!CheckSides(*baseline.report, *candidate.report)) return false;
  Record(*baseline.report, *candidate.report, candidate_first, fresh, wanted);
  changed_();
  return record().failures.empty();
}

bool GateRounds::Round(bool fresh, const std::set<std::string>& wanted) {
  const auto begun = Clock::now();
  for (const std::string& model : selection_.models) {
    std::set<std::string> of_model;
    for (const std::string& id : wanted) {
      // Rows of one model are asked of one pair; a model that was given by its folder is known by its name alone.
      const std::string name = model.substr(model.find_last_of('/', model.size() - 2) + 1);
      if (selection_.models.size() == 1 || id.find("/" + model + "/") != std::string::npos ||
          id.find(name + "/") != std::string::npos)
        of_model.insert(id);
    }
    if (fresh && of_model.empty()) continue;
    if (!Pair(model, fresh, of_model)) return false;
  }
  seconds_of_round_ = std::max(seconds_of_round_, std::chrono::duration<double>(Clock::now() - begun).count());
  return true;
}

bool GateRounds::Screen() {
  const GateRule& rule = record().rule;
  if (!GatherEvidence()) return false;
  const int most = rule.screen_rounds + MostSpoilt(rule.screen_rounds);
  for (int i = 0; i < most; ++i) {
    const bool needed =
        record().cells.empty() || std::any_of(record().cells.begin(), record().cells.end(), [&](const GateCell& cell) {
          return cell.missing.empty() && static_cast<int>(RatiosOf(cell.screen).size()) < rule.screen_rounds;
        });
    if (needed && !Round(false, {})) return false;
  }
  // Rounds drawn anew for one cell are none of another's screen.
  for (GateCell& cell : record().cells)
    while (static_cast<int>(RatiosOf(cell.screen).size()) > rule.screen_rounds) cell.screen.pop_back();
  return true;
}

std::set<std::string> GateRounds::Undecided() const {
  const GateRecord& record = *report_->gate;
  const std::size_t family = FamilyOf(record);
  std::set<std::string> ids;
  for (const GateCell& cell : record.cells) {
    if (!cell.missing.empty()) continue;
    const CellDecision decision = Decide(cell, family, record.rule);
    const int wanted = record.rule.looks.back();
    const bool may_go_on =
        static_cast<int>(RatiosOf(cell.fresh).size()) < wanted && SpoiltOf(cell.fresh) <= MostSpoilt(wanted);
    if (decision.verdict == CellVerdict::kInconclusive && may_go_on) ids.insert(cell.id);
  }
  return ids;
}

bool GateRounds::Confirm(Clock::time_point deadline) {
  for (std::set<std::string> ids = Undecided(); !ids.empty(); ids = Undecided()) {
    if (Clock::now() + std::chrono::duration<double>(seconds_of_round_) > deadline) return true;
    if (!Round(true, ids)) return false;
  }
  return true;
}

}  // namespace assay
