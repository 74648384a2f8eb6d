#include "ci/assay/gate_build.h"

#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "ci/assay/terminal.h"
#include "reports/format/report.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

constexpr double kGitSeconds = 120, kBuildSeconds = 7200;

bool IsProgram(const fs::path& path) { return fs::is_regular_file(path) && ::access(path.c_str(), X_OK) == 0; }

// Runs a tool of the path and returns what it printed; throws with its last words.
std::string Tool(std::vector<std::string> words, double timeout_s, const std::string& what, ChildStop* stop) {
  fs::create_directories("build/gate");
  const std::string log = "build/gate/tool.log";
  const std::string name = words.front();
  const auto [said, problem] = RunTool(std::move(words), log, timeout_s, stop);
  if (!problem.empty())
    throw ReportError(fmt::format("{}: {} {}: {}", what, name, problem,
                                  said.substr(said.size() - std::min<std::size_t>(said.size(), 500))));
  return said;
}

std::string BuildRevision(const std::string& named, const std::string& preset, ChildStop* stop) {
  std::string commit;
  try {
    commit = Tool({"git", "rev-parse", "--verify", "--quiet", "--end-of-options", named + "^{commit}"}, kGitSeconds,
                  named, stop);
  } catch (const ReportError&) {
    throw ReportError(fmt::format("build '{}': no program, no folder with bin/assay and no git revision", named));
  }
  commit = commit.substr(0, commit.find('\n'));
  const std::string tree = "build/gate/" + commit;
  const fs::path program = fs::path(tree) / "build" / preset / "bin/assay";
  if (!fs::exists(tree + "/CMakePresets.json"))
    Tool({"git", "worktree", "add", "--force", "--detach", tree, commit}, kGitSeconds, named, stop);
  Tell("building {} ({}) in {}\n", named, commit.substr(0, 12), tree);
  std::fflush(stdout);
  Tool({"cmake", "-S", tree, "-B", tree + "/build/" + preset, "--preset", preset}, kBuildSeconds, named, stop);
  Tool({"cmake", "--build", tree + "/build/" + preset, "--target", "assay"}, kBuildSeconds, named, stop);
  if (!IsProgram(program)) throw ReportError(fmt::format("build '{}': {} was not built", named, program.string()));
  return fs::absolute(program).string();
}

}  // namespace

std::string FindBuild(const std::string& named, const std::string& preset, ChildStop* stop) {
  if (named.empty()) throw ReportError("a build has no name");
  if (fs::is_directory(named)) {
    for (const char* inside : {"bin/assay", "assay"})
      if (IsProgram(fs::path(named) / inside)) return fs::absolute(fs::path(named) / inside).string();
    throw ReportError(fmt::format("build '{}': a folder without bin/assay", named));
  }
  if (fs::exists(named)) {
    if (!IsProgram(named)) throw ReportError(fmt::format("build '{}': a file that cannot be run", named));
    return fs::absolute(named).string();
  }
  return BuildRevision(named, preset, stop);
}

}  // namespace assay
