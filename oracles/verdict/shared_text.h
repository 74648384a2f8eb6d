// Text that many values hold and none changes: a copy costs a pointer.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace assay {

class SharedText {
 public:
  SharedText() = default;
  SharedText(std::string text) : text_(text.empty() ? nullptr : std::make_shared<const std::string>(std::move(text))) {}
  SharedText(const char* text) : SharedText(std::string(text)) {}

  std::string str() const { return text_ ? *text_ : std::string(); }
  friend bool operator==(const SharedText& a, const SharedText& b) {
    return a.text_ == b.text_ || (a.text_ && b.text_ && *a.text_ == *b.text_);
  }

 private:
  std::shared_ptr<const std::string> text_;
};

}  // namespace assay
