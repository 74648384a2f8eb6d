#include "ci/assay/program.h"

#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <string_view>
#include <system_error>

#include "ci/assay/command_line.h"
#include "ci/assay/commands.h"
#include "ci/assay/environment.h"
#include "ci/assay/terminal.h"
#include "engine/base/check.h"
#include "engine/base/heap.h"
#include "reports/format/report.h"
#include "suites/suites.h"

namespace assay {
namespace {

// Bad input and unusable resources are the caller's to mend; anything else is ours.
int CodeOf(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const NoSuchModel& error) {
    Complain(error.what());
    return kExitIncomplete;
  } catch (const ReportVersionError& error) {
    Complain(error.what());
    return kExitNotComparable;
  } catch (const Error& error) {
    Complain(error.what());
    return kExitUsage;
  } catch (const ReportError& error) {
    Complain(error.what());
    return kExitUsage;
  } catch (const std::system_error& error) {
    Complain(error.what());
    return kExitUsage;
  } catch (const std::exception& error) {
    Complain(fmt::format("internal error: {}", error.what()));
  } catch (...) {
    Complain("internal error");
  }
  return kExitInternal;
}

// Threads that spin while they wait take the processor from those that work when a machine is busy: a run took five
// times as long beside others. OpenMP reads the variable when it is loaded, so the program starts itself anew. Timed
// rows keep what the user's environment says.
void WaitPassively(char** argv) {
  if (std::getenv(kWaitPolicy) != nullptr || argv[0] == nullptr || argv[1] == nullptr) return;
  const std::string_view command = argv[1];
  constexpr std::string_view kCommands[]{"run", "golden", "worker", "mutate", "fuzz", "soak"};
  if (std::find(std::begin(kCommands), std::end(kCommands), command) == std::end(kCommands)) return;
  ::setenv(kWaitPolicy, kPassive, 1);
  ::execv("/proc/self/exe", argv);  // returns where it is refused: then threads spin
}

}  // namespace

int RunProgram(int argc, char** argv, const CaseLister& list) {
  int code = kExitInternal;
  ::signal(SIGXFSZ, SIG_IGN);  // a file that may grow no further is a write that fails
  try {
    WaitPassively(argv);
    KeepFreedMemory();
    code = CommandLine({argc, argv}, list).Run();
  } catch (...) {
    code = CodeOf(std::current_exception());
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    Complain("standard output cannot be written");
    if (code == kExitPass) code = kExitUsage;
  }
  return code;
}

}  // namespace assay
