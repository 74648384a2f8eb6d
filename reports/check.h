// Whether the text of a report holds: its shape by report.schema.json, its contents by recomputing what follows from
// the cases.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace assay {

// The JSON Schema (draft-07) of the current version, as built in.
std::string_view ReportSchema();

// One line per violation of the schema, with the path of the field; empty: the shape is right.
std::vector<std::string> SchemaProblems(std::string_view report_text);

// One line per contradiction inside a report of the right shape: counts, skip ledger, tolerances, verdicts, statuses
// and the complete flag against the cases.
std::vector<std::string> ConsistencyProblems(std::string_view report_text);

}  // namespace assay
