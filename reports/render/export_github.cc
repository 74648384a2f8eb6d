#include <fmt/format.h>

#include <algorithm>

#include "reports/render/export.h"
#include "reports/render/export_text.h"

namespace assay {
namespace {

constexpr std::size_t kAnnotations = 10;              // of one type in a step; GitHub drops further ones in silence
constexpr std::size_t kTitle = 250, kMessage = 2000;  // bytes

// Of a message, or of a property, in which a colon or a comma would end it.
std::string Escaped(const std::string& text, bool property) {
  std::string escaped;
  for (const char c : text) {
    if (c == '%' || c == '\r' || c == '\n' || (property && (c == ':' || c == ',')))
      escaped += fmt::format("%{:02X}", static_cast<unsigned>(c));
    else
      escaped += c;
  }
  return escaped;
}

std::string Command(const char* type, const std::string& title, const std::string& message) {
  return fmt::format("::{} title={}::{}\n", type, Escaped(Cut(OneLine(title), kTitle), true),
                     Escaped(Cut(WellFormed(message), kMessage), false));
}

}  // namespace

Exported ExportGithub(const Report& report) {
  const std::vector<Trouble> troubles = Troubles(report);
  const bool all = troubles.size() <= kAnnotations - 1;
  const std::size_t shown = all ? troubles.size() : kAnnotations - 1;
  Exported exported;
  for (std::size_t i = 0; i < shown; ++i) {
    const Trouble& trouble = troubles[i];
    std::string message = trouble.cause;
    if (!trouble.replay.empty()) message += "\nreplay: " + trouble.replay;
    exported.text += Command("error", trouble.what + (trouble.id.empty() ? "" : " " + trouble.id), message);
  }
  const std::string more = fmt::format("{} more", troubles.size() - shown);
  if (!all) exported.text += Command("error", more, fmt::format("{} did not pass either: the report names each", more));
  exported.dropped = fmt::format("{}everything that passed or was skipped, judgements, speeds, environment",
                                 all ? "" : more + " that did not pass; ");
  exported.text += Command(
      "notice", "assay " + report.kind,
      fmt::format("{}: {}\nnot annotated: {}", Summarise(report).verdict, CountsLine(report), exported.dropped));
  return exported;
}

}  // namespace assay
