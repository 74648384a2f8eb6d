#include "engine/text/foreign.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(Foreign, NothingThatATerminalObeysIsLeft) {
  EXPECT_EQ(Printable("plain text, \xc3\xa9t\xc3\xa9, \xe6\xbc\xa2"), "plain text, \xc3\xa9t\xc3\xa9, \xe6\xbc\xa2");
  EXPECT_EQ(Printable("a\x1b[2J\x1b]0;x\x07"), "a\\x1b[2J\\x1b]0;x\\x07");
  EXPECT_EQ(Printable("a\nb\tc\rd\x15\x7f"), "a\\nb\\tc\\x0dd\\x15\\x7f");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m"),
            "\\x9b31m");  // CSI as a character
  EXPECT_EQ(Printable("\xe2\x80\xae"
                      "gpj.exe"),
            "\\u202egpj.exe");                                         // right to left
  EXPECT_EQ(Printable("\xef\xbb\xbf\xe2\x81\xa6"), "\\ufeff\\u2066");  // byte order mark, isolate
  EXPECT_EQ(Printable("\xff\xfe\xc3("), "\\xff\\xfe\\xc3(");           // no UTF-8
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");             // a surrogate
  EXPECT_EQ(Printable("\xc0\xaf"), "\\xc0\\xaf");                      // overlong
  EXPECT_EQ(Printable(std::string("a\0b", 3)), "a\\x00b");
}

TEST(Foreign, LongTextKeepsBothEnds) {
  const std::string name = "begin" + std::string(5000, 'A') + "end";
  const std::string piece = ForMessage(name);
  EXPECT_LE(piece.size(), 160u);
  EXPECT_TRUE(piece.starts_with("begin"));
  EXPECT_TRUE(piece.ends_with("end"));
  EXPECT_NE(piece.find(" bytes ...]"), std::string::npos);
  EXPECT_LE(ForMessage(std::string(5000, '\x1b')).size(), 160u);
  EXPECT_LE(AsMessage(std::string(50000, '\n')).size(), 2000u);
  EXPECT_EQ(Shortened("abc", 3), "abc");
  // Not through a character.
  std::string wide;
  for (int i = 0; i < 400; ++i) wide += "\xe6\xbc\xa2";
  const std::string shown = Shortened(wide, 161);
  EXPECT_EQ(Printable(shown), shown);
}

}  // namespace
}  // namespace assay
