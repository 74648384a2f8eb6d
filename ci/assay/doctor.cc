#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "ci/assay/commands.h"
#include "ci/assay/terminal.h"
#include "engine/memory/device_facts.h"
#include "engine/ops/ops_factory.h"
#include "reports/environment/build.h"
#include "reports/environment/host.h"
#include "suites/support/embedded.h"

namespace assay {
namespace {

bool OnPath(const char* program) {
  const char* path = std::getenv("PATH");
  std::string folders = path == nullptr ? "" : path;
  for (std::size_t at = 0; at < folders.size();) {
    const std::size_t end = std::min(folders.find(':', at), folders.size());
    const std::string file = folders.substr(at, end - at) + "/" + program;
    if (::access(file.c_str(), X_OK) == 0) return true;
    at = end + 1;
  }
  return false;
}

}  // namespace

int DoctorCommand() {
  Table table("<<<", {"what", "state", "found"});
  const auto row = [&](const std::string& what, bool good, const std::string& found, const char* otherwise) {
    table.Add({what, good ? "ok" : otherwise, found}, {"", good ? "pass" : "skip", ""});
  };
  const BuildInfo build = ThisBuild();
  const HostInfo host = ThisHost();
  row("build", true,
      fmt::format("assay {} {}, {}", build.version, build.build_type,
                  build.cuda.empty() ? "without CUDA" : "CUDA " + build.cuda + " for " + build.cuda_architectures),
      "");
  row("host", true, fmt::format("{} of memory", HumanBytes(static_cast<double>(UsableMemory()))), "");
  const char* threads = std::getenv("OMP_NUM_THREADS");
  row("threads", true,
      threads == nullptr ? fmt::format("{} processors, all used", ::sysconf(_SC_NPROCESSORS_ONLN))
                         : fmt::format("OMP_NUM_THREADS={}", threads),
      "");
  const std::size_t models = EmbeddedModels().size();
  row("embedded models", models > 0,
      models > 0 ? fmt::format("{} in {}", models, FixtureRoot())
                 : fmt::format("none in {}: set ASSAY_FIXTURES to suites/fixtures of a checkout", FixtureRoot()),
      "missing");
  for (int i = 0; i < std::max(1, CudaDeviceCount()); ++i) {
    const Device device = Device::Cuda(i);
    const Support support = DeviceAvailable(device);
    row(device.name(), support.ok, support.ok ? MakeOps(device, Precision::kFp32)->device() : support.reason,
        "missing");
  }
  for (const char* tool : {"nvidia-smi", "compute-sanitizer"})
    row(tool, OnPath(tool), OnPath(tool) ? "on PATH" : "not on PATH: only GPU jobs want it", "missing");
  table.Print(stdout);
  Tell("\n{}\n", models > 0 ? "ready: assay run" : "ready for checkpoints of your own: assay run FOLDER");
  return kExitPass;
}

}  // namespace assay
