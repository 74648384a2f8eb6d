// Numbers as a report writes them.
#pragma once

namespace assay {

// `value` with so many significant digits. Numbers that are not finite stay as they are.
double Rounded(double value, int digits);

}  // namespace assay
