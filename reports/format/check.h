// Whether the text of a report holds: its shape by report.schema.json, its contents by recomputing what follows from
// the cases.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace assay {

struct Report;

// The JSON Schema (draft-07) of the current version, as built in.
std::string_view ReportSchema();

// One line per violation of the schema, with the path of the field; empty: the shape is right.
std::vector<std::string> SchemaProblems(std::string_view report_text);

// The same of any text against any schema (draft-07), such as a policy's.
std::vector<std::string> SchemaProblemsOf(std::string_view text, std::string_view schema);

// One line per contradiction inside a report of the right shape. Re-derived are: the verdict of each judgement from its
// value, bound, fault and comparisons; budgets; rows on which the argmax was judged; figures, floor and parity of each
// timed row, and whether it may have a speed; the comparability key; counts, skip ledger, bounds and the run's verdict.
std::vector<std::string> ConsistencyProblems(std::string_view report_text);
// Of a text that was read already, as FromJson reads it; leaves the report as it is written (AsWritten), which one that
// holds is.
std::vector<std::string> ConsistencyProblems(std::string_view report_text, Report* report);

// Both: contradictions are only looked for in a report of the right shape.
std::vector<std::string> ReportProblems(std::string_view report_text, Report* report);

}  // namespace assay
