#include "suites/support/names.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <cctype>
#include <numeric>

#include "engine/base/check.h"

namespace assay {
namespace {

std::string Folded(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Insertions, deletions and replacements that make one of the other.
std::size_t Distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, diagonal + (a[i] == b[j] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace

std::string DidYouMean(const std::string& typed, const std::vector<std::string>& known) {
  // A third of the letters may be wrong: farther names are no typing errors of this one.
  std::size_t least = std::max<std::size_t>(1, typed.size() / 3) + 1;
  std::string nearest;
  for (const std::string& name : known) {
    const std::size_t distance = Distance(Folded(typed), Folded(name));
    if (distance < least) least = distance, nearest = name;
  }
  return nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest);
}

std::vector<std::string> MatchNames(const char* kind, const std::vector<std::string>& patterns,
                                    const std::vector<std::string>& known) {
  std::vector<std::string> names;
  for (const std::string& pattern : patterns) {
    bool found = false;
    for (const std::string& name : known) {
      if (name != pattern && ::fnmatch(pattern.c_str(), name.c_str(), 0) != 0) continue;
      found = true;
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
    Require(found, "{} '{}': expected one of {}{}", kind, pattern, fmt::join(known, ", "), DidYouMean(pattern, known));
  }
  return names;
}

}  // namespace assay
