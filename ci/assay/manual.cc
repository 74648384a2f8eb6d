#include "ci/assay/manual.h"

#include <fmt/core.h>

namespace assay {
namespace {

// roff takes a dash for a hyphen, a backslash for an escape and a dot or quote at the beginning of a line for a
// request.
std::string Roff(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '-') {
      escaped += "\\-";
    } else if (c == '\\') {
      escaped += "\\e";
    } else {
      if (escaped.empty() && (c == '.' || c == '\'')) escaped += "\\&";
      escaped += c;
    }
  }
  return escaped;
}

std::string Options(const CLI::App& command) {
  std::string page;
  for (const CLI::Option* option : command.get_options()) {
    const std::string preset = option->get_default_str();
    page += fmt::format(".TP\n.B {}\n{}{}\n", Roff(option->get_name(true, true)), Roff(option->get_description()),
                        preset.empty() ? "" : Roff(" [" + preset + "]"));
  }
  for (const CLI::App* inner : command.get_subcommands([](const CLI::App*) { return true; }))
    page += fmt::format(".TP\n.B {}\n{}\n", Roff(inner->get_name()), Roff(inner->get_description())) + Options(*inner);
  return page;
}

constexpr const char* kEnd = R"(.SH EXIT STATUS
.TP
.B 0
pass
.TP
.B 1
a case failed or errored; gate: a regression; validate: the report contradicts itself
.TP
.B 2
command line, configuration, unreadable or unsupported input
.TP
.B 3
inconclusive: a timed row has no speed because the device was slowed down
.TP
.B 4
incomplete: nothing selected, all skipped, a run that did not finish
.TP
.B 5
not comparable
.TP
.B 6
internal error
.TP
.B 130, 143
ended by SIGINT or SIGTERM; the report holds every case that had finished
.SH ENVIRONMENT
.TP
.B ASSAY_FIXTURES
folder of the embedded models
.TP
.B OMP_NUM_THREADS, OMP_WAIT_POLICY
threads of the host; they wait passively unless the variable says otherwise, except in bench and gate
.TP
.B NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE
colours never, or always
)";

}  // namespace

std::string ManualPage(const CLI::App& app, const std::string& version) {
  std::string page = fmt::format(
      ".TH ASSAY 1 \"\" \"assay {}\"\n.SH NAME\nassay \\- {}\n.SH SYNOPSIS\n.B assay\n.I command\n[options]\n", version,
      "judge a batched LLM decoder engine");
  page += ".SH DESCRIPTION\n" + Roff(app.get_description()) + "\n";
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    page += fmt::format(".SH \"ASSAY {}\"\n{}\n", Roff(command->get_name()), Roff(command->get_description())) +
            Options(*command);
  return page + kEnd;
}

}  // namespace assay
