// The worst that each reader can be made to take: at most 8 bytes for each of its input and 64 MiB.
#include <functional>
#include <map>

#include "engine/base/portable.h"
#include "engine/testing/scratch_folder.h"
#include "engine/weights/hf_config.h"
#include "engine/weights/hf_shards.h"
#include "engine/weights/safetensors.h"
#include "oracles/golden/trace.h"
#include "reports/environment/begin.h"
#include "reports/format/check.h"
#include "reports/merge/plan.h"
#include "reports/merge/shard.h"
#include "reports/policy/policy.h"
#include "suites/hostile_files/hostile_files.h"

namespace assay {
namespace {

constexpr std::size_t kSize = std::size_t{12} << 20, kFloorBytes = std::size_t{64} << 20;

// A list or an object of about so many bytes.
std::string Many(const std::string& begin, const std::function<std::string(std::size_t)>& item, const std::string& end,
                 std::size_t bytes = kSize) {
  std::string text = begin;
  for (std::size_t i = 0; text.size() < bytes; ++i) text += (i == 0 ? "" : ",") + item(i);
  return text + end;
}
std::string Same(const char* item, std::size_t bytes = kSize) {
  return Many(
      "[", [&](std::size_t) { return item; }, "]", bytes);
}
std::string Members(const char* value, std::size_t bytes = kSize) {
  return Many(
      "{", [&](std::size_t i) { return fmt::format("\"{:x}\":{}", i, value); }, "}", bytes);
}

// Values that cost a document most for each byte of text.
const std::map<std::string, std::function<std::string(std::size_t)>>& Costly() {
  static const std::map<std::string, std::function<std::string(std::size_t)>> values = {
      {"numbers", [](std::size_t bytes) { return Same("0", bytes); }},
      {"lists", [](std::size_t bytes) { return Same("[]", bytes); }},
      {"objects", [](std::size_t bytes) { return Same("{}", bytes); }},
      {"texts", [](std::size_t bytes) { return Same("\"\"", bytes); }},
      {"texts_on_the_heap", [](std::size_t bytes) { return Same("\"0123456789abcdef\"", bytes); }},
      {"lists_of_lists", [](std::size_t bytes) { return Same("[[0],[0]]", bytes); }},
      {"members", [](std::size_t bytes) { return Members("0", bytes); }},
      {"members_of_objects", [](std::size_t bytes) { return Members("{\"\":0}", bytes); }},
      {"one_text", [](std::size_t bytes) { return "\"" + std::string(bytes, 'x') + "\""; }},
  };
  return values;
}

double worst = 0;

// Runs a reader on an input of `bytes`, which `held` of them are in memory already.
void Within(const std::string& what, std::size_t bytes, std::size_t held, const std::function<void()>& read) {
  StartCounting();
  std::string said;
  try {
    read();
  } catch (const InputError& error) {
    said = error.what();
  } catch (const std::runtime_error& error) {  // of reports
    said = error.what();
  }
  const std::size_t peak = StopCounting().peak + held, budget = 8 * bytes + kFloorBytes;
  worst = std::max(worst, static_cast<double>(peak) / static_cast<double>(budget));
  EXPECT_LE(peak, budget) << what << ": " << said.substr(0, 200);
  EXPECT_LE(said.size(), 1000u) << what;
  std::printf("%-60s %5.2f bytes each, %.2f of the budget%s\n", what.c_str(),
              static_cast<double>(peak) / static_cast<double>(bytes),
              static_cast<double>(peak) / static_cast<double>(budget), said.empty() ? ": accepted" : "");
}

void OfText(const std::string& what, const std::string& text, const std::function<void(const std::string&)>& read) {
  Within(what, text.size(), text.size(), [&] { read(text); });
}

std::string Report() {
  const char* argv[] = {"assay", "run"};
  assay::Report report = BeginReport("run", 2, argv);
  report.finished = report.started;
  report.complete = true;

  ReportCase item;
  item.suite = "Suite", item.name = "Name", item.status = Status::kPass;
  for (const char* axis : {"model", "dtype", "device"}) item.axes.Set(axis, std::string("x"));
  Judgement judgement;
  judgement.metric = "ulp", judgement.verdict = Verdict::kMatch, judgement.bound = {0, 0, "equality"};
  item.judgements.push_back(judgement);
  report.cases.push_back(item);
  report.listed = report.selected = 1;
  return ToJson(report);
}

// `text` with what stands between `begin` and `end` behind it replaced.
std::string With(std::string text, const std::string& begin, const std::string& end, const std::string& by) {
  const std::size_t at = text.find(begin), until = text.find(end, at + begin.size());
  EXPECT_NE(until, std::string::npos) << begin;
  return text.replace(at + begin.size(), until - at - begin.size(), by);
}

void Checked(const std::string& what, const std::string& text) {
  OfText(what, text, [](const std::string& all) {
    assay::Report report = FromJson(all);
    ReportProblems(all, &report);
  });
}

class ReaderMemory : public testing::Test {
 protected:
  void SetUp() override {
    if (ASSAY_THREAD_SANITIZER) GTEST_SKIP() << "readers have one thread, and take thirty times as long here";
  }
};

TEST_F(ReaderMemory, OfReports) {
  const std::string report = Report();
  ASSERT_TRUE(SchemaProblems(report).empty()) << SchemaProblems(report).front();
  ASSERT_TRUE(ConsistencyProblems(report).empty()) << ConsistencyProblems(report).front();
  for (const auto& [name, value] : Costly()) {
    Checked("report of " + name, value(kSize));
    Checked("report with arguments of " + name, With(report, "\"argv\":", ",\"started\"", value(kSize)));
    Checked("report with cases of " + name, With(report, "\"cases\": ", ",\n \"benchmarks\"", value(kSize)));
  }
  const std::size_t begin = report.find("\"cases\": [") + 10, end = report.find("\n ],", begin);
  const std::string item = report.substr(begin, end - begin);
  Checked("report with a case again and again", With(report, "\"cases\": [", "\n ],",
                                                     Many(
                                                         "", [&](std::size_t) { return item; }, "")));
  Checked("report with many cases",
          With(report, "\"cases\": [", "\n ],",
               Many(
                   "", [&](std::size_t i) { return With(item, "\"name\":\"", "\"", fmt::format("N{}", i)); }, "")));
  const auto cases = [&](const std::string& text) { return With(report, "\"cases\": ", ",\n \"benchmarks\"", text); };
  const char* const least = R"({"suite":"a","name":"b","axes":{}})";
  const char* const judged = R"({"suite":"a","name":"b","axes":{},"judgements":[{"metric":"a","bound":0}]})";
  for (const std::size_t bytes : {kSize, 4 * kSize}) {
    Checked("report of the least cases", cases(Same(least, bytes)));
    Checked("report of the least judgements", cases(Same(judged, bytes)));
    Checked("report of the least cases with spaces", cases(Same(R"({ "suite":"a","name":"b","axes":{}})", bytes)));
  }
  const std::string judgements = Many(R"([{"suite":"a","name":"b","axes":{},"judgements":[)",
                                      [](std::size_t) { return R"({"metric":"a","bound":0})"; }, "]}]", kSize / 2);
  Checked("report of one case's judgements", cases(judgements));
  Checked("report whose judgements share a long bound",
          With(cases(judgements), "\"from\":\"", "\"", std::string(kSize / 2, 'x')));
}

TEST_F(ReaderMemory, OfPoliciesPlansAndShards) {
  for (const auto& [name, value] : Costly()) {
    const std::string text = value(kSize);
    OfText("policy of " + name, text, [](const std::string& all) { PolicyFrom(all, "policy.json", "2025-01-31"); });
    OfText("plan of " + name, "{\"plan\":" + text + "}", [](const std::string& all) { PlanFrom(all); });
    OfText("shard of " + name, text + "\n", [](const std::string& all) { ReadShard(all, [](const ShardCase&) {}); });
  }
}

TEST_F(ReaderMemory, OfCheckpoints) {
  const auto of_file = [](const std::string& what, const std::string& name, const std::string& bytes,
                          const auto& read) {
    const ScratchFolder folder;
    folder.Put(name, bytes);
    Within(what, bytes.size(), 0, [&] { read(folder.path() + (name[0] == 'm' ? "" : "/" + name)); });
  };
  const auto container = [](const std::string& header) {
    const std::uint64_t length = header.size();
    return std::string(reinterpret_cast<const char*>(&length), 8) + header;
  };
  for (const auto& [name, value] : Costly()) {
    const std::string text = value(std::size_t{15} << 20);
    of_file("index of " + name, "model.safetensors.index.json", "{\"weight_map\":" + text + "}",
            [](const std::string& path) { Shards shards(path); });
    of_file("header of " + name, "x.safetensors", container("{\"__metadata__\":" + text + "}"),
            [](const std::string& path) { SafetensorsFile file(path); });
    of_file("goldens of " + name, "g.json", text, [](const std::string& path) { ReadGolden(path); });
    of_file("goldens with rows of " + name, "g.json", "{\"ids\":[1,2],\"logits\":[" + text + "," + text + "]}",
            [](const std::string& path) { ReadGolden(path); });
    of_file("goldens with ids of " + name, "g.json", "{\"ids\":" + text + ",\"logits\":" + text + "}",
            [](const std::string& path) { ReadGolden(path); });
    const std::string small = value((std::size_t{1} << 20) - 100);
    OfText("config of " + name, "{\"a\":" + small + "}",
           [](const std::string& all) { SpecFromHfConfig(all, "config.json", "x"); });
  }
  of_file("header of tensors", "x.safetensors",
          container(Many(
              "{",
              [](std::size_t i) {
                return fmt::format("\"{:x}\":{{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[{},{}]}}", i, i, i + 1);
              },
              "}")),
          [](const std::string& path) { SafetensorsFile file(path); });
  of_file("header of metadata", "x.safetensors", container("{\"__metadata__\":" + Members("\"\"") + "}"),
          [](const std::string& path) { SafetensorsFile file(path); });
  std::printf("worst: %.2f of the budget\n", worst);
}

}  // namespace
}  // namespace assay
