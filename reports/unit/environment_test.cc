// Where a run happens, and what makes two runs comparable.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

#include "reports/environment/begin.h"
#include "reports/environment/build.h"
#include "reports/environment/gpu.h"
#include "reports/environment/host.h"
#include "reports/unit/sample.h"

namespace assay {
namespace {

TEST(Environment, SaysWhereItCameFrom) {
  const BuildInfo build = ThisBuild();
  EXPECT_FALSE(build.compiler.empty());
  EXPECT_TRUE(build.commit == "unknown" || build.commit.size() == 40) << build.commit;
  const HostInfo host = ThisHost();
  EXPECT_GT(host.cores, 0);
  EXPECT_GT(host.memory_bytes, 0);
  EXPECT_FALSE(host.kernel.empty());
  EXPECT_NE(NewRunId(), NewRunId());
}

TEST(Environment, HoldsTheVariablesThatLibrariesRead) {
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8\n", 1);
  ::setenv("NVIDIA_TF32_OVERRIDE", "0", 1);
  ::setenv("MY_CUDA_THING", "1", 1);
  const auto variables = EnvironmentVariables();
  EXPECT_EQ(variables.at("CUBLAS_WORKSPACE_CONFIG"), ":16:8?");
  EXPECT_EQ(variables.at("NVIDIA_TF32_OVERRIDE"), "0");
  EXPECT_EQ(variables.count("MY_CUDA_THING"), 0u);
  EXPECT_EQ(variables.count("PATH"), 0u);
  const char* argv[] = {"assay", "run"};
  EXPECT_EQ(BeginReport("run", 2, argv).environment.variables, variables);
}

TEST(Environment, TimesAreOfOneFormWheneverTheyAre) {
  const auto at = [](std::int64_t milliseconds) {
    return TimeText(std::chrono::system_clock::time_point(std::chrono::milliseconds(milliseconds)));
  };
  EXPECT_EQ(at(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(at(-1), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(at(std::int64_t{-86'400'000} * 365 - 1500), "1968-12-31T23:59:58.500Z");
  EXPECT_EQ(at(1'738'367'999'123), "2025-01-31T23:59:59.123Z");
  Report report = Sample();
  report.started = "9000-01-01T00:00:00.000Z";  // the clock was set back since
  EXPECT_EQ(FinishedAt(report), report.started);
  report.started = "2001-01-01T00:00:00.000Z";
  EXPECT_GT(FinishedAt(report), report.started);
}

TEST(Environment, MemoryIsThatOfTheLeastLimitOfAGroup) {
  namespace fs = std::filesystem;
  const fs::path mount = fs::path(testing::TempDir()) / NewRunId();
  constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();
  const auto put = [&](const fs::path& file, const std::string& text) {
    fs::create_directories((mount / file).parent_path());
    std::ofstream(mount / file) << text << '\n';
  };
  EXPECT_EQ(GroupLimit("0::/\n", mount), kNone);
  put("memory.max", "max");
  put("a/memory.max", "3000000");
  put("a/b/memory.max", "5000000");
  EXPECT_EQ(GroupLimit("0::/\n", mount), kNone);
  EXPECT_EQ(GroupLimit("0::/a/b\n", mount), 3'000'000);
  EXPECT_EQ(GroupLimit("0::/a/absent/group\n", mount), 3'000'000);
  put("memory/memory.limit_in_bytes", "9223372036854771712");
  put("memory/c/memory.limit_in_bytes", "2000000");
  EXPECT_EQ(GroupLimit("3:cpuset:/\n4:memory:/c\n0::/a\n", mount), 2'000'000);
  EXPECT_EQ(GroupLimit("4:cpu,memory:/c\n", mount), 2'000'000);
  EXPECT_EQ(GroupLimit("4:memory:/\n", mount), 9223372036854771712);
  EXPECT_EQ(GroupLimit("4:memory:\nno line\n::\n", mount), 9223372036854771712);
  fs::remove_all(mount);
  EXPECT_GT(UsableMemory(), 0);
  EXPECT_LE(UsableMemory(), ThisHost().memory_bytes);
}

TEST(Gpu, ADeviceThatIsAbsentIsAFact) {
  const GpuInfo info = ReadGpu(3, "ffff:00:00.0");
  EXPECT_EQ(info.index, 3);
  EXPECT_EQ(info.bus_id, "ffff:00:00.0");
  EXPECT_FALSE(info.unread.empty());
  EXPECT_FALSE(info.ecc_before.has_value());
  EXPECT_FALSE(ReadEcc("ffff:00:00.0").has_value());
  GpuMonitor monitor("ffff:00:00.0");
  EXPECT_FALSE(monitor.unread().empty());
  monitor.Sample();
  EXPECT_EQ(monitor.Take().samples, 0);
}

TEST(Gpu, SpreadsAreOfWhatWasSampled) {
  const Spread spread = SpreadOf({3, 1, 2, 9});
  EXPECT_EQ(spread.min, 1);
  EXPECT_EQ(spread.median, 2);
  EXPECT_EQ(spread.max, 9);
  EXPECT_EQ(SpreadOf({}).max, 0);
}

TEST(Comparability, SameFactsHaveTheSameKey) {
  const Environment a = Sample().environment, b = Sample().environment;
  EXPECT_EQ(ComparabilityKey(a), ComparabilityKey(b));
  EXPECT_EQ(ComparabilityKey(a).size(), 64u);
  EXPECT_TRUE(ComparabilityDifferences(a, b).empty());
}

TEST(Comparability, EveryDeclaredFactChangesTheKeyAndIsPrinted) {
  const Environment a = Sample().environment;
  const std::pair<std::function<void(Environment&)>, const char*> changes[] = {
      {[](Environment& e) { e.gpus[0].power_limit_w = 500; }, "gpu 0 power limit: 700 W and 500 W"},
      {[](Environment& e) { e.gpus[0].name = "NVIDIA H200"; }, "gpu 0 name: NVIDIA H100 80GB HBM3 and NVIDIA H200"},
      {[](Environment& e) { e.gpus[0].sm_count = 132; }, "gpu 0 multiprocessors: nothing and 132"},
      {[](Environment& e) { e.gpus[0].mig_mode = "enabled"; }, "gpu 0 MIG: nothing and enabled"},
      {[](Environment& e) { e.gpus[0].ecc_mode = "disabled"; }, "gpu 0 ECC: nothing and disabled"},
      {[](Environment& e) { e.gpus[0].memory_bytes = 5; }, "gpu 0 memory: nothing and 5 bytes"},
      {[](Environment& e) { e.gpus[0].compute_capability = "9.0"; }, "gpu 0 compute capability: nothing and 9.0"},
      {[](Environment& e) { e.gpus[0].max_sm_clock_mhz = 1980; }, "gpu 0 highest SM clock: nothing and 1980 MHz"},
      {[](Environment& e) { e.gpus[0].max_memory_clock_mhz = 9; }, "gpu 0 highest memory clock: nothing and 9 MHz"},
      {[](Environment& e) { e.cuda->driver = "590"; }, "driver: 580.159.04 and 590"},
      {[](Environment& e) { e.cuda->runtime = "12.9"; }, "CUDA runtime: 13.0 and 12.9"},
      {[](Environment& e) { e.cuda->cublas.clear(); }, "cuBLAS: 13.1.0 and nothing"},
      {[](Environment& e) { e.variables.clear(); }, "variable CUBLAS_WORKSPACE_CONFIG: :4096:8 and nothing"},
      {[](Environment& e) { e.host.cpu = "other"; }, "host processor: "},
      {[](Environment& e) { e.host.cores += 1; }, "host cores: "}};
  for (const auto& [change, line] : changes) {
    Environment b = a;
    change(b);
    EXPECT_NE(ComparabilityKey(a), ComparabilityKey(b)) << line;
    const auto differences = ComparabilityDifferences(a, b);
    ASSERT_EQ(differences.size(), 1u) << line;
    EXPECT_EQ(differences[0].substr(0, std::string_view(line).size()), line);
  }
  Environment b = a;
  b.gpus.clear();
  EXPECT_EQ(ComparabilityDifferences(a, b).size(), 2u);
}

TEST(Comparability, AnotherProgramIsInTheKeyAndItsVersionIsNot) {
  Environment a = Sample().environment;
  const std::string own = ComparabilityKey(a);
  a.system.protocol = 1;
  a.system.name = "engine", a.system.device = "host", a.system.arithmetic = "fp32";
  EXPECT_NE(ComparabilityKey(a), own);
  const std::pair<std::function<void(Environment&)>, const char*> changes[] = {
      {[](Environment& e) { e.system.name = "other"; }, "system: engine and other"},
      {[](Environment& e) { e.system.device = "cuda"; }, "system device: host and cuda"},
      {[](Environment& e) { e.system.arithmetic = "bf16"; }, "system arithmetic: fp32 and bf16"},
      {[](Environment& e) { e.system.protocol = 2; }, "system protocol: 1 and 2"}};
  for (const auto& [change, line] : changes) {
    Environment b = a;
    change(b);
    EXPECT_EQ(ComparabilityDifferences(a, b), std::vector<std::string>{line});
  }
  Environment b = a;
  b.system.version = b.system.commit = b.system.build = "other";
  EXPECT_EQ(ComparabilityKey(a), ComparabilityKey(b));
}

TEST(Comparability, WhoAndWhereDoNotMatter) {
  const Environment a = Sample().environment;
  Environment b = a;
  b.build = {};
  b.system.name = "other";
  b.host.name = "other";
  b.host.memory_bytes = 5;
  b.host.kernel = "other";
  b.device_asked = "cuda:1";
  b.variables["CUDA_VISIBLE_DEVICES"] = "3";
  GpuInfo& gpu = b.gpus[0];
  gpu.index = 3;
  gpu.uuid = gpu.bus_id = gpu.vbios = "other";
  gpu.other_processes = 2;
  gpu.ecc_after = EccCounts{9, 9};
  EXPECT_EQ(ComparabilityKey(a), ComparabilityKey(b));
}

}  // namespace
}  // namespace assay
