// The parts of ConsistencyProblems: what a report of the right shape may still get wrong.
#pragma once

#include <fmt/core.h>

#include <string>
#include <utility>
#include <vector>

#include "reports/format/report.h"

namespace assay {

// The first thousand lines, and how many there were beside: a report can contradict itself as often as it is long.
class Problems {
 public:
  void push_back(std::string line) {
    if (lines_.size() < kMost)
      lines_.push_back(std::move(line));
    else
      ++more_;
  }
  bool empty() const { return lines_.empty(); }
  std::vector<std::string> Lines() && {
    if (more_ > 0) lines_.push_back(fmt::format("and {} problems more", more_));
    return std::move(lines_);
  }

 private:
  static constexpr std::size_t kMost = 1000;
  std::vector<std::string> lines_;
  std::size_t more_ = 0;
};

void CheckCases(const Report& report, Problems* problems);
void CheckRows(const Report& report, Problems* problems);
void CheckEnvironment(const Report& report, Problems* problems);

}  // namespace assay
