#include "reports/page/trend_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "reports/format/digest.h"
#include "reports/format/json.h"
#include "reports/page/assets.h"
#include "reports/page/html.h"
#include "reports/page/pictures.h"
#include "reports/trend/commands.h"
#include "reports/trend/print.h"

namespace assay {
namespace {

constexpr std::size_t kMostChanges = 200, kMostFindings = 12, kWorstCells = 3, kMostOfGroup = 12;

std::string DateOf(double seconds) {
  const std::chrono::sys_seconds time{std::chrono::seconds(static_cast<std::int64_t>(seconds))};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count());
}

const char* Badge(const std::string& verdict) {
  if (verdict == "PASS") return "good";
  return verdict == "FAIL" || verdict == "REGRESSION" ? "bad" : "warn";
}

// The time that the measured limits of the hardware allow, by the latest night; 0 where nothing says.
double LimitOf(const History& history, const TrendSeries& series) {
  if (series.metric != "time" || series.nights.empty()) return 0;
  const Night& last = series.nights.back();
  return history.points[last.point].fraction.value_or(0) * last.value;
}

// A night's number is told to a thirtieth of the noise, as whole multiples of a power of ten.
double StepOf(const TrendSeries& series) {
  double most = 0;
  bool whole = true;
  for (const Night& night : series.nights) {
    most = std::max(most, std::abs(night.value));
    whole = whole && night.value == std::round(night.value);
  }
  if (most == 0) return 1;
  if (whole && most < 1e9) return 1;
  const double finest = std::pow(10, std::floor(std::log10(most)) - 5);
  return std::max(finest, series.noise > 0 ? std::pow(10, std::floor(std::log10(series.noise / 30))) : finest);
}

// One number where all are the same, else each as its difference from the one before; null: none.
Json Packed(const std::vector<std::optional<double>>& values, double step) {
  Json all = Json::array();
  std::int64_t before = 0;
  bool same = true;
  for (const auto& value : values) {
    if (!value) {
      all.push_back(nullptr);
      same = false;
      continue;
    }
    const auto now = static_cast<std::int64_t>(std::llround(*value / step));
    same = same && (all.empty() || now == before);
    all.push_back(now - before);
    before = now;
  }
  if (same && !values.empty()) return Json(before);
  return all;
}

class Page {
 public:
  explicit Page(const TrendPageInputs& inputs) : inputs_(inputs), history_(*inputs.history), series_(*inputs.series) {
    for (const HistoryPoint& point : history_.points)
      if (history_.cells[point.cell].kind == "bench" && !point.value)
        ++missing_[{point.cell, history_.runs[point.run].key}]
                  [Visible(point.status + (point.note.empty() ? "" : ": " + point.note))];
  }

  std::string Render() {
    const std::string script = std::string(PageScript()), dygraphs = std::string(DygraphsScript());
    constexpr const char* kEarly = "document.documentElement.className='js';";
    std::string html = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
    html += fmt::format(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src "
        "'sha256-{}' 'sha256-{}' 'sha256-{}'; style-src 'unsafe-inline'; img-src data:; base-uri "
        "'none'; form-action 'none'\">\n",
        Sha256Base64(kEarly), Sha256Base64(dygraphs), Sha256Base64(script));
    html +=
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" "
        "content=\"light dark\">\n<title>Assay trend</title>\n<link rel=\"icon\" href=\"data:,\">\n";
    html += fmt::format("<style>{}\n{}</style>\n<script>{}</script>\n</head>\n<body>\n", DygraphsStyle(), PageStyle(),
                        kEarly);
    html += "<a class=\"skip\" href=\"#main\">Skip to the series</a>\n";
    html += Head();
    if (history_.runs.empty()) {
      html +=
          "<main id=\"main\"><p class=\"empty\">The history holds no runs yet. <code>assay history add "
          "REPORT...</code> adds some.</p></main>\n</body>\n</html>\n";
      return html;
    }
    html += Machines() + Findings() + Tabs();
    html += "<main id=\"main\">\n" + Grid() + Changes() + Compare() + Parity() + Faults() + Roofline() + "</main>\n";
    html += Detail();
    html += fmt::format(
        "<footer>Made by {} from {} runs. No network is needed. Charts: dygraphs, MIT licence."
        "</footer>\n",
        Html(inputs_.made_by), history_.runs.size());
    html += fmt::format("<script type=\"application/json\" id=\"data\">{}</script>\n", Data());
    html += fmt::format("<script>{}</script>\n<script>{}</script>\n</body>\n</html>\n", dygraphs, script);
    return html;
  }

 private:
  std::string Head() const {
    std::string about = fmt::format("Seen {}.", DateOf(inputs_.now));
    if (!history_.runs.empty())
      about =
          fmt::format("{} runs on {} machines, {} to {}. {}", history_.runs.size(), inputs_.machines->size(),
                      history_.runs.front().started.substr(0, 10), history_.runs.back().started.substr(0, 10), about);
    const std::string& verdict = inputs_.judgement->verdict;
    return fmt::format(
        "<header><h1>Assay <span>trend</span></h1><p class=\"badge {}\">{}</p><p class=\"about\">{}</p>"
        "</header>\n",
        Badge(verdict), verdict, about);
  }

  std::string RunLine(const char* what, const HistoryRun* run) const {
    if (run == nullptr) return fmt::format("<dt>{}</dt><dd class=\"muted\">none</dd>", what);
    return fmt::format("<dt>{}</dt><dd><b class=\"{}\">{}</b> <span class=\"muted\">{} at {}</span></dd>", what,
                       Badge(run->verdict), Html(run->verdict), run->started.substr(0, 10),
                       Html(ShortCommit(run->commit, run->dirty)));
  }

  std::string Machines() const {
    std::string html =
        "<section aria-labelledby=\"machines\"><h2 id=\"machines\">Machines</h2><div "
        "class=\"machines\">\n";
    for (const MachineState& machine : *inputs_.machines) {
      const double ago = inputs_.now - machine.last->started_at;
      const char* state = machine.silent ? "warn" : Badge(machine.last->verdict);
      const std::string word = machine.silent  ? "silent for " + PrintedSpan(ago)
                               : machine.ahead ? "clock is wrong"
                                               : "last run " + PrintedSpan(ago) + " ago";
      html += fmt::format("<article class=\"machine {}\"><h3>{} <small>{}</small></h3><p class=\"word\">{}{}</p>{}<dl>",
                          state, Html(machine.device, 80), Html(machine.machine, 60), machine.silent ? "◌ " : "● ",
                          word, HeartbeatSvg(history_, machine, inputs_.now));
      html += RunLine("parity", machine.last_parity) + RunLine("speed", machine.last_bench) +
              RunLine("gate", machine.last_gate);
      std::vector<std::pair<double, const TrendSeries*>> worst;
      for (const TrendSeries& item : series_)
        if (item.key == machine.key && item.judged && item.Loss() > 0 && Matters(item))
          worst.emplace_back(item.Loss(), &item);
      std::stable_sort(worst.begin(), worst.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
      if (!worst.empty()) html += "<dt>lost</dt><dd>";
      for (std::size_t i = 0; i < std::min(kWorstCells, worst.size()); ++i)
        html += fmt::format("<span class=\"lost\"><b>{}</b> {}</span> ", PrintedPercent(worst[i].first),
                            Html(Title(*worst[i].second), 60));
      html += (worst.empty() ? "" : "</dd>") + fmt::format("</dl></article>\n");
    }
    return html + "</div></section>\n";
  }

  static std::string Command(const std::string& command) {
    if (command.empty()) return "";
    return fmt::format("<code class=\"command\">{}</code>", Html(command, 600));
  }

  std::string Findings() const {
    const auto groups = Grouped(inputs_.judgement->findings);
    if (groups.empty()) return "";
    std::string html =
        "<section aria-labelledby=\"findings\"><h2 id=\"findings\">What needs a look</h2><div "
        "class=\"findings\">\n";
    for (std::size_t i = 0; i < std::min(kMostFindings, groups.size()); ++i) html += Group(groups[i]);
    if (groups.size() > kMostFindings) html += fmt::format("<p>and {} more</p>", groups.size() - kMostFindings);
    return html + "</div></section>\n";
  }

  static std::string Group(const std::vector<const TrendFinding*>& group) {
    const TrendFinding& first = *group.front();
    const bool change = first.what == "change";
    const std::string front =
        change
            ? fmt::format("<b>▲ {} worse</b> <span class=\"since\">{} since {}</span>", PrintedPercent(first.size),
                          group.size() == 1 ? "one series" : fmt::format("{} series", group.size()), Html(first.since))
            : fmt::format("<b>{}</b> <span class=\"since\">{}</span>", Html(first.what), Html(first.text));
    if (!change && first.command.empty()) return fmt::format("<p class=\"finding\">{}</p>\n", front);
    std::string html = fmt::format("<details class=\"finding\"><summary>{}</summary>", front);
    if (change) {
      html += "<ul>";
      for (std::size_t i = 0; i < std::min(kMostOfGroup, group.size()); ++i)
        html += fmt::format("<li>{}</li>", Html(group[i]->text));
      if (group.size() > kMostOfGroup) html += fmt::format("<li>and {} more</li>", group.size() - kMostOfGroup);
      html += "</ul>";
    }
    return html + Command(first.command) + "</details>\n";
  }

  std::string Tabs() {
    roofline_ = RooflineSection(history_, series_);
    parity_ = ParitySection(history_);
    faults_ = FaultCards();
    std::string html = "<nav class=\"tabs\" aria-label=\"Views\">";
    const auto tab = [&](const char* id, const char* name, bool shown) {
      if (shown) html += fmt::format("<a href=\"#{0}\" data-tab=\"{0}\">{1}</a>", id, name);
    };
    tab("series", "Series", true);
    tab("changes", "Changes", true);
    tab("compare", "Compare", true);
    tab("parity", "Parity", !parity_.empty());
    tab("faults", "Faults", !faults_.empty());
    tab("roofline", "Roofline", !roofline_.empty());
    return html + "</nav>\n";
  }

  // A card is there for what a cell is about, and for any other series that has a change. Of suites and runs that ran
  // once the other views tell.
  bool HasCard(const TrendSeries& item) const {
    if (item.nights.empty()) return false;
    const std::string& kind = history_.cells[item.cell].kind;
    if (kind == "measure" || item.metric == "time" || item.metric == "ratio" || item.unit == "byte") return true;
    const bool about = item.metric == (kind == "suite" ? "headroom" : "duration");
    if ((kind == "suite" || kind == "run") && about && item.nights.size() > 1) return true;
    return !item.changes.empty();
  }
  // A loss that stands above the level from which the metric is of interest.
  static bool Matters(const TrendSeries& item) {
    return !item.levels.empty() && item.levels.back().mean >= item.matters_from;
  }

  std::string Title(const TrendSeries& item) const {
    const HistoryCell& cell = history_.cells[item.cell];
    const std::string model = cell.axes.Text("model");
    return model.empty() ? cell.name : cell.name + " " + model;
  }

  // The axes that the title does not hold.
  std::string Chips(const HistoryCell& cell) const {
    std::string html;
    for (const auto& [name, value] : cell.axes.all()) {
      if (name == "model") continue;
      const bool plain = name == "dtype" || name == "device";
      const auto* text = std::get_if<std::string>(&value);
      const std::string shown = text != nullptr ? *text : fmt::format("{}", std::get<std::int64_t>(value));
      html += fmt::format("<i>{}</i>", Html((plain ? "" : name + "=") + shown, 80));
    }
    return html;
  }

  std::string Card(std::size_t index) const {
    const TrendSeries& item = series_[index];
    const HistoryCell& cell = history_.cells[item.cell];
    const double limit = LimitOf(history_, item);
    const double latest = item.nights.back().value;
    std::string delta = "<span class=\"delta\">steady</span>";
    if (item.nights.size() < 2) delta = "<span class=\"delta\">one point</span>";
    if (!item.changes.empty()) {
      const Change& last = item.changes.back();
      const double worse = item.Worsening(last.before, last.after);
      delta = fmt::format("<span class=\"delta {}\">{} {}<span class=\"sr\"> {}</span></span>",
                          worse > 0 ? "worse" : "better", worse > 0 ? "▲" : "▼", PrintedPercent(std::abs(worse)),
                          worse > 0 ? "worse" : "better");
    }
    return fmt::format(
        "<button type=\"button\" class=\"card\" data-s=\"{}\"><span class=\"title\">{}</span><span "
        "class=\"chips\"><i class=\"metric\">{}</i>{}<i>{}</i></span>{}<span class=\"foot\"><b>{}</b>{}{}"
        "</span></button>\n",
        index, Html(Title(item), 120), Html(item.metric), Chips(cell), Html(EnvironmentName(item.key), 80),
        SparkSvg(history_, item, limit), Printed(latest, item.unit), delta,
        limit > 0 ? fmt::format("<span class=\"of\">limit {}</span>", PrintedPercent(limit / latest)) : "");
  }

  std::string EnvironmentName(const std::string& key) const {
    auto& name = environments_[key];
    if (name.empty()) name = assay::EnvironmentName(history_, key);
    return name;
  }

  std::string Grid() {
    std::vector<std::size_t> cards;
    for (std::size_t i = 0; i < series_.size(); ++i)
      if (HasCard(series_[i])) cards.push_back(i);
    const auto rank = [&](std::size_t i) {
      const TrendSeries& item = series_[i];
      const std::string& kind = history_.cells[item.cell].kind;
      const int group = kind == "bench" ? 0 : kind == "gate" ? 1 : kind == "suite" ? 2 : 3;
      const double loss = Matters(item) && item.judged ? item.Loss() : 0;
      return std::tuple(-loss, group, item.nights.size() < 2);
    };
    std::stable_sort(cards.begin(), cards.end(), [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
    std::string html =
        "<section id=\"series\" data-view aria-labelledby=\"series-name\"><h2 id=\"series-name\">Series "
        "<small>worst first</small></h2>\n" +
        Filters();
    html +=
        "<p class=\"legend\"><span class=\"key line\">a night</span> <span class=\"key band\">where a night of its "
        "level is expected</span> <span class=\"key limit\">limit of the hardware, as measured</span> <span "
        "class=\"worse\">▲ worse</span> <span class=\"better\">▼ better</span></p>\n<div class=\"grid\" "
        "id=\"grid\">\n";
    for (const std::size_t i : cards) html += Card(i);
    return html + "</div><p id=\"nothing\" hidden>No series is left by these filters.</p></section>\n";
  }

  // Filled and shown by the script.
  static std::string Filters() {
    std::string html =
        "<form class=\"filters scripted\" id=\"filters\" aria-label=\"Filters\"><label>find <input "
        "type=\"search\" id=\"f-q\" placeholder=\"press /\"></label>";
    for (const char* name : {"kind", "metric", "model", "dtype", "n", "context", "gpu"})
      html += fmt::format("<label>{0} <select id=\"f-{0}\"><option value=\"\">all</option></select></label>", name);
    return html +
           "<button type=\"button\" id=\"clear\">clear</button><output id=\"count\" aria-live=\"polite\">"
           "</output></form>\n";
  }

  std::string Changes() const {
    struct Row {
      std::string date, html;
    };
    std::vector<Row> rows;
    for (const TrendSeries& item : series_) {
      if (item.metric == "duration") continue;
      for (const Change& change : item.changes) {
        const ChangeFacts facts = FactsOf(history_, item, change);
        const double worse = item.Worsening(change.before, change.after);
        std::string subject;
        if (const auto found = inputs_.subjects.find(facts.first_after->commit); found != inputs_.subjects.end())
          subject = fmt::format("<br><q>{}</q>", Html(found->second, 120));
        rows.push_back(
            {facts.first_after->started,
             fmt::format("<tr><td class=\"whole\">{}</td><th scope=\"row\">{} "
                         "<small>{}</small><br><small>{}</small></th><td class=\"whole\">{} → "
                         "{}</td><td class=\"{}\">{} {}</td><td>{:.1g}</td><td>{}{}{}</td></tr>\n",
                         facts.first_after->started.substr(0, 10), Html(history_.cells[item.cell].id, 160),
                         Html(item.metric), Html(EnvironmentName(item.key), 80), Printed(change.before, item.unit),
                         Printed(change.after, item.unit), worse > 0 ? "worse" : "better", worse > 0 ? "▲" : "▼",
                         PrintedPercent(std::abs(worse)), change.p,
                         Html(facts.range + (facts.remark.empty() ? "" : "; " + facts.remark)), subject,
                         facts.command.empty()
                             ? ""
                             : "<details><summary>gate them</summary>" + Command(facts.command) + "</details>")});
      }
    }
    std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.date > b.date; });
    std::string html =
        "<section id=\"changes\" data-view aria-labelledby=\"changes-name\"><h2 "
        "id=\"changes-name\">Changes <small>newest first</small></h2>\n";
    if (rows.empty()) return html + "<p>No series has a change.</p></section>\n";
    html +=
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Changes\"><table><thead><tr><th>first seen"
        "</th><th>cell</th><th>level</th><th>change</th><th>p</th><th>commits</th></tr></thead><tbody>\n";
    for (std::size_t i = 0; i < std::min(kMostChanges, rows.size()); ++i) html += rows[i].html;
    html += "</tbody></table></div>";
    if (rows.size() > kMostChanges) html += fmt::format("<p>and {} older ones</p>", rows.size() - kMostChanges);
    return html + "</section>\n";
  }

  static std::string Compare() {
    return "<section id=\"compare\" data-view aria-labelledby=\"compare-name\"><h2 id=\"compare-name\">Compare two "
           "commits</h2><noscript><p>Comparing needs scripts.</p></noscript><form class=\"filters scripted\" "
           "aria-label=\"Commits\"><label>from <select id=\"c-a\"></select></label><label>to <select id=\"c-b\">"
           "</select></label><output id=\"c-count\" aria-live=\"polite\"></output></form><div class=\"scroll\" "
           "tabindex=\"0\" role=\"region\" aria-label=\"Comparison\"><table id=\"c-table\" hidden><thead><tr>"
           "<th>cell</th><th>from</th><th>to</th><th>change</th><th>in noise</th></tr></thead><tbody></tbody></table>"
           "</div></section>\n";
  }

  std::string Parity() const {
    if (parity_.empty()) return "";
    return "<section id=\"parity\" data-view aria-labelledby=\"parity-name\"><h2 id=\"parity-name\">Parity "
           "<small>headroom: error used over error allowed; 1 is the edge</small></h2><p class=\"legend\">"
           "<span class=\"h1\">0 to 0.2</span> <span class=\"h2\">0.4</span> <span class=\"h3\">0.6</span> <span "
           "class=\"h4\">0.8</span> <span class=\"h5\">more</span> <span class=\"h6\">✕ failed</span></p>\n" +
           parity_ + "</section>\n";
  }

  std::string FaultCards() const {
    std::string html;
    for (std::size_t i = 0; i < series_.size(); ++i)
      if (series_[i].metric.starts_with("fault") && !series_[i].nights.empty()) html += Card(i);
    return html;
  }
  std::string Faults() const {
    if (faults_.empty()) return "";
    return "<section id=\"faults\" data-view aria-labelledby=\"faults-name\"><h2 id=\"faults-name\">Planted faults"
           "</h2><div class=\"grid\">" +
           faults_ + "</div></section>\n";
  }

  std::string Roofline() const {
    if (roofline_.empty()) return "";
    return "<section id=\"roofline\" data-view aria-labelledby=\"roofline-name\"><h2 id=\"roofline-name\">Roofline "
           "<small>every row's last run</small></h2>" +
           roofline_ + "</section>\n";
  }

  static std::string Detail() {
    return "<dialog id=\"detail\" aria-labelledby=\"d-title\"><div class=\"d-head\"><h2 id=\"d-title\"></h2><button "
           "type=\"button\" id=\"d-close\" aria-label=\"Close\">✕</button></div><p class=\"chips\" id=\"d-chips\"></p>"
           "<div class=\"d-tools\"><label>metric <select id=\"d-metric\"></select></label><label><input "
           "type=\"checkbox\" id=\"d-limit\"> down to the limit</label><button type=\"button\" id=\"d-reset\">whole "
           "time</button><button type=\"button\" id=\"d-prev\">◀ earlier</button><button type=\"button\" "
           "id=\"d-next\">later ▶</button></div><div id=\"d-chart\"></div><p class=\"muted\">Drag to zoom; arrow keys "
           "go from night to "
           "night.</p><div id=\"d-night\" aria-live=\"polite\"></div><div id=\"d-changes\"></div><div "
           "id=\"d-others\"></div></dialog>\n";
  }

  // What the script needs, as JSON that holds no "<": it cannot end its element.
  std::string Data() const {
    Json data = {{"now", std::floor(inputs_.now)}};
    Json strings = Json::array();
    std::map<std::string, std::size_t> places;
    const auto text = [&](const std::string& value) {
      const auto [found, fresh] = places.emplace(Visible(value, 600), strings.size());
      if (fresh) strings.push_back(found->first);
      return found->second;
    };
    std::map<std::string, std::size_t> keys;
    Json environments = Json::array();
    data["runs"] = Json::array();
    for (const HistoryRun& run : history_.runs) {
      const auto [key, fresh] = keys.emplace(run.key, keys.size());
      if (fresh) {
        Json fields = Json::array();
        for (const auto& [name, value] : run.key_fields) fields.push_back({text(name), text(value)});
        environments.push_back({{"name", Visible(EnvironmentName(run.key), 120)}, {"fields", fields}});
      }
      const auto subject = inputs_.subjects.find(run.commit);
      data["runs"].push_back({std::floor(run.started_at), run.commit, run.dirty ? 1 : 0, key->second, text(run.machine),
                              text(run.driver), text(run.kind), text(run.verdict), text(run.path), run.sha256,
                              text(run.command),
                              subject == inputs_.subjects.end() ? Json(nullptr) : Json(text(subject->second))});
    }
    data["environments"] = std::move(environments);
    data["cells"] = Json::array();
    for (const HistoryCell& cell : history_.cells) {
      Json axes = Json::object();
      for (const auto& [name, value] : cell.axes.all())
        if (const auto* word = std::get_if<std::string>(&value); word != nullptr)
          axes[Visible(name, 60)] = Visible(*word);
        else
          axes[Visible(name, 60)] = std::get<std::int64_t>(value);
      data["cells"].push_back({Visible(cell.id), cell.kind, Visible(cell.name), axes, text(MeasureCommand(cell))});
    }
    std::map<std::string, std::size_t> lists;
    Json run_lists = Json::array();
    data["series"] = Json::array();
    // Cards name series by their place: what the page says nothing more about stands there as nothing.
    for (const TrendSeries& item : series_)
      data["series"].push_back(item.nights.size() > 1 || HasCard(item) ? SeriesJson(item, keys, &lists, &run_lists)
                                                                       : Json(0));
    data["lists"] = std::move(run_lists);
    data["strings"] = std::move(strings);
    std::string dumped = data.dump(-1, ' ', false, Json::error_handler_t::replace);
    for (std::size_t at = dumped.find('<'); at != std::string::npos; at = dumped.find('<', at))
      dumped.replace(at, 1, "\\u003c");
    return dumped;
  }

  Json SeriesJson(const TrendSeries& item, const std::map<std::string, std::size_t>& keys,
                  std::map<std::string, std::size_t>* lists, Json* run_lists) const {
    std::vector<std::optional<double>> runs, values, low, high, clocks, p99, samples;
    bool band = false;
    for (const Night& night : item.nights) {
      const HistoryPoint& point = history_.points[night.point];
      runs.push_back(static_cast<double>(night.run));
      values.push_back(night.value);
      low.push_back(night.low ? std::optional(night.value - *night.low) : std::nullopt);
      high.push_back(night.high ? std::optional(*night.high - night.value) : std::nullopt);
      band |= night.low.has_value();
      if (item.metric != "time") continue;
      clocks.push_back(point.clock_mhz);
      samples.push_back(static_cast<double>(point.samples));
    }
    const Json packed = Packed(runs, 1);
    const auto [list, fresh] = lists->emplace(packed.dump(), lists->size());
    if (fresh) run_lists->push_back(packed);
    const double step = StepOf(item), limit = LimitOf(history_, item);
    Json json = {{"c", item.cell},           {"k", keys.at(item.key)}, {"m", Visible(item.metric, 80)},
                 {"n", item.nights.size()},  {"r", list->second},      {"s", step},
                 {"v", Packed(values, step)}};
    PutText(&json, "u", item.unit);
    if (item.higher_is_better) json["up"] = 1;
    if (band) {
      json["lo"] = Packed(low, step);
      json["hi"] = Packed(high, step);
    }
    if (item.noise > 0) json["e"] = Rounded3(item.noise);
    if (limit > 0) json["f"] = Rounded3(limit);
    const bool has_clock =
        std::any_of(clocks.begin(), clocks.end(), [](const auto& clock) { return clock.has_value(); });
    if (has_clock) json["mhz"] = Packed(clocks, 1);
    if (!samples.empty()) json["q"] = Packed(samples, 1);
    // Nights that have no number, by reason.
    if (const auto found = missing_.find({item.cell, item.key}); item.metric == "time" && found != missing_.end())
      for (const auto& [reason, count] : found->second) json["o"].push_back({reason, count});
    for (const Change& change : item.changes) {
      const ChangeFacts facts = FactsOf(history_, item, change);
      Json one = {{"a", change.at},
                  {"b", change.before},
                  {"e", change.after},
                  {"p", change.p},
                  {"t", Visible(facts.range + (facts.remark.empty() ? "" : "; " + facts.remark))}};
      PutText(&one, "g", Visible(facts.command, 600));
      json["x"].push_back(std::move(one));
    }
    return json;
  }

  static double Rounded3(double value) {
    const double scale = std::pow(10, 3 - std::floor(std::log10(std::abs(value))));
    return std::round(value * scale) / scale;
  }

  const TrendPageInputs& inputs_;
  const History& history_;
  const std::vector<TrendSeries>& series_;
  std::string roofline_, parity_, faults_;
  mutable std::map<std::string, std::string> environments_;
  // How often a row had no number, by its cell and key, by reason.
  std::map<std::pair<std::size_t, std::string>, std::map<std::string, int>> missing_;
};

}  // namespace

std::string RenderTrendPage(const TrendPageInputs& inputs) { return Page(inputs).Render(); }

}  // namespace assay
