#include <utility>

#include "reports/format/json.h"

namespace assay {
namespace {

class Printer {
 public:
  void Lines(const Json& json, int depth, bool spread_members) {
    const bool object = json.is_object();
    text_ += object ? '{' : '[';
    for (auto item = json.begin(); item != json.end(); ++item) {
      Break(depth + 1);
      if (object) Key(item.key());
      if (object || spread_members)
        Member(*item, depth + 1, spread_members);
      else
        Line(*item);
      if (std::next(item) != json.end()) text_ += ',';
    }
    if (!json.empty()) Break(depth);
    text_ += object ? '}' : ']';
  }

  // A list of objects stands on a line each, anything else on one line unless it is to be spread.
  void Member(const Json& value, int depth, bool spread) {
    const bool list_of_objects = value.is_array() && !value.empty() && value.front().is_object();
    if (spread || list_of_objects)
      Lines(value, depth, false);
    else
      Line(value);
  }

  void Key(const std::string& key) {
    Line(Json(key));
    text_ += ": ";
  }
  void Break(int depth) {
    text_ += '\n';
    text_.append(static_cast<std::size_t>(depth), ' ');
  }
  void Add(char c) { text_ += c; }
  // Names and messages may quote bytes of hostile files: what is not UTF-8 is replaced, never fatal.
  void Line(const Json& json) { text_ += json.dump(-1, ' ', false, Json::error_handler_t::replace); }
  std::string Taken() { return std::exchange(text_, std::string()); }

 private:
  std::string text_;
};

}  // namespace

PrintedRest Printed(const Json& rest) {
  Printer printer;
  PrintedRest printed;
  printer.Add('{');
  for (auto item = rest.begin(); item != rest.end(); ++item) {
    if (item != rest.begin()) printer.Add(',');
    printer.Break(1);
    printer.Key(item.key());
    if (item.key() == "cases")
      printed.before = printer.Taken();
    else if (item.key() == "benchmarks")
      printer.Lines(*item, 1, true);
    else
      printer.Member(*item, 1, item.key() == "environment" || item.key() == "gate" || item.key() == "distribution");
  }
  printer.Add('\n');
  printer.Add('}');
  printer.Add('\n');
  printed.after = printer.Taken();
  return printed;
}

std::string PrintedCase(const Json& item) {
  Printer printer;
  printer.Break(2);
  printer.Line(item);
  return printer.Taken();
}

}  // namespace assay
