// Reports as text for programs that are not ours: CI systems, spreadsheets, comparers of benchmarks. None holds all
// that a report does, and each says what it leaves out.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "reports/format/report.h"

namespace assay {

struct Exported {
  std::string text;
  std::string dropped;  // what the format leaves out, for people; also in the text where the format has a place for it
};

// JUnit XML: a test suite for each suite, and one for benchmark rows. A run that did not pass has a failure or an error
// whatever its cases say: readers take a file without one for green.
Exported ExportJunit(const Report& report);

// Google Benchmark's JSON: a benchmark for each row that has a speed. The others are named in the context: an entry
// without a time breaks readers, and one with a time of 0 would be the fastest of all.
Exported ExportGoogleBenchmark(const Report& report);

// GitHub shows nothing of a step's summary that is larger.
inline constexpr std::size_t kSummaryBytes = 1 << 20;
// Markdown of at most `most_bytes`: verdict, suites, what did not pass (the worst first, and how many more), rows, and
// why cases were skipped. Where `most_bytes` is less than a few hundred, the verdict alone, or nothing.
Exported ExportMarkdown(const Report& report, std::size_t most_bytes = kSummaryBytes);

// GitHub's workflow commands: ::error for what did not pass, the worst first, nine at most and a tenth that says how
// many more (GitHub drops further ones in silence), and one ::notice with the verdict.
Exported ExportGithub(const Report& report);

// CSV by RFC 4180: a line for each case and each row, with a column for every axis.
Exported ExportCsv(const Report& report);

struct ExportFormat {
  const char* name;
  Exported (*make)(const Report&);
};
std::span<const ExportFormat> ExportFormats();

}  // namespace assay
