#include "ci/assay/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

#include "engine/model/presets.h"
#include "engine/ops/precision.h"
#include "reports/render/export.h"
#include "suites/suites.h"
#include "suites/support/embedded.h"

namespace assay {
namespace {

using Words = std::vector<std::string>;

std::vector<const CLI::App*> Commands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

Words Options(const CLI::App& command) {
  Words options;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) options.push_back(fmt::format("--{}", name));
  return options;
}

// What may stand behind an option, where that is one of some words; models and reports may be files too.
std::map<std::string, Words> Values() {
  Words suites, models;
  for (const SuiteEntry& suite : Suites()) suites.emplace_back(suite.name);
  for (const EmbeddedModel& model : EmbeddedModels()) models.push_back(model.name);
  for (const std::string& preset : PresetNames()) models.push_back(preset);
  const Words devices{"auto", "host", "cuda", "cuda:0"};
  return {{"--suite", suites},
          {"--exclude", suites},
          {"--model", models},
          {"--device", devices},
          {"--require", devices},
          {"--dtype", PrecisionNames()},
          {"--what", {"decode", "prefill", "load", "ops", "ablation"}}};
}

std::string Bash(const CLI::App& app) {
  std::string commands, options, values;
  Words formats;
  for (const CLI::App* command : Commands(app)) {
    commands += command->get_name() + " ";
    options += fmt::format("    {}) words=\"{}\" ;;\n", command->get_name(), fmt::join(Options(*command), " "));
  }
  for (const ExportFormat& format : ExportFormats()) formats.emplace_back(format.name);
  for (const auto& [option, words] : Values())
    values += fmt::format("    {}) words=\"{}\" ;;\n", option, fmt::join(words, " "));
  return fmt::format(R"BASH(# bash completion for assay: eval "$(assay completion bash)"
_assay() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words= front=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{}--help --version" -- "$word"))
    return
  fi
  case $before in
{}    completion) words="bash zsh fish" ;;
    history) words="add list show export prune render" ;;
    export) words="{}" ;;
  esac
  if [ -n "$words" ]; then
    # Behind a comma the next word of the list begins.
    case $word in *,*) front=${{word%,*}}, ;; esac
    COMPREPLY=($(compgen -P "$front" -W "$words" -- "${{word##*,}}"))
    [ "$before" = --model ] && COMPREPLY+=($(compgen -f -- "$word"))
    return
  fi
  case ${{COMP_WORDS[1]}} in
{}  esac
  case $word in -*) COMPREPLY=($(compgen -W "$words" -- "$word")) ;; *) COMPREPLY=($(compgen -f -- "$word")) ;; esac
}}
complete -o filenames -o bashdefault -F _assay assay
)BASH",
                     commands, values, fmt::join(formats, " "), options);
}

// Between single quotes of fish and zsh.
std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\'' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string Fish(const CLI::App& app) {
  std::string script = "# fish completion for assay: assay completion fish | source\n";
  const std::map<std::string, Words> values = Values();
  for (const CLI::App* command : Commands(app)) {
    script += fmt::format("complete -c assay -n __fish_use_subcommand -f -a {} -d '{}'\n", command->get_name(),
                          Escaped(command->get_description()));
    for (const CLI::Option* option : command->get_options())
      for (const std::string& name : option->get_lnames()) {
        const auto known = values.find(fmt::format("--{}", name));
        script += fmt::format("complete -c assay -n '__fish_seen_subcommand_from {}' -l {} -d '{}'{}\n",
                              command->get_name(), name, Escaped(option->get_description()),
                              known == values.end() ? std::string(option->get_expected_min() > 0 ? " -r" : "")
                                                    : fmt::format(" -r -a '{}'", fmt::join(known->second, " ")));
      }
  }
  return script;
}

}  // namespace

std::string CompletionScript(const std::string& shell, const CLI::App& app) {
  if (shell == "fish") return Fish(app);
  if (shell == "zsh")
    return "#compdef assay\n# zsh completion for assay: eval \"$(assay completion zsh)\"\n"
           "autoload -U +X compinit && compinit -u\nautoload -U +X bashcompinit && bashcompinit\n" +
           Bash(app);
  return Bash(app);
}

}  // namespace assay
