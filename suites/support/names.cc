#include "suites/support/names.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <cctype>

#include "engine/base/check.h"

namespace assay {
namespace {

std::string Folded(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Insertions, deletions, replacements and exchanges of neighbours that make one of the other.
std::size_t Distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> to(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i)
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        to[i][j] = i + j;
        continue;
      }
      to[i][j] = std::min({to[i - 1][j] + 1, to[i][j - 1] + 1, to[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        to[i][j] = std::min(to[i][j], to[i - 2][j - 2] + 1);
    }
  return to[a.size()][b.size()];
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
