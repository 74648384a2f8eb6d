#include "reports/merge/plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "reports/format/digest.h"
#include "reports/format/json.h"
#include "reports/format/writer.h"

namespace assay {
namespace {

// What is hashed: no spaces, members in the order written here, nothing but ASCII.
std::string Canonical(const Json& json) { return json.dump(-1, ' ', true, Json::error_handler_t::replace); }

Json TimingJson(const TimingInputs& timing) {
  return {{"what", timing.what},
          {"sessions", timing.sessions},
          {"contexts", timing.contexts},
          {"prompts", timing.prompts},
          {"seconds", Number(timing.seconds)}};
}

TimingInputs TimingFrom(const Json& json) {
  TimingInputs timing;
  json.at("what").get_to(timing.what);
  json.at("sessions").get_to(timing.sessions);
  json.at("contexts").get_to(timing.contexts);
  json.at("prompts").get_to(timing.prompts);
  json.at("seconds").get_to(timing.seconds);
  return timing;
}

Json InputsJson(const PlanInputs& inputs) {
  return {{"models", inputs.models},
          {"suites", inputs.suites},
          {"dtypes", inputs.dtypes},
          {"patterns", inputs.patterns},
          {"excluded", inputs.excluded},
          {"device", inputs.device},
          {"seed", inputs.seed},
          {"seeds", inputs.seeds},
          {"batch_invariant", inputs.batch_invariant},
          {"timing", TimingJson(inputs.timing)}};
}

PlanInputs InputsFrom(const Json& json) {
  PlanInputs inputs;
  json.at("models").get_to(inputs.models);
  json.at("suites").get_to(inputs.suites);
  json.at("dtypes").get_to(inputs.dtypes);
  json.at("patterns").get_to(inputs.patterns);
  json.at("excluded").get_to(inputs.excluded);
  json.at("device").get_to(inputs.device);
  json.at("seed").get_to(inputs.seed);
  json.at("seeds").get_to(inputs.seeds);
  json.at("batch_invariant").get_to(inputs.batch_invariant);
  inputs.timing = TimingFrom(json.at("timing"));
  return inputs;
}

Json PlanJson(const Plan& plan) {
  Json groups = Json::array(), models = Json::array();
  for (const ModelInfo& model : plan.models)
    models.push_back({{"name", model.name}, {"format", model.format}, {"identity", model.identity}});
  for (const PlanGroup& group : plan.groups)
    groups.push_back({{"model", group.model},
                      {"device", group.device},
                      {"memory_bytes", group.memory_bytes},
                      {"seconds", Number(group.seconds)},
                      {"case_timeout_s", Number(group.case_timeout_s)},
                      {"cases", group.cases},
                      {"rows", group.rows}});
  return {{"schema", {{"name", kPlanSchemaName}, {"version", kPlanSchemaVersion}}},
          {"run", plan.run_id},
          {"nonce", plan.nonce},
          {"created", plan.created},
          {"argv", plan.argv},
          {"build", BuildJson(plan.build)},
          {"inputs", InputsJson(plan.inputs)},
          {"models", std::move(models)},
          {"gpu", plan.gpu},
          {"listed", plan.listed},
          {"groups", std::move(groups)},
          {"bundles", plan.bundles}};
}

void CheckVersion(const Json& json) {
  if (!json.is_object() || json.value("/schema/name"_json_pointer, "") != kPlanSchemaName)
    throw ReportError(fmt::format("not a plan: plan.schema.name is not '{}'", kPlanSchemaName));
  const std::string found = json.value("/schema/version"_json_pointer, "");
  const std::string known = kPlanSchemaVersion;
  if (found.substr(0, found.find('.')) != known.substr(0, known.find('.')))
    throw ReportVersionError(fmt::format("plan version {}: this build reads {}", found, known));
}

Plan ContentsFrom(const Json& json) {
  Plan plan;
  json.at("run").get_to(plan.run_id);
  json.at("nonce").get_to(plan.nonce);
  json.at("created").get_to(plan.created);
  json.at("argv").get_to(plan.argv);
  plan.build = BuildFrom(json.at("build"));
  plan.inputs = InputsFrom(json.at("inputs"));
  for (const Json& model : json.at("models"))
    plan.models.push_back({model.at("name"), model.at("format"), model.at("identity")});
  json.at("gpu").get_to(plan.gpu);
  json.at("listed").get_to(plan.listed);
  for (const Json& group : json.at("groups"))
    plan.groups.push_back({group.at("model"), group.at("device"), group.at("memory_bytes"), group.at("seconds"),
                           group.at("case_timeout_s"), group.at("cases").get<std::vector<std::string>>(),
                           group.at("rows").get<std::vector<std::string>>()});
  for (std::size_t i = 0; i < plan.groups.size(); ++i)
    if (ItemsOf(plan.groups[i]) == 0) throw ReportError(fmt::format("not a plan: group {} has no case", i));
  json.at("bundles").get_to(plan.bundles);
  for (const auto& bundle : plan.bundles)
    for (const std::int64_t group : bundle)
      if (group < 0 || group >= static_cast<std::int64_t>(plan.groups.size()))
        throw ReportError(fmt::format("not a plan: a bundle names group {} of {}", group, plan.groups.size()));
  return plan;
}

}  // namespace

std::string PlanText(const Plan& plan) {
  const std::string canonical = Canonical(PlanJson(plan));
  return fmt::format("{{\"hash\":\"{}\",\"plan\":{}}}\n", Sha256(canonical), canonical);
}

std::string PlanHash(const Plan& plan) { return Sha256(Canonical(PlanJson(plan))); }

Plan PlanFrom(std::string_view text) {
  try {
    const Json json = ParseText<Json>(text);
    if (!json.is_object() || !json.contains("plan")) throw ReportError("not a plan: it has no member 'plan'");
    CheckVersion(json.at("plan"));
    Plan plan = ContentsFrom(json.at("plan"));
    const std::string found = json.at("hash"), derived = PlanHash(plan);
    if (found != derived || text != PlanText(plan))
      throw ReportError(
          fmt::format("a plan that was changed after it was written: it states hash {:.12}, its contents "
                      "have {:.12}; make a new one with 'assay plan'",
                      found, Sha256(Canonical(json.at("plan")))));
    return plan;
  } catch (const Json::exception& error) {
    throw ReportError(fmt::format("not a plan: {}", error.what()));
  } catch (const NotJson& error) {
    throw ReportError(fmt::format("not a plan: {}", error.what()));
  }
}

Plan ReadPlan(const std::string& path) {
  const std::string text = ReadFile(path);
  try {
    return PlanFrom(text);
  } catch (const ReportVersionError& error) {
    throw ReportVersionError(fmt::format("{}: {}", path, error.what()));
  } catch (const ReportError& error) {
    throw ReportError(fmt::format("{}: {}", path, error.what()));
  }
}

std::int64_t ItemsOf(const PlanGroup& group) {
  return static_cast<std::int64_t>(group.cases.size() + group.rows.size());
}

const std::string& ItemOf(const PlanGroup& group, std::int64_t index) {
  const auto at = static_cast<std::size_t>(index);
  return at < group.cases.size() ? group.cases[at] : group.rows.at(at - group.cases.size());
}

void TakeFrom(const Plan& plan, Report* report) {
  report->run_id = plan.run_id;
  const bool timed =
      std::all_of(plan.groups.begin(), plan.groups.end(), [](const auto& group) { return !group.rows.empty(); });
  report->kind = timed ? "bench" : "run";
  report->argv = plan.argv;
  report->started = plan.created;
  report->seed = plan.inputs.seed;
  report->listed = plan.listed;
  report->selected = CasesOf(plan);
  report->models = plan.models;
}

std::int64_t CasesOf(const Plan& plan) {
  return std::accumulate(
      plan.groups.begin(), plan.groups.end(), std::int64_t{0},
      [](std::int64_t sum, const auto& group) { return sum + static_cast<std::int64_t>(group.cases.size()); });
}

std::vector<std::int64_t> LongestFirst(const std::vector<PlanGroup>& groups) {
  std::vector<std::int64_t> order(groups.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t a, std::int64_t b) { return groups[a].seconds > groups[b].seconds; });
  return order;
}

std::size_t NextFor(const std::string& held, const std::vector<PlanGroup>& groups, std::span<const std::int64_t> left) {
  for (std::size_t i = 0; i < left.size() && groups[left[i]].seconds >= groups[left[0]].seconds / 2; ++i)
    if (groups[left[i]].model == held) return i;
  return 0;
}

std::vector<std::vector<std::int64_t>> Bundled(const std::vector<PlanGroup>& groups, std::size_t count) {
  std::vector<std::vector<std::int64_t>> bundles(std::min(count, groups.size()));
  // (seconds, index), the least first.
  std::vector<std::pair<double, std::size_t>> heap;
  for (std::size_t i = 0; i < bundles.size(); ++i) heap.emplace_back(0.0, i);
  const std::greater<> later;
  for (const std::int64_t group : LongestFirst(groups)) {
    std::pop_heap(heap.begin(), heap.end(), later);
    bundles[heap.back().second].push_back(group);
    heap.back().first += groups[group].seconds;
    std::push_heap(heap.begin(), heap.end(), later);
  }
  return bundles;
}

}  // namespace assay
