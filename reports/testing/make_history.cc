// Writes made-up reports into a folder: what a history of many nights would be fed with.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "reports/format/writer.h"
#include "reports/testing/made_history.h"

int main(int argc, char** argv) {
  assay::MadeHistory made;
  std::string folder;
  bool bench_only = false;
  CLI::App app("Writes made-up reports for tests");
  app.add_option("folder", folder)->required();
  app.add_option("--cells", made.cells)->check(CLI::Range(1, 2000));
  app.add_option("--nights", made.nights)->check(CLI::Range(1, 20000));
  app.add_option("--samples", made.samples)->check(CLI::Range(1, 1000));
  app.add_option("--seed", made.seed);
  app.add_flag("--hostile", made.hostile);
  app.add_flag("--bench-only", bench_only);
  CLI11_PARSE(app, argc, argv);
  std::filesystem::create_directories(folder);
  for (int night = 0; night < made.nights; ++night) {
    const auto write = [&](const char* name, const assay::Report& report) {
      std::ofstream(fmt::format("{}/{:05}-{}.json", folder, night, name)) << assay::ToJson(report);
    };
    write("bench", MadeBench(made, night));
    if (bench_only) continue;
    write("parity", MadeParity(made, night));
    if (night < made.nights - 10) write("elsewhere", MadeElsewhere(made, night));
  }
}
