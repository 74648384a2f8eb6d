#include "reports/trend/commands.h"

#include <fmt/core.h>

#include <charconv>

#include "engine/text/shell.h"

namespace assay {
namespace {

// How options name axes.
struct OptionOf {
  const char* axis;
  const char* option;
};
constexpr OptionOf kOptionsOfAxes[] = {
    {"model", "--model"}, {"dtype", "--dtype"}, {"n", "--n"}, {"context", "--ctx"}, {"device", "--device"}};

std::string Selection(const Axes& axes) {
  std::string text;
  for (const auto& [axis, option] : kOptionsOfAxes) {
    if (const std::string word = axes.Text(axis); !word.empty())
      text += fmt::format(" {} {}", option, Quoted(word));
    else if (const auto number = axes.Number(axis))
      text += fmt::format(" {} {}", option, *number);
  }
  const auto prompts = axes.Number("prompts"), tokens = axes.Number("tokens");
  if (prompts && tokens)
    text += *prompts == 1 ? fmt::format(" --prompt {}", *tokens) : fmt::format(" --prompt {}x{}", *prompts, *tokens);
  return text;
}

// "decode" of "bench.decode/..."; of a row's own name in `cell.name`.
std::string BenchmarkOf(const HistoryCell& cell) {
  if (cell.kind == "bench") return cell.name;
  constexpr std::string_view kFront = "gate.bench.";
  if (cell.kind != "gate" || !cell.id.starts_with(kFront)) return "";
  return cell.id.substr(kFront.size(), cell.id.find('/') - kFront.size());
}

}  // namespace

Axes AxesOfId(const std::string& id) {
  Axes axes;
  constexpr const char* kNames[] = {"model", "dtype", "device"};
  std::vector<std::string> plain;
  for (std::size_t at = id.find('/'); at != std::string::npos;) {
    const std::size_t end = std::min(id.find('/', at + 1), id.size());
    const std::string part = id.substr(at + 1, end - at - 1);
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos) {
      if (axes.all().empty()) plain.push_back(part);  // behind named ones: "peak_bytes", what is gated of the row
    } else {
      std::int64_t number = 0;
      const char* last = part.data() + part.size();
      const auto [stop, error] = std::from_chars(part.data() + equals + 1, last, number);
      if (error == std::errc() && stop == last)
        axes.Set(part.substr(0, equals), number);
      else
        axes.Set(part.substr(0, equals), part.substr(equals + 1));
    }
    at = end < id.size() ? end : std::string::npos;
  }
  // A model's name may hold slashes: mode and device are the last two.
  if (plain.size() < 3) return axes;
  Axes named;
  std::string model = plain.front();
  for (std::size_t i = 1; i + 2 < plain.size(); ++i) model += "/" + plain[i];
  named.Set(kNames[0], model);
  named.Set(kNames[1], plain[plain.size() - 2]);
  named.Set(kNames[2], plain.back());
  for (const auto& [name, value] : axes.all()) named.Set(name, value);
  return named;
}

std::string MeasureCommand(const HistoryCell& cell) {
  if (cell.kind == "suite") {
    // "golden --goldens FILE": a command of its own, and its options; of a run the options alone.
    const std::string selection = cell.axes.Text("of");
    constexpr std::string_view kGolden = "golden";
    if (selection.starts_with(kGolden))
      return fmt::format("assay golden{}{}", Selection(cell.axes), selection.substr(kGolden.size()));
    return fmt::format("assay run --suite {}{}{}{}", Quoted(cell.name), Selection(cell.axes),
                       selection.empty() ? "" : " ", selection);
  }
  const std::string what = BenchmarkOf(cell);
  return what.empty() ? "" : fmt::format("assay bench --what {}{}", Quoted(what), Selection(cell.axes));
}

std::string GateCommandFor(const HistoryCell& cell, const std::string& baseline, const std::string& candidate) {
  const std::string what = BenchmarkOf(cell);
  if (what.empty() || baseline.empty() || candidate.empty()) return "";
  return fmt::format("assay gate --baseline {} --candidate {} --what {}{}", Quoted(baseline), Quoted(candidate),
                     Quoted(what), Selection(cell.axes));
}

}  // namespace assay
