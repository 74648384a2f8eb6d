#include "suites/golden/golden_cases.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <memory>
#include <utility>

#include "suites/support/judge.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

// `path` below `root` as a name: "hf_tiny_gemma4_e2b".
std::string Label(const fs::path& path, const fs::path& root) {
  std::string label = fs::relative(path, root).string();
  for (const std::string_view prefix : {"goldens/", "models/"})
    if (label.starts_with(prefix)) label.erase(0, prefix.size());
  for (char& c : label)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return label;
}

GoldenAnswer Answer(ReferenceDecoder& decoder, const GoldenRequest& request) {
  GoldenAnswer answer;
  const std::size_t length = request.tokens.size();
  decoder.Truncate(0);
  for (std::size_t t = 0; t < length; ++t) {
    const ReferenceStep step = decoder.Step(request.tokens[t]);
    if (static_cast<int>(t) >= request.first_row)
      answer.capped.insert(answer.capped.end(), step.capped.begin(), step.capped.end());
    if (!request.hidden) continue;
    // Steps come by position, the trace by entry first.
    const std::size_t width = step.hidden.front().size();
    answer.hidden.resize(step.hidden.size() * length * width);
    for (std::size_t entry = 0; entry < step.hidden.size(); ++entry)
      std::copy(step.hidden[entry].begin(), step.hidden[entry].end(),
                answer.hidden.begin() + static_cast<std::ptrdiff_t>((entry * length + t) * width));
  }
  return answer;
}

}  // namespace

std::vector<GoldenPair> EmbeddedGoldens(const std::string& fixtures) {
  std::vector<GoldenPair> pairs;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(fixtures)) {
    const fs::path& path = entry.path();
    if (path.filename() == "goldens.safetensors")
      pairs.push_back({Label(path.parent_path(), fixtures), path.parent_path().string(), path.string()});
    if (path.extension() != ".gguf") continue;
    fs::path trace = path;
    trace.replace_extension(".logits.json");
    if (fs::exists(trace))
      pairs.push_back({Label(path.parent_path() / path.stem(), fixtures), path.string(), trace.string()});
  }
  std::sort(pairs.begin(), pairs.end(), [](const GoldenPair& a, const GoldenPair& b) { return a.label < b.label; });
  return pairs;
}

GoldenSubject ReferenceSubject(const WeightStore& store, const ReferenceOptions& options) {
  ReferenceOptions with_hidden = options;
  with_hidden.keep_hidden = true;
  const std::shared_ptr<ReferenceDecoder> decoder = MakeReference(store, with_hidden);
  GoldenSubject subject;
  subject.name = Describe(options);
  subject.answer = [decoder](std::span<const GoldenRequest> requests) {
    std::vector<GoldenAnswer> answers;
    for (const GoldenRequest& request : requests) answers.push_back(Answer(*decoder, request));
    return answers;
  };
  return subject;
}

CaseOutcome JudgeReference(const GoldenPair& pair) {
  const std::unique_ptr<WeightStore> store = OpenModel(pair.model);
  Judge judge;
  judge.Add(JudgeGolden(ReadGolden(pair.trace), ReferenceSubject(*store, {}), GoldenTolerance::Fp32()));
  return judge.Finish();
}

std::vector<Case> GoldenReferenceCases(const std::string& fixtures) {
  std::vector<Case> cases;
  for (const GoldenPair& pair : EmbeddedGoldens(fixtures))
    cases.push_back({.suite = "Golden",
                     .name = "ReferenceMatches",
                     .params = pair.label,
                     .model = pair.model,
                     .dtype = "",
                     .device = "host",
                     .run = [pair] { return JudgeReference(pair); }});
  return cases;
}

}  // namespace assay
