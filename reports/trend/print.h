// Numbers of a trend as people read them.
#pragma once

#include <string>
#include <vector>

namespace assay {

// "4.012 ms", "3.1 GiB", "0.327", "512".
std::string Printed(double value, const std::string& unit);
std::string PrintedPercent(double fraction);  // "2.1 %"; "from nothing" where it is infinite
std::string PrintedSpan(double seconds);      // "3 h", "12 days"
std::string ShortCommit(const std::string& commit, bool dirty);

// One character of eight heights a value, the last `width` of them; the lowest is the least.
std::string SparkText(const std::vector<double>& values, std::size_t width);

}  // namespace assay
