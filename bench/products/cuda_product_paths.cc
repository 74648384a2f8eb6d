// One line for each weight shape, stored type and number of rows: microseconds and fraction of measured copy bandwidth
// for every path that computes the product. Weights rotate through more copies than the L2 cache holds; calls are
// replayed from a graph, as in a decode step. All of them, or those that options name.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "engine/ops/cuda_ops.h"

namespace assay {
namespace {

struct Shape {
  const char* name;
  std::int64_t rows, cols;
  bool gated;
};
constexpr Shape kShapes[] = {
    {"e4b qkv", 3072, 2560, false},     {"e4b q", 2048, 2560, false},         {"e4b o", 2560, 2048, false},
    {"e4b gate_up", 20480, 2560, true}, {"e4b down", 2560, 10240, false},     {"e4b ple gate", 256, 2560, false},
    {"e4b ple out", 2560, 256, false},  {"e4b head", 262144, 2560, false},    {"llama qkv", 6144, 4096, false},
    {"llama o", 4096, 4096, false},     {"llama gate_up", 28672, 4096, true}, {"llama down", 4096, 14336, false},
    {"31b qkv", 16384, 5376, false},    {"31b gate_up", 43008, 5376, true},   {"31b down", 5376, 21504, false},
};
constexpr DType kTypes[] = {DType::kBF16, DType::kQ8_0, DType::kQ4_0};
constexpr int kRows[] = {1, 2, 4, 8, 16, 24, 32, 48, 64, 128, 256, 512, 2048};
struct Path {
  const char* name;
  GemmPath path;
  bool batch_invariant = false;
};
constexpr Path kPaths[] = {{"dot", GemmPath::kDot},
                           {"skinny", GemmPath::kSkinny},
                           {"tma", GemmPath::kSkinnyTma},
                           {"tiled", GemmPath::kTiled},
                           {"stream", GemmPath::kStream},
                           {"library", GemmPath::kLibrary},
                           {"invariant", GemmPath::kAuto, true}};

// What is measured; an empty list: all there are.
struct Selection {
  std::vector<std::string> types, shapes, paths;
  std::vector<int> rows;
};
template <class T, class U>
bool Selected(const std::vector<T>& list, const U& item) {
  return list.empty() || std::find(list.begin(), list.end(), item) != list.end();
}

using Clock = std::chrono::steady_clock;

// Median microseconds of one replay.
double Replayed(Ops& ops, StepGraph& graph) {
  for (int i = 0; i < 3; ++i) graph.Launch();
  ops.Synchronize();
  std::vector<double> times;
  for (int i = 0; i < 9; ++i) {
    const auto start = Clock::now();
    for (int k = 0; k < 3; ++k) graph.Launch();
    ops.Synchronize();
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count() / 3);
  }
  std::nth_element(times.begin(), times.begin() + 4, times.end());
  return times[4];
}

// Bytes read and written a second by a large copy.
double CopyBandwidth(Ops& ops) {
  const std::size_t bytes = std::size_t{2} << 30;
  const Buffer a(ops.memory(), bytes, "copy source"), b(ops.memory(), bytes, "copy target");
  ops.memory().Fill(a.data(), 1, bytes);
  ops.memory().Copy(b.data(), a.data(), bytes);
  ops.Synchronize();
  const auto start = Clock::now();
  for (int i = 0; i < 10; ++i) ops.memory().Copy(b.data(), a.data(), bytes);
  ops.Synchronize();
  return 20.0 * static_cast<double>(bytes) / std::chrono::duration<double>(Clock::now() - start).count();
}

void Measure(DType type, const Selection& selection, double copy) {
  std::vector<std::unique_ptr<Ops>> ops;
  std::string head = fmt::format("{:>14} {:>5} {:>4} {:>8} |", "shape", "type", "rows", "floor us");
  for (const Path& path : kPaths) {
    ops.push_back(
        MakeCudaOps({.precision = Precision::kBf16, .batch_invariant = path.batch_invariant, .gemm_path = path.path}));
    head += fmt::format(" {:>16}", path.name);
  }
  fmt::print("{}\n", head);
  for (const Shape& shape : kShapes) {
    if (!Selected(selection.shapes, shape.name)) continue;
    const double bytes = static_cast<double>(StoredBytes(type, shape.rows, shape.cols));
    const int copies = std::max(2, static_cast<int>(400e6 / bytes) + 1);
    HostTensor part;
    part.type = type;
    part.rows = shape.rows;
    part.cols = shape.cols;
    part.where = shape.name;
    std::vector<std::vector<std::unique_ptr<Weight>>> weights(1);
    for (int c = 0; c < copies; ++c) {
      part.fill = SyntheticFill{static_cast<std::uint64_t>(c), 0.02f, 0.0f};
      weights[0].push_back(ops[0]->Prepare({part}, shape.gated ? WeightUse::kGated : WeightUse::kMatrix));
    }
    ops[0]->Synchronize();  // the others run on streams of their own
    for (const int rows : kRows) {
      if (!Selected(selection.rows, rows)) continue;
      std::string line = fmt::format("{:>14} {:>5} {:>4} {:>8.2f} |", shape.name, Name(type), rows, bytes / copy * 1e6);
      for (std::size_t w = 0; w < ops.size(); ++w) {
        Ops& o = *ops[w];
        if (!Selected(selection.paths, kPaths[w].name) || (kPaths[w].path == GemmPath::kDot && rows > 8)) {
          line += fmt::format(" {:>16}", "-");
          continue;
        }
        const auto count = static_cast<std::size_t>(rows);
        const Buffer x(o.memory(), count * static_cast<std::size_t>(shape.cols) * 2, "x");
        const Buffer out(o.memory(), count * static_cast<std::size_t>(shape.rows) * 4, "out");
        o.memory().Fill(x.data(), 0x3c, x.bytes());  // 0x3c3c: 0.0115 in bf16
        const auto body = [&] {
          for (const auto& weight : weights[0]) {
            if (shape.gated)
              o.GatedMatMul(out.data(), *weight, x.data(), rows, Activation::kGeluTanh);
            else
              o.MatMul(out.as<float>(), *weight, x.data(), rows);
          }
        };
        body();
        o.Synchronize();
        const auto graph = o.Capture(body);
        const double us = Replayed(o, *graph) / copies;
        line += fmt::format(" {:>8.2f} ({:>3.0f} %)", us, 100 * bytes / copy * 1e6 / us);
      }
      fmt::print("{}\n", line);
      std::fflush(stdout);
    }
  }
}

int Run(int argc, char** argv) {
  CLI::App app("Microseconds of one product by every path, for weights of the geometries that are timed");
  Selection selection;
  std::vector<std::string> types, shapes, paths;
  for (const DType type : kTypes) types.emplace_back(Name(type));
  for (const Shape& shape : kShapes) shapes.emplace_back(shape.name);
  for (const Path& path : kPaths) paths.emplace_back(path.name);
  app.add_option("--type", selection.types, "stored types")->check(CLI::IsMember(types));
  app.add_option("--shape", selection.shapes, "names of shapes")->check(CLI::IsMember(shapes));
  app.add_option("--rows", selection.rows, "activation rows")
      ->check(CLI::IsMember(std::vector<int>(std::begin(kRows), std::end(kRows))));
  app.add_option("--path", selection.paths, "paths")->check(CLI::IsMember(paths));
  CLI11_PARSE(app, argc, argv);
  const Support support = CudaOpsAvailable(0);
  if (!support) {
    fmt::print(stderr, "{}\n", support.reason);
    return 77;
  }
  const double copy = CopyBandwidth(*MakeCudaOps({}));
  fmt::print("copy {:.0f} GB/s\n", copy / 1e9);
  for (const DType type : kTypes)
    if (Selected(selection.types, std::string(Name(type)))) Measure(type, selection, copy);
  return 0;
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  try {
    return assay::Run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
