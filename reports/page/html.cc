#include "reports/page/html.h"

#include "reports/render/export_text.h"

namespace assay {

std::string Visible(std::string_view text, std::size_t most) {
  // What is cut anyway is not looked at: a text may be long.
  std::string shown = OneLine(text.substr(0, 4 * most));
  if (text.size() > 4 * most) shown += "...";
  return Cut(std::move(shown), most);
}

std::string Html(std::string_view text, std::size_t most) {
  std::string escaped;
  for (const char c : Visible(text, most)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

}  // namespace assay
