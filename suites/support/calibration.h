// How the tolerance of a mode is calibrated: which sessions, how many rows.
#pragma once

#include "oracles/compare/tolerance.h"
#include "suites/support/target.h"

namespace assay {

class Workbench;
struct RoutingTolerance;

// The twin of the target's mode against the float64 reference over made-up sessions of the target's seed.
LogitTolerance Calibrate(Workbench& bench, const Target& target);
// Of a model with experts, both under the choices of the reference.
RoutingTolerance CalibrateRouting(Workbench& bench, const Target& target);

}  // namespace assay
