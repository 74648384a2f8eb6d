#include "ci/assay/flips.h"

#include <fmt/format.h>

#include <map>

namespace assay {
namespace {

constexpr std::size_t kMostSeeds = 12;  // of a row: a line stays a line

std::string WithoutSeed(const ReportCase& item) {
  Axes axes;
  for (const auto& [axis, value] : item.axes.all())
    if (axis != "seed") axes.Set(axis, value);
  return PrintId(item.suite, item.name, axes);
}

std::string Listed(std::vector<std::int64_t> seeds) {
  const bool more = seeds.size() > kMostSeeds;
  if (more) seeds.resize(kMostSeeds);
  return fmt::format("{}{}", fmt::join(seeds, " "), more ? " ..." : "");
}

}  // namespace

std::vector<std::vector<std::string>> FlipTable(const Report& report) {
  struct Seeds {
    std::vector<std::int64_t> good, bad;
  };
  std::map<std::string, Seeds> cases;
  for (const ReportCase& item : report.cases) {
    if (item.status == Status::kSkip) continue;
    Seeds& seeds = cases[WithoutSeed(item)];
    (item.status == Status::kPass ? seeds.good : seeds.bad).push_back(item.axes.Number("seed").value_or(0));
  }
  std::vector<std::vector<std::string>> table = {{"flipped", "passed", "did not", "seeds that did not"}};
  for (const auto& [id, seeds] : cases)
    if (!seeds.good.empty() && !seeds.bad.empty())
      table.push_back(
          {id, fmt::format("{}", seeds.good.size()), fmt::format("{}", seeds.bad.size()), Listed(seeds.bad)});
  return table;
}

}  // namespace assay
