#include "reports/page/pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "reports/page/html.h"
#include "reports/trend/print.h"

namespace assay {
namespace {

constexpr double kDay = 86400;
constexpr double kWidth = 240, kTop = 5, kBottom = 43, kLimitAt = 50, kHeight = 54;
constexpr std::size_t kSparkPoints = 120;  // more than that many nights are drawn by their medians
constexpr double kBandSpreads = 2;
constexpr double kGapIntervals = 2.6;  // a longer pause than so many usual ones is a gap

struct Dot {
  double time = 0, value = 0;
};

// At most kSparkPoints dots; neighbours that are told by one become their median.
std::vector<Dot> Thinned(const std::vector<Dot>& dots) {
  if (dots.size() <= kSparkPoints) return dots;
  std::vector<Dot> thin;
  for (std::size_t i = 0; i < kSparkPoints; ++i) {
    const std::size_t begin = i * dots.size() / kSparkPoints, end = (i + 1) * dots.size() / kSparkPoints;
    std::vector<double> values;
    for (std::size_t k = begin; k < end; ++k) values.push_back(dots[k].value);
    thin.push_back({(dots[begin].time + dots[end - 1].time) / 2, MedianOf(std::move(values))});
  }
  return thin;
}

double UsualInterval(const std::vector<Dot>& dots) {
  std::vector<double> intervals;
  for (std::size_t i = 1; i < dots.size(); ++i) intervals.push_back(dots[i].time - dots[i - 1].time);
  return std::max(MedianOf(std::move(intervals)), kDay);
}

// A linear scale from numbers to places.
struct Scale {
  double low = 0, high = 1, from = 0, to = 1;
  double operator()(double value) const {
    return high > low ? from + (to - from) * (value - low) / (high - low) : (from + to) / 2;
  }
};

std::string Coordinate(double value) {
  std::string text = fmt::format("{:.1f}", value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

// What a verdict or status looks like: "good", "warn", "bad".
const char* ClassOf(const std::string& verdict) {
  for (const char* bad : {"FAIL", "REGRESSION", "fail", "error", "WRONG"})
    if (verdict == bad) return "bad";
  for (const char* good : {"PASS", "pass", "MATCH"})
    if (verdict == good) return "good";
  return "warn";
}

}  // namespace

std::string SparkSvg(const History& history, const TrendSeries& series, double limit) {
  std::vector<Dot> dots;
  for (const Night& night : series.nights) dots.push_back({history.runs[night.run].started_at, night.value});
  std::string svg = fmt::format("<svg class=\"spark\" viewBox=\"0 0 {} {}\" aria-hidden=\"true\" focusable=\"false\">",
                                kWidth, kHeight);
  if (dots.empty()) return svg + "</svg>";
  const double noise = kBandSpreads * series.noise;
  double low = dots.front().value, high = low;
  std::vector<double> values;
  for (const Dot& dot : dots) values.push_back(dot.value);
  // One night that is far out does not flatten the others.
  for (const double value : WithoutExcursions(values)) low = std::min(low, value), high = std::max(high, value);
  for (const Level& level : series.levels)
    low = std::min(low, level.mean - noise), high = std::max(high, level.mean + noise);
  const double least = 0.004 * std::abs(high);  // a steady series is a line, and not its last digits
  if (high - low < least) low -= least / 2, high += least / 2;
  const Scale x{dots.front().time, dots.back().time, 3, kWidth - 3}, y{low, high, kBottom, kTop};
  const auto at_y = [&](double value) { return Coordinate(y(std::clamp(value, low, high))); };
  for (const Level& level : series.levels) {
    const double from = level.begin == 0 ? 0 : x((dots[level.begin - 1].time + dots[level.begin].time) / 2);
    const double to = level.end == dots.size() ? kWidth : x((dots[level.end - 1].time + dots[level.end].time) / 2);
    const double top = y(level.mean + noise), bottom = y(level.mean - noise);
    svg += fmt::format("<rect class=\"band\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>", Coordinate(from),
                       Coordinate(top), Coordinate(to - from), Coordinate(std::max(1.0, bottom - top)));
  }
  if (limit > 0) svg += fmt::format("<path class=\"limit\" d=\"M0 {0}H{1}\"/>", kLimitAt, kWidth);
  const double pause = kGapIntervals * UsualInterval(dots);
  std::string path;
  std::size_t run = 0;  // dots since the last gap
  const std::vector<Dot> thin = Thinned(dots);
  const double thin_pause = std::max(pause, kGapIntervals * UsualInterval(thin));
  for (std::size_t i = 0; i < thin.size(); ++i) {
    const bool gap = i > 0 && thin[i].time - thin[i - 1].time > thin_pause;
    if (gap && run == 1) path += "h.1";  // a dot alone
    if (gap) run = 0;
    path += fmt::format("{}{} {}", run++ == 0 ? "M" : "L", Coordinate(x(thin[i].time)), at_y(thin[i].value));
  }
  if (run == 1) path += "h.1";
  svg += fmt::format("<path class=\"line\" d=\"{}\"/>", path);
  if (dots.size() == 1)
    svg += fmt::format("<circle class=\"dot\" cx=\"{}\" cy=\"{}\" r=\"3\"/>", Coordinate(x(dots[0].time)),
                       at_y(dots[0].value));
  for (const Change& change : series.changes) {
    const bool worse = series.Worsening(change.before, change.after) > 0;
    const double at = x((dots[change.at - 1].time + dots[change.at].time) / 2);
    // A triangle that points where the series went.
    const double tip = worse ? 1 : kBottom + 4, back = worse ? tip + 7 : tip - 7;
    svg +=
        fmt::format("<path class=\"{0}\" d=\"M{1} {2}V{3}L{4} {3}L{1} {5}L{6} {3}H{1}\"/>", worse ? "worse" : "better",
                    Coordinate(at), worse ? kBottom : kTop, back, Coordinate(at - 4), tip, Coordinate(at + 4));
  }
  return svg + "</svg>";
}

std::string HeartbeatSvg(const History& history, const MachineState& machine, double now, int days) {
  std::map<int, std::string> worst;  // by days ago
  const auto rank = [](const std::string& name) { return name == "bad" ? 2 : name == "warn" ? 1 : 0; };
  for (const HistoryRun& run : history.runs) {
    if (run.machine != machine.machine || run.device != machine.device) continue;
    const int ago = static_cast<int>(std::floor(now / kDay) - std::floor(run.started_at / kDay));
    if (ago < 0 || ago >= days) continue;
    std::string& day = worst[ago];
    const std::string one = ClassOf(run.verdict);
    if (day.empty() || rank(one) > rank(day)) day = one;
  }
  constexpr int kStep = 6;
  std::string svg = fmt::format(
      "<svg class=\"beat\" preserveAspectRatio=\"xMinYMid\" viewBox=\"0 0 {} 18\" role=\"img\" aria-label=\"{} of the "
      "last {} days have a "
      "run\">",
      days * kStep, worst.size(), days);
  for (int ago = 0; ago < days; ++ago) {
    const auto found = worst.find(ago);
    const std::string kind = found == worst.end() ? "none" : found->second;
    const int height = kind == "none" ? 3 : kind == "good" ? 11 : 17;
    svg += fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"4\" height=\"{}\"/>", kind,
                       (days - 1 - ago) * kStep + 1, 18 - height, height);
  }
  return svg + "</svg>";
}

std::string EnvironmentName(const History& history, const std::string& key) {
  std::string device = "unknown device";
  for (const HistoryRun& run : history.runs)
    if (run.key == key) device = run.device;
  return fmt::format("{} {}", device, key.substr(0, 8));
}

namespace {

struct RooflineDot {
  std::string label, name;
  double intensity = 0, achieved = 0, fraction = 0, seconds = 0;
  double copy = 0, peak = 0;
};

const HardwareLimits* LimitsFor(const HistoryRun& run, const std::string& dtype) {
  for (const HardwareLimits& limits : run.limits)
    if (limits.dtype == dtype) return &limits;
  return dtype.empty() && run.limits.size() == 1 ? &run.limits.front() : nullptr;
}

std::vector<double> Decades(double low, double high) {
  std::vector<double> ticks;
  for (double power = std::floor(std::log10(low)); power <= std::ceil(std::log10(high)); ++power)
    ticks.push_back(power);
  return ticks;
}

std::string Rate(double value, const char* unit) {
  constexpr const char* kNames[] = {"", "k", "M", "G", "T", "P"};
  std::size_t at = 0;
  for (; value >= 1000 && at + 1 < std::size(kNames); ++at) value /= 1000;
  return fmt::format("{:.3g} {}{}", value, kNames[at], unit);
}

// A kind of row has one colour and shape in all plots.
using Kinds = std::map<std::string, int>;

std::string RooflinePlot(const std::vector<RooflineDot>& dots, const Kinds& kinds) {
  double x_low = 1, x_high = 100, y_low = 1e18, y_high = 0;
  std::set<std::pair<double, double>> roofs;
  for (const RooflineDot& dot : dots) {
    x_low = std::min(x_low, dot.intensity / 2);
    x_high = std::max({x_high, dot.intensity * 2, 3 * dot.peak / dot.copy});
    y_low = std::min(y_low, dot.achieved / 3);
    y_high = std::max(y_high, dot.peak * 2);
    roofs.emplace(dot.copy, dot.peak);
  }
  constexpr double kLeft = 62, kRight = 700, kUp = 12, kDown = 320;
  const Scale x{std::log10(x_low), std::log10(x_high), kLeft, kRight},
      y{std::log10(y_low), std::log10(y_high), kDown, kUp};
  std::string svg =
      "<svg class=\"roof\" viewBox=\"0 0 720 366\" role=\"img\" aria-label=\"Roofline plot; the table "
      "below holds its numbers\">";
  for (const double power : Decades(x_low, x_high))
    if (const double at = x(power); at >= kLeft && at <= kRight)
      svg += fmt::format(
          "<path class=\"rule\" d=\"M{0:.1f} {1}V{2}\"/><text x=\"{0:.1f}\" y=\"{3}\" "
          "text-anchor=\"middle\">{4:g}</text>",
          at, kUp, kDown, kDown + 18, std::pow(10, power));
  for (const double power : Decades(y_low, y_high))
    if (const double at = y(power); at >= kUp && at <= kDown)
      svg += fmt::format(
          "<path class=\"rule\" d=\"M{1} {0:.1f}H{2}\"/><text x=\"{3}\" y=\"{4:.1f}\" "
          "text-anchor=\"end\">{5}</text>",
          at, kLeft, kRight, kLeft - 6, at + 4, Rate(std::pow(10, power), ""));
  svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">arithmetic intensity, FLOP per byte</text>",
                     (kLeft + kRight) / 2, kDown + 38);
  svg += fmt::format(
      "<text x=\"0\" y=\"0\" transform=\"translate(13 {}) rotate(-90)\" text-anchor=\"middle\">FLOP/s"
      "</text>",
      (kUp + kDown) / 2);
  for (const auto& [copy, peak] : roofs) {
    const double ridge = peak / copy;
    svg += fmt::format("<path class=\"limit\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}H{}\"/>", x(std::log10(x_low)),
                       y(std::log10(x_low * copy)), x(std::log10(ridge)), y(std::log10(peak)), kRight);
  }
  for (const RooflineDot& dot : dots) {
    const double at_x = x(std::log10(dot.intensity)), at_y = y(std::log10(dot.achieved));
    const int kind = kinds.at(dot.name) % 4;
    // Shapes tell kinds apart where colours do not.
    const std::string shape =
        kind == 0   ? fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\">", at_x, at_y)
        : kind == 1 ? fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"9\" height=\"9\">", at_x - 4.5, at_y - 4.5)
        : kind == 2 ? fmt::format("<path d=\"M{:.1f} {:.1f}l6 11h-12z\">", at_x, at_y - 6)
                    : fmt::format("<path d=\"M{:.1f} {:.1f}l6 6l-6 6l-6 -6z\">", at_x, at_y - 6);
    const std::string element = kind == 0 ? "circle" : kind == 1 ? "rect" : "path";
    svg += fmt::format("<g class=\"k{}\">{}<title>{}: {} at {:.3g} FLOP/byte, {} of its floor</title></{}></g>", kind,
                       shape, Html(dot.label), Rate(dot.achieved, "FLOP/s"), dot.intensity,
                       PrintedPercent(dot.fraction), element);
  }
  svg += "</svg><p class=\"legend\">";
  constexpr const char* kMarks[] = {"●", "■", "▲", "◆"};
  for (const auto& [name, kind] : kinds)
    svg += fmt::format("<span class=\"k{}\">{} {}</span> ", kind % 4, kMarks[kind % 4], Html(name));
  return svg + "<span class=\"limit\">╌ copy bandwidth and largest product, as measured</span></p>";
}

}  // namespace

std::string RooflineSection(const History& history, const std::vector<TrendSeries>& series) {
  std::map<std::string, std::vector<RooflineDot>> by_key;
  for (const TrendSeries& item : series) {
    const HistoryCell& cell = history.cells[item.cell];
    if (cell.kind != "bench" || item.metric != "time" || item.nights.empty()) continue;
    const Night& last = item.nights.back();
    const HistoryPoint& point = history.points[last.point];
    const auto bytes = point.facts.find("bytes"), flops = point.facts.find("flops");
    const HardwareLimits* limits = LimitsFor(history.runs[last.run], cell.axes.Text("dtype"));
    if (bytes == point.facts.end() || flops == point.facts.end() || limits == nullptr) continue;
    if (!(bytes->second > 0 && flops->second > 0 && limits->copy_bytes_per_s > 0 && limits->gemm_flops_per_s > 0 &&
          last.value > 0))
      continue;
    by_key[item.key].push_back({cell.id, cell.name, flops->second / bytes->second, flops->second / last.value,
                                point.fraction.value_or(0), last.value, limits->copy_bytes_per_s,
                                limits->gemm_flops_per_s});
  }
  Kinds kinds;
  for (const auto& [key, dots] : by_key)
    for (const RooflineDot& dot : dots) kinds.emplace(dot.name, static_cast<int>(kinds.size()));
  std::string html;
  for (auto& [key, dots] : by_key) {
    std::stable_sort(dots.begin(), dots.end(),
                     [](const RooflineDot& a, const RooflineDot& b) { return a.fraction < b.fraction; });
    html += fmt::format(
        "<h3>{}</h3>{}<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Rows of the "
        "roofline plot\"><table><thead><tr><th>row</th><th>time</th><th>of its floor</th>"
        "<th>FLOP/byte</th><th>achieved</th></tr></thead><tbody>",
        Html(EnvironmentName(history, key)), RooflinePlot(dots, kinds));
    for (const RooflineDot& dot : dots)
      html += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{:.4g}</td><td>{}</td></tr>",
                          Html(dot.label), Printed(dot.seconds, "s"), PrintedPercent(dot.fraction), dot.intensity,
                          Rate(dot.achieved, "FLOP/s"));
    html += "</tbody></table></div>";
  }
  return html;
}

std::string ParitySection(const History& history) {
  using Row = std::pair<std::string, std::string>;  // model, mode
  struct Heat {
    std::map<Row, std::map<std::string, const HistoryPoint*>> rows;
    std::set<std::string> suites;
  };
  std::map<std::string, Heat> by_key;
  for (const HistoryPoint& point : history.points) {
    const HistoryCell& cell = history.cells[point.cell];
    if (cell.kind != "suite") continue;
    Heat& heat = by_key[history.runs[point.run].key];
    std::string mode = cell.axes.Text("dtype");
    if (const std::string of = cell.axes.Text("of"); !of.empty()) mode += (mode.empty() ? "" : ", ") + of;
    heat.rows[{cell.axes.Text("model"), mode}][cell.name] = &point;
    heat.suites.insert(cell.name);
  }
  std::string html;
  for (const auto& [key, heat] : by_key) {
    html += fmt::format(
        "<details class=\"heat\"{}><summary>{} <small>{} models and modes, {} suites</small></summary>"
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Headroom by suite\"><table>"
        "<thead><tr><th>model</th><th>mode</th>",
        html.empty() ? " open" : "", Html(EnvironmentName(history, key)), heat.rows.size(), heat.suites.size());
    for (const std::string& suite : heat.suites) html += fmt::format("<th>{}</th>", Html(suite, 60));
    html += "</tr></thead><tbody>";
    std::vector<std::pair<double, const HistoryPoint*>> outside;
    for (const auto& [row, points] : heat.rows) {
      html += fmt::format("<tr><th scope=\"row\">{}</th><th scope=\"row\">{}</th>", Html(row.first, 80),
                          Html(row.second, 80));
      for (const std::string& suite : heat.suites) {
        const auto found = points.find(suite);
        if (found == points.end()) {
          html += "<td class=\"none\"><span class=\"sr\">not run</span></td>";
          continue;
        }
        const HistoryPoint& point = *found->second;
        const double headroom = point.headroom.value_or(0);
        const bool failed = std::string_view(ClassOf(point.status)) == "bad";
        const int heat_class = failed ? 6 : !point.headroom ? 0 : std::clamp(static_cast<int>(headroom * 5) + 1, 1, 5);
        if (!point.note.empty()) outside.emplace_back(failed ? 1e9 + headroom : headroom, &point);
        html += fmt::format("<td class=\"h{}\" title=\"{}\">{}{}</td>", heat_class, Html(point.note),
                            failed ? "✕ " : "", point.headroom ? fmt::format("{:.2g}", headroom) : Html(point.status));
      }
      html += "</tr>";
    }
    html += "</tbody></table></div>";
    std::stable_sort(outside.begin(), outside.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    constexpr std::size_t kMostNotes = 12;
    if (!outside.empty()) html += "<h4>Failures and first divergences</h4><ul class=\"notes\">";
    for (std::size_t i = 0; i < std::min(kMostNotes, outside.size()); ++i)
      html += fmt::format("<li>{}</li>", Html(outside[i].second->note));
    if (outside.size() > kMostNotes) html += fmt::format("<li>and {} more</li>", outside.size() - kMostNotes);
    if (!outside.empty()) html += "</ul>";
    html += "</details>";
  }
  return html;
}

}  // namespace assay
