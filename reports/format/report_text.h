// The text of a report whose cases come one by one: who writes it need not hold them.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "reports/format/report.h"

namespace assay {

// Every distinct bound once; judgements name theirs by its place.
class BoundTable {
 public:
  void Add(const Bound& bound);
  void Add(const ReportCase& item);
  void Add(const BoundTable& behind);
  std::size_t Place(const Bound& bound) const;  // of one that was added
  const std::vector<Bound>& all() const { return bounds_; }

 private:
  std::map<std::string, std::size_t> places_;
  std::vector<Bound> bounds_;
};

// What a report says of its cases before it lists them. Cases are added as they are written, in their order.
struct CaseTotals {
  CaseTally tally;
  BoundTable bounds;
  void Add(const ReportCase& as_written);
  void Add(const CaseTotals& behind);  // of cases that come behind these
};

// Hands on every case, as it is written, in order; each time it is called the same ones.
using CaseSource = std::function<void(const std::function<void(const ReportCase&)>& take)>;

// The text that ToJson gives of a report with these cases, in pieces; `rest`, as it is written, holds everything else.
// Throws ReportError for more than kLargestReport bytes, which nobody would read.
void WriteReport(const Report& rest, const CaseTotals& totals, const CaseSource& cases,
                 const std::function<void(std::string_view)>& write);

}  // namespace assay
