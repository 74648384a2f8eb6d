// The command, whose cases may do what a case must not. ASSAY_PLANTED says which and what: "ACTION PATTERN;ACTION
// PATTERN...", where the pattern is of case ids and the action one of
//   segv, abort, kill   the process dies of that signal
//   exit                it ends with code 3
//   hang                the case never ends
//   throw               bad_alloc
//   child               a child of the process outlives it, which dies
//   sleep=SECONDS       the case takes so much longer
// An action that ends in "-once" happens to the first process that gets there; the folder ASSAY_PLANTED_FOLDER keeps
// word of it.
#include <fcntl.h>
#include <fnmatch.h>
#include <spawn.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <new>
#include <sstream>
#include <thread>

#include "ci/assay/program.h"
#include "suites/suites.h"

namespace assay {
namespace {

struct Planted {
  std::string action, pattern;
  bool once = false;
};

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::vector<Planted> AllPlanted() {
  std::vector<Planted> all;
  std::istringstream entries(Variable("ASSAY_PLANTED"));
  for (std::string entry; std::getline(entries, entry, ';');) {
    Planted planted;
    std::istringstream(entry) >> planted.action >> planted.pattern;
    planted.once = planted.action.ends_with("-once");
    if (planted.once) planted.action.resize(planted.action.size() - 5);
    all.push_back(planted);
  }
  return all;
}

// Whether this process is the first that asks.
bool IsFirst(const Planted& planted) {
  std::string name = planted.action + " " + planted.pattern;
  for (char& c : name)
    if (c == '/' || c == '*') c = '_';
  const int fd = ::open((Variable("ASSAY_PLANTED_FOLDER") + "/" + name).c_str(), O_CREAT | O_EXCL | O_WRONLY, 0644);
  if (fd < 0) return false;
  ::close(fd);
  return true;
}

void LeaveAChild() {
  const char* const words[] = {"/bin/sleep", "600", nullptr};
  pid_t child = 0;
  ::posix_spawn(&child, words[0], nullptr, nullptr, const_cast<char**>(words), environ);
}

void Act(const std::string& action) {
  if (action == "segv") std::raise(SIGSEGV);
  if (action == "abort") std::abort();
  if (action == "kill") std::raise(SIGKILL);
  if (action == "exit") ::_exit(3);
  if (action == "hang") std::this_thread::sleep_for(std::chrono::hours(1));
  if (action == "throw") throw std::bad_alloc();
  if (action == "child") LeaveAChild(), ::_exit(3);
  if (action.starts_with("sleep="))
    std::this_thread::sleep_for(std::chrono::duration<double>(std::stod(action.substr(6))));
}

std::vector<Case> ListPlanted(Workbench& bench, const SuiteInputs& inputs, const std::vector<std::string>& suites) {
  std::vector<Case> cases = ListCases(bench, inputs, suites);
  for (const Planted& planted : AllPlanted())
    for (Case& item : cases) {
      if (::fnmatch(planted.pattern.c_str(), item.id().c_str(), 0) != 0) continue;
      item.body = [planted, body = std::move(item.body)](CaseState& state) {
        if (!planted.once || IsFirst(planted)) Act(planted.action);
        body(state);
      };
    }
  return cases;
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) { return assay::RunProgram(argc, argv, assay::ListPlanted); }
