#include "suites/parity/moves.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

namespace assay {
namespace {

using Kind = Move::Kind;

constexpr std::array<std::pair<Kind, std::string_view>, 7> kNames{{{Kind::kOpen, "open"},
                                                                   {Kind::kClose, "close"},
                                                                   {Kind::kFork, "fork"},
                                                                   {Kind::kStep, "step"},
                                                                   {Kind::kPrefill, "prefill"},
                                                                   {Kind::kDecode, "decode"},
                                                                   {Kind::kBack, "back"}}};
struct Size {
  std::string_view name;
  int Schedule::*field;
};
constexpr Size kSizes[] = {{"sessions", &Schedule::sessions},
                           {"capacity", &Schedule::capacity},
                           {"chunk", &Schedule::chunk},
                           {"rows", &Schedule::rows}};

std::string_view NameOf(Kind kind) {
  for (const auto& [known, name] : kNames)
    if (known == kind) return name;
  Throw("a move of no kind");
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    std::string_view part = text.substr(0, end);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    if (!part.empty()) parts.push_back(part);
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// Takes a letter, a number or a mark off the front of a word.
class Word {
 public:
  Word(std::string_view rest, std::string_view move) : rest_(rest), move_(move) {}
  int Letter() {
    Require(!rest_.empty() && rest_[0] >= 'a' && rest_[0] <= 'z', "schedule: '{}': expected a session's letter at '{}'",
            move_, rest_);
    const int session = rest_[0] - 'a';
    rest_.remove_prefix(1);
    return session;
  }
  bool Digit() const { return !rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9'; }
  int Number() {
    int value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    Require(error == std::errc() && value >= 0, "schedule: '{}': expected a number at '{}'", move_, rest_);
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return value;
  }
  bool Takes(char mark) {
    if (rest_.empty() || rest_[0] != mark) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void End() const { Require(rest_.empty(), "schedule: '{}': unexpected '{}'", move_, rest_); }

 private:
  std::string_view rest_, move_;
};

Move MoveFromText(std::string_view text) {
  const std::vector<std::string_view> words = Split(text, ' ');
  Move move;
  bool known = false;
  for (const auto& [kind, name] : kNames)
    if (words[0] == name) move.kind = kind, known = true;
  Require(known && words.size() >= 2,
          "schedule: '{}': expected open, close, fork, step, prefill, decode or back and "
          "a session",
          text);
  if (move.kind == Kind::kFork) {
    Require(words.size() == 3, "schedule: '{}': expected fork, a session and the copy's name", text);
    Word copy(words[2], text);
    move.other = copy.Letter();
    copy.End();
  }
  const std::size_t end = move.kind == Kind::kFork ? 2 : words.size();
  for (std::size_t i = 1; i < end; ++i) {
    Word word(words[i], text);
    Move::Part part{word.Letter()};
    if (word.Digit()) part.tokens = word.Number();
    if (word.Takes('+')) part.want = Want::kAll;
    if (word.Takes('-')) part.want = Want::kNone;
    if (word.Takes('/')) move.count = word.Number();
    if (word.Takes('*')) move.count = word.Number();
    if (word.Takes('!')) move.fails_at = word.Number();
    if (word.Takes('?')) move.bad_token = true;
    word.End();
    move.parts.push_back(part);
  }
  return move;
}

std::string ToText(const Move& move) {
  std::string text(NameOf(move.kind));
  for (const Move::Part& part : move.parts) {
    text += fmt::format(" {}", static_cast<char>('a' + part.session));
    if (move.kind == Kind::kStep || move.kind == Kind::kPrefill || move.kind == Kind::kBack)
      text += fmt::format("{}", part.tokens);
    if (move.kind == Kind::kStep) text += part.want == Want::kAll ? "+" : part.want == Want::kNone ? "-" : "";
  }
  if (move.kind == Kind::kFork) text += fmt::format(" {}", static_cast<char>('a' + move.other));
  if (move.kind == Kind::kPrefill) text += fmt::format("/{}", move.count);
  if (move.kind == Kind::kDecode) text += fmt::format("*{}", move.count);
  if (move.fails_at >= 0) text += fmt::format("!{}", move.fails_at);
  if (move.bad_token) text += "?";
  return text;
}

}  // namespace

std::string ToText(const Schedule& schedule) {
  std::string text;
  for (const Size& size : kSizes)
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", size.name, schedule.*size.field);
  for (const Move& move : schedule.moves) text += "; " + ToText(move);
  return text;
}

Schedule ScheduleFromText(std::string_view text) {
  constexpr int kMost = 1 << 16;
  const std::vector<std::string_view> parts = Split(text, ';');
  Require(!parts.empty(), "schedule: expected sizes and moves, found nothing");
  Schedule schedule;
  for (const std::string_view word : Split(parts[0], ' ')) {
    bool known = false;
    for (const Size& size : kSizes) {
      if (!word.starts_with(size.name) || word.substr(size.name.size(), 1) != "=") continue;
      Word number(word.substr(size.name.size() + 1), word);
      const int value = number.Number();
      number.End();
      Require(value >= 1 && value <= kMost, "schedule: '{}': expected 1..{}", word, kMost);
      schedule.*size.field = value;
      known = true;
    }
    Require(known, "schedule: '{}': expected sessions=, capacity=, chunk= or rows=", word);
  }
  for (std::size_t i = 1; i < parts.size(); ++i) schedule.moves.push_back(MoveFromText(parts[i]));
  return schedule;
}

}  // namespace assay
