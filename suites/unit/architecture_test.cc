// The direction of the arrows: which room may include which, read from the sources.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

#include "engine/testing/scratch_folder.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

// What every room may use, the reports too: it knows nothing of an engine.
constexpr const char* kText = "engine/text/";

// A room includes itself, text and what is listed. The first prefix that fits names the room.
struct Room {
  const char* prefix;
  std::vector<const char*> may_include;
};

const std::vector<Room> kRooms = {
    {"engine/text/", {}},
    {"engine/base/", {}},
    {"engine/model/", {"engine/base/"}},
    {"engine/memory/", {"engine/base/"}},
    {"engine/weights/", {"engine/base/", "engine/model/", "engine/memory/"}},
    {"engine/ops/", {"engine/base/", "engine/memory/"}},
    {"engine/runtime/",
     {"engine/base/", "engine/model/", "engine/memory/", "engine/weights/", "engine/ops/", "engine/runtime/"}},
    // What the engine's own tests share with others': helpers that make models and read complaints.
    {"engine/testing/", {"engine/"}},
    {"engine/unit/", {"engine/"}},
    {"oracles/verdict/", {}},
    {"oracles/compare/", {"engine/base/", "oracles/verdict/"}},
    // Traces come in the checkpoints' own container (a second parser would be no oracle of anything) and state a mode.
    {"oracles/golden/", {"engine/base/", "engine/weights/", "engine/ops/precision.h"}},
    {"oracles/reference/", {"engine/base/", "engine/model/", "engine/memory/", "engine/weights/", "engine/ops/"}},
    // Ops are checked by the formulas that the references are written in, from weights as they are stored.
    {"oracles/probes/",
     {"engine/base/", "engine/memory/", "engine/ops/", "engine/weights/store.h", "oracles/verdict/", "oracles/compare/",
      "oracles/reference/formulas.h"}},
    {"oracles/unit/", {"engine/", "oracles/"}},
    // A report is read, checked and rendered where nothing of the engine is; of the oracles it knows what a verdict is.
    // Statistics and decisions on numbers alone.
    {"reports/gate/", {}},
    {"reports/policy/", {"oracles/verdict/", "reports/format/", "reports/gate/"}},
    {"reports/merge/", {"oracles/verdict/", "reports/format/"}},
    {"reports/format/", {"oracles/verdict/", "reports/"}},
    {"reports/process/", {"reports/format/"}},
    {"reports/environment/", {"oracles/verdict/", "reports/"}},
    {"reports/render/", {"oracles/verdict/", "reports/"}},
    {"reports/trend/", {"oracles/verdict/", "reports/format/", "reports/gate/", "reports/render/"}},
    {"reports/store/", {"reports/format/", "reports/environment/", "reports/trend/"}},
    {"reports/page/", {"reports/format/", "reports/render/", "reports/trend/"}},
    {"reports/testing/", {"oracles/verdict/", "reports/"}},
    {"reports/unit/", {"oracles/verdict/", "reports/"}},
    {"suites/", {"engine/", "oracles/", "reports/"}},
    // What covers a benchmark are cases of the suites.
    {"bench/", {"engine/", "oracles/", "reports/", "suites/"}},
    {"ci/", {"engine/", "oracles/", "suites/", "bench/", "reports/"}},
};

// Single files that a room keeps away from although their room is open to it, and why.
struct ForbiddenInclude {
  const char* prefix;
  const char* include;
  const char* why;
};
const std::vector<ForbiddenInclude> kForbiddenIncludes = {
    {"oracles/reference/", "engine/model/kv_plan.h", "the reference shares facts, not mechanism"},
    {"oracles/reference/", "engine/base/ring.h", "the reference shares facts, not mechanism"},
    {"engine/runtime/", "engine/ops/host_ops.h", "the runtime knows ops by interface only"},
    {"engine/runtime/", "engine/ops/cuda_ops.h", "the runtime knows ops by interface only"},
    {"engine/runtime/", "engine/ops/kernels/", "the runtime knows ops by interface only"},
    {"suites/support/", "suites/systems/", "a suite knows systems by their interface"},
    {"suites/parity/", "suites/systems/", "a suite knows systems by their interface"},
    {"suites/support/", "suites/testing/", "what plants faults serves tests"},
    {"bench/support/", "suites/testing/", "what plants faults serves tests"},
    {"bench/cases/", "suites/testing/", "what plants faults serves tests"},
    {"ci/assay/gate", "engine/", "the gate sees builds as processes"},
    {"ci/assay/gate", "suites/", "the gate sees builds as processes"},
    {"ci/assay/gate", "bench/", "the gate sees builds as processes"},
    {"ci/spread/", "engine/", "who spreads a run sees workers as processes"},
    {"ci/spread/", "suites/", "who spreads a run sees workers as processes"},
    {"ci/spread/", "bench/", "who spreads a run sees workers as processes"},
    {"ci/assay/", "suites/testing/", "what plants faults serves tests"},
};

// The command reaches a terminal through ci/assay/terminal.h alone, which makes foreign text printable.
bool MayWriteRaw(const std::string& path) {
  const bool command = path.starts_with("ci/assay/") || path.starts_with("ci/spread/");
  return !command || path.starts_with("ci/assay/terminal.");
}

const std::vector<const char*> kNamelessRooms = {"engine/memory/", "engine/ops/", "engine/runtime/"};

struct SourceFile {
  std::string path;  // from the repository's root
  std::string text;
};

std::vector<SourceFile> ReadSources(const fs::path& root) {
  std::vector<SourceFile> files;
  for (const char* top : {"engine", "oracles", "suites", "bench", "reports", "ci"}) {
    if (!fs::exists(root / top)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cc" && extension != ".cu" && extension != ".cuh") continue;
      std::ifstream in(entry.path());
      files.push_back({fs::relative(entry.path(), root).string(), {std::istreambuf_iterator<char>(in), {}}});
    }
  }
  return files;
}

const Room* RoomOf(const std::string& path) {
  const auto found =
      std::find_if(kRooms.begin(), kRooms.end(), [&](const Room& room) { return path.starts_with(room.prefix); });
  return found == kRooms.end() ? nullptr : &*found;
}

void CheckInclude(const std::string& file, const std::string& include, std::vector<std::string>* problems) {
  const Room* room = RoomOf(file);
  if (room == nullptr) return problems->push_back(fmt::format("{}: in no room", file));
  const bool allowed = include.starts_with(room->prefix) || include.starts_with(kText) ||
                       std::any_of(room->may_include.begin(), room->may_include.end(),
                                   [&](const char* prefix) { return include.starts_with(prefix); });
  if (!allowed) problems->push_back(fmt::format("{}: {} may not include {}", file, room->prefix, include));
  for (const ForbiddenInclude& forbidden : kForbiddenIncludes) {
    if (!include.starts_with(kText) && file.starts_with(forbidden.prefix) && include.starts_with(forbidden.include))
      problems->push_back(fmt::format("{}: includes {}: {}", file, include, forbidden.why));
  }
}

// Every way in which the sources break the rules, one line each.
std::vector<std::string> Problems(const std::vector<SourceFile>& files) {
  static const std::regex include(R"re((^|\n)[ \t]*#[ \t]*include[ \t]*"([^"]+)")re");
  static const std::regex family("gemma(?!lgo_t)|llama|mistral|qwen|smollm",
                                 std::regex::icase);  // cublasGemmAlgo_t is no family
  static const std::regex raw(R"(fmt::print\(|\bf?puts\(|\bf?printf\(|std::c(out|err)\b)");
  std::vector<std::string> problems;
  for (const SourceFile& file : files) {
    for (std::sregex_iterator it(file.text.begin(), file.text.end(), include), end; it != end; ++it)
      CheckInclude(file.path, (*it)[2], &problems);
    std::smatch name;
    const bool nameless = std::any_of(kNamelessRooms.begin(), kNamelessRooms.end(),
                                      [&](const char* prefix) { return file.path.starts_with(prefix); });
    if (!MayWriteRaw(file.path) && std::regex_search(file.text, name, raw))
      problems.push_back(fmt::format("{}: '{}' shows foreign text as it is", file.path, name.str()));
    if (nameless && std::regex_search(file.text, name, family))
      problems.push_back(fmt::format("{}: names the family '{}'", file.path, name.str()));
  }
  return problems;
}

TEST(Architecture, ArrowsPointDownwards) {
  const std::vector<SourceFile> files = ReadSources(ASSAY_SOURCE_ROOT);
  ASSERT_GT(files.size(), 50u) << "no sources below " << ASSAY_SOURCE_ROOT;
  const std::vector<std::string> problems = Problems(files);
  for (const std::string& problem : problems) ADD_FAILURE() << problem;
}

struct Planted {
  const char* name;
  const char* path;
  const char* text;
};

class PlantedViolation : public testing::TestWithParam<Planted> {};

TEST_P(PlantedViolation, IsFoundInATree) {
  const ScratchFolder folder;
  fs::create_directories((fs::path(folder.path()) / GetParam().path).parent_path());
  folder.Put(GetParam().path, std::string("#pragma once\n") + GetParam().text + "\n");
  const std::vector<std::string> problems = Problems(ReadSources(folder.path()));
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_NE(problems.front().find(GetParam().path), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    , PlantedViolation,
    testing::Values(
        Planted{"text_includes_engine", "engine/text/a.cc", "#include \"engine/base/check.h\""},
        Planted{"upwards", "engine/base/a.h", "#include \"engine/model/spec.h\""},
        Planted{"sideways", "engine/ops/a.cc", "#include \"engine/weights/store.h\""},
        Planted{"engine_includes_oracle", "engine/runtime/a.cc", "#include \"oracles/verdict/verdict.h\""},
        Planted{"engines_test_includes_oracle", "engine/unit/a_test.cc", "#include \"oracles/probes/faulty_ops.h\""},
        Planted{"engine_includes_its_tests", "engine/ops/a.cc", "#include \"engine/testing/a.h\""},
        Planted{"verdict_includes_engine", "oracles/verdict/a.h", "#include \"engine/base/check.h\""},
        Planted{"verdict_includes_comparison", "oracles/verdict/a.cc", "#include \"oracles/compare/tensors.h\""},
        Planted{"comparison_includes_reference", "oracles/compare/a.cc", "#include \"oracles/reference/decoder.h\""},
        Planted{"report_includes_comparison", "reports/format/a.cc", "#include \"oracles/compare/tensors.h\""},
        Planted{"report_includes_suite", "reports/render/a.cc", "#include \"suites/support/case.h\""},
        Planted{"report_outside_its_rooms", "reports/a.cc", "#include \"reports/format/report.h\""},
        Planted{"engine_includes_report", "engine/weights/a.cc", "#include \"reports/format/report.h\""},
        Planted{"report_includes_engine", "reports/environment/a.cc", "# include \"engine/base/check.h\""},
        Planted{"reference_includes_ring", "oracles/reference/a.h", "#include \"engine/base/ring.h\""},
        Planted{"runtime_includes_backend", "engine/runtime/a.h", "#include \"engine/ops/host_ops.h\""},
        Planted{"suite_includes_command", "suites/a.cc", "#include \"ci/assay/commands.h\""},
        Planted{"suite_includes_benchmark", "suites/parity/a.cc", "#include \"bench/support/timing.h\""},
        Planted{"bench_includes_command", "bench/cases/a.cc", "#include \"ci/assay/commands.h\""},
        Planted{"command_plants_faults", "ci/assay/a.cc", "#include \"suites/testing/planted.h\""},
        Planted{"gate_includes_engine", "ci/assay/gate_rounds.cc", "#include \"engine/base/check.h\""},
        Planted{"spreading_includes_engine", "ci/spread/a.cc", "#include \"engine/base/check.h\""},
        Planted{"merge_includes_environment", "reports/merge/a.cc", "#include \"reports/environment/host.h\""},
        Planted{"statistics_include_report", "reports/gate/a.cc", "#include \"reports/format/report.h\""},
        Planted{"not_rooted", "engine/base/a.h", "#include \"check.h\""},
        Planted{"command_prints_raw", "ci/assay/a.cc", "fmt::print(\"{}\", name);"},
        Planted{"family_in_runtime", "engine/runtime/trunk.cc", "if (name == \"Gemma4\") {}"},
        Planted{"family_in_kernel", "engine/ops/kernels/a.cu", "// as llama does"}),
    [](const auto& tested) { return std::string(tested.param.name); });

TEST(Architecture, AllowedIncludesAreNoProblem) {
  EXPECT_TRUE(
      Problems({{"engine/runtime/a.cc",
                 "#include <vector>\n#include \"engine/text/foreign.h\"\n#include \"engine/ops/ops.h\"\n"},
                {"engine/memory/a.cc", "cublasGemmAlgo_t algorithm;"},
                {"engine/model/a.h", "// gemma\n#include \"engine/base/check.h\"\n"},
                {"oracles/compare/a.h", "#include \"oracles/verdict/verdict.h\"\n"},
                {"reports/format/a.cc", "#include \"oracles/verdict/tally.h\"\n#include \"reports/format/json.h\"\n"},
                {"bench/cases/a.cc", "#include \"suites/parity/shapes.h\"\n"}})
          .empty());
}

}  // namespace
}  // namespace assay
