// Where a failure begins. The case runs again over ops that are each held against float64 from their own inputs: a
// wrong op is named by step, layer, row and element. If every op is right by its inputs, what ops are told is wrong:
// then the residual stream after each layer is held against the reference's, and the first layer that leaves the
// tolerance of the mode's twin is named. If that is right too, sessions, steps or caches are not: then the first row of
// the case that is off is named, by step, session and position as far as the case has them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "suites/support/case.h"

namespace assay {

// Makes the engines that are asked; null: those of this tree.
using EngineMaker = std::function<std::unique_ptr<EngineProvider>()>;

// One line, for engines on the host and models that its reference can; else why there is none.
std::string FirstDivergence(const Case& item, const EngineMaker& engines = nullptr);

}  // namespace assay
