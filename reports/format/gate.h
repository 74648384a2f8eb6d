// What a gate measured, pair by pair, and what its rule makes of that. Part of a report of kind "gate".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "reports/format/environment.h"
#include "reports/gate/rule.h"

namespace assay {

// A fresh process of each side, back to back.
struct GateRound {
  bool candidate_first = false;        // as the coin fell
  double baseline = 0, candidate = 0;  // medians of the two processes, in the cell's unit; 0: none
  std::string spoilt;                  // why the pair does not count; never one side alone
};

struct GateCell {
  std::string id;       // of the row: "bench.decode/gemma4-nano/bf16/host/n=8/context=512"
  std::string unit;     // "s" or "byte"; less is better
  std::string missing;  // why one side has no value; empty: both have
  std::vector<GateRound> screen, fresh;
};

struct GateSide {
  std::string argument;  // as typed, without folders
  BuildInfo build;       // as its own reports state it
};

struct GateRecord {
  GateRule rule;
  std::uint64_t coin_seed = 0;
  GateSide baseline, candidate;
  std::vector<GateCell> cells;
  std::vector<std::string> failures;        // rows of the candidate that are wrong: they have no speed
  std::vector<std::string> not_comparable;  // what differs that must not
};

// ln(candidate / baseline) of the rounds that count.
std::vector<double> RatiosOf(const std::vector<GateRound>& rounds);
int SpoiltOf(const std::vector<GateRound>& rounds);

// How many cells the screen left to be confirmed.
std::size_t FamilyOf(const GateRecord& record);
// Every decision has a verdict: what more rounds might have decided is inconclusive.
CellDecision Decide(const GateCell& cell, std::size_t family, const GateRule& rule);

struct GateDecisions {
  std::size_t family = 0;
  std::vector<CellDecision> cells;  // in the record's order
  Symmetry symmetry;                // of the screens
  // "PASS", "FAIL" (a wrong row), "REGRESSION", "INCONCLUSIVE", "INCOMPLETE" (no cells, or a missing one),
  // "NOT_COMPARABLE".
  std::string verdict;
};
GateDecisions Decide(const GateRecord& record);

}  // namespace assay
