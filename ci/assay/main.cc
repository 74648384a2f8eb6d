// assay: runs oracle suites on checkpoints, judges recorded answers, inspects models, checks reports.
#include "ci/assay/program.h"
#include "suites/suites.h"

int main(int argc, char** argv) { return assay::RunProgram(argc, argv, assay::ListCases); }
