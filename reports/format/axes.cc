#include "reports/format/axes.h"

#include <fmt/core.h>

#include <algorithm>

namespace assay {
namespace {

std::string Printed(const AxisValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return std::to_string(std::get<std::int64_t>(value));
}

bool SpeaksForItself(std::string_view name) { return name == "model" || name == "dtype" || name == "device"; }

}  // namespace

Axes& Axes::Set(std::string name, AxisValue value) {
  const auto found = std::find_if(axes_.begin(), axes_.end(), [&](const Axis& axis) { return axis.first == name; });
  if (found != axes_.end())
    found->second = std::move(value);
  else
    axes_.emplace_back(std::move(name), std::move(value));
  return *this;
}

const AxisValue* Axes::Find(std::string_view name) const {
  const auto found = std::find_if(axes_.begin(), axes_.end(), [&](const Axis& axis) { return axis.first == name; });
  return found == axes_.end() ? nullptr : &found->second;
}

std::string Axes::Text(std::string_view name) const {
  const AxisValue* value = Find(name);
  const auto* text = value == nullptr ? nullptr : std::get_if<std::string>(value);
  return text == nullptr ? std::string() : *text;
}

std::optional<std::int64_t> Axes::Number(std::string_view name) const {
  const AxisValue* value = Find(name);
  const auto* number = value == nullptr ? nullptr : std::get_if<std::int64_t>(value);
  return number == nullptr ? std::nullopt : std::optional(*number);
}

std::string Axes::ToString() const {
  std::string text;
  for (const auto& [name, value] : axes_) {
    if (!text.empty()) text += '/';
    if (!SpeaksForItself(name)) text += name + '=';
    text += Printed(value);
  }
  return text;
}

std::string PrintId(std::string_view suite, std::string_view name, const Axes& axes) {
  return fmt::format("{}.{}{}{}", suite, name, axes.all().empty() ? "" : "/", axes.ToString());
}

}  // namespace assay
