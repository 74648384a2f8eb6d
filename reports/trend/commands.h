// Command lines that a person pastes: what measures a cell again, and what gates two commits in it.
#pragma once

#include <string>

#include "reports/trend/history.h"

namespace assay {

// The axes of the id of a row, as a gate's cells name it: "bench.decode/gemma4-nano/bf16/cuda/n=8/context=512". The
// names of the first three are known; what is not understood is left out.
Axes AxesOfId(const std::string& id);

// "assay bench --model gemma4-nano --what decode --dtype bf16 --n 8 --ctx 512 --device cuda"; of a suite "assay run
// ..."; empty where nothing measures the cell alone.
std::string MeasureCommand(const HistoryCell& cell);

// "assay gate --baseline A --candidate B ..."; empty where a gate has no such cell.
std::string GateCommandFor(const HistoryCell& cell, const std::string& baseline, const std::string& candidate);

}  // namespace assay
