#include "engine/text/shell.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/text/foreign.h"

namespace assay {
namespace {

const std::vector<std::string>& NastyWords() {
  static const std::vector<std::string> words = {"plain-name_1.0/x:y,z+w=v@t",
                                                 "two words",
                                                 "it's",
                                                 "new\nline",
                                                 "m\x15touch PWNED\rx",
                                                 "esc\x1b[31m",
                                                 "\xff\xfe",
                                                 "\xe2\x80\xaegpj.exe",
                                                 "$(touch PWNED)`touch PWNED`",
                                                 "a\"b\\c;d|e&f>g<h",
                                                 "*?[a]{b,c}~!#^%d%%s\\n",
                                                 "=ls",
                                                 "\x1b-%s%%\\012",
                                                 "\xc3\xa9\xe6\xbc\xa2",
                                                 "tab\there",
                                                 "-x\x07",
                                                 "100%\x7f",
                                                 ""};
  return words;
}

// What a shell makes of a line that prints the words of its arguments.
std::string Said(const std::string& shell, const std::string& line) {
  const std::string command = "exec env printf '%s|' " + line;
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], 1);
    ::execlp(shell.c_str(), shell.c_str(), "-c", command.c_str(), nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  std::string said;
  std::array<char, 4096> block;
  for (ssize_t got; (got = ::read(ends[0], block.data(), block.size())) > 0;) said.append(block.data(), got);
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return said;
}

bool Here(const std::string& shell) {
  for (const char* folder : {"/bin/", "/usr/bin/"})
    if (std::filesystem::exists(folder + shell)) return true;
  return false;
}

class QuotedWords : public testing::TestWithParam<const char*> {};

TEST_P(QuotedWords, AreWhatTheShellReads) {
  const std::string shell = GetParam();
  if (!Here(shell)) GTEST_SKIP() << "no " << shell << " here";
  for (const std::string& word : NastyWords()) {
    const std::string quoted = Quoted(word);
    EXPECT_EQ(Printable(quoted), quoted);
    EXPECT_EQ(Said(shell, quoted), word + "|") << quoted;
  }
  EXPECT_EQ(Said(shell, Quoted("ends\n")), "ends\n/.|");
}

INSTANTIATE_TEST_SUITE_P(, QuotedWords, testing::Values("bash", "dash", "zsh"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST(ShellWords, AreReadAgain) {
  std::string line = "assay";
  for (const std::string& word : NastyWords()) line += " " + Quoted(word);
  const std::vector<std::string> words = Words(line);
  ASSERT_EQ(words.size(), NastyWords().size() + 1);
  for (std::size_t i = 0; i < NastyWords().size(); ++i) EXPECT_EQ(words[i + 1], NastyWords()[i]);
}

}  // namespace
}  // namespace assay
