#include "engine/text/json.h"

#include <gtest/gtest.h>

#include <string>

namespace assay {
namespace {

template <class Json>
std::string Complaint(std::string_view text, const JsonLimits& limits = {}) {
  try {
    ParseJson<Json>(text, limits);
  } catch (const JsonError& error) {
    return error.what();
  }
  return "";
}

template <class Json>
class JsonReader : public testing::Test {};
using Documents = testing::Types<nlohmann::json, OrderedJson>;
TYPED_TEST_SUITE(JsonReader, Documents);

TYPED_TEST(JsonReader, ReadsWhatTheLibraryReads) {
  const std::string text = R"({"b": [1, -2, 3.5, true, null, "x", [], {}], "a": {"c": {"d": []}}, "": "\u00e9\u0000"})";
  EXPECT_EQ(ParseJson<TypeParam>(text, JsonLimits{}), TypeParam::parse(text));
  EXPECT_EQ(ParseJson<TypeParam>(text, JsonLimits{}).dump(), TypeParam::parse(text).dump());
  EXPECT_EQ(ParseJson<TypeParam>("7", JsonLimits{}), 7);
}

TYPED_TEST(JsonReader, RefusesWhatCannotBeOneDocument) {
  const auto complains = [](std::string_view text, const std::string& of, const JsonLimits& limits = {}) {
    const std::string complaint = Complaint<TypeParam>(text, limits);
    EXPECT_NE(complaint.find(of), std::string::npos) << complaint << " of " << text.substr(0, 80);
    EXPECT_LT(complaint.size(), 400u);
    for (const unsigned char c : complaint) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << complaint;
  };
  complains(R"({"a": 1, "b": {"c": 1, "d": 2, "c": 3}})", "key 'c' appears twice");
  complains(R"({"a": 1, "a": 1})", "key 'a' appears twice");
  complains(R"({"a\u001b[2J": 1, "a\u001b[2J": 1})", "key 'a\\x1b[2J' appears twice");
  complains(std::string("{}\0", 3), "NUL at byte 2");
  complains(std::string("{}\0{\"verdict\": 1}", 17), "NUL at byte 2");
  complains(std::string("{\"a\0b\": 1}", 10), "NUL at byte 3");
  complains("{} x", "not valid JSON");
  complains("{}{}", "not valid JSON");
  complains("", "not valid JSON");
  complains("{\"a\": ", "not valid JSON");
  complains("{\"\xff\": 1}", "not valid JSON");
  complains("{\"a\x1b\": 1}", "not valid JSON");
  complains("[1e999]", "not valid JSON");
  complains(std::string(33, '[') + std::string(33, ']'), "nested deeper than 32 levels");
  complains(std::string(1000000, '['), "nested deeper than 32 levels");
  complains(std::string(100, ' '), "100 bytes of JSON, at most 99", {.bytes = 99});
  complains("[0,0,0,0]", "more than 100 bytes of memory", {.memory_per_byte = 0, .memory = 100});
  EXPECT_EQ(Complaint<TypeParam>(std::string(32, '[') + std::string(32, ']')), "");
}

TEST(OrderedJson, IntegersAreWhatIsWrittenOrRefused) {
  const OrderedJson numbers = OrderedJson::parse(
      R"({"small": -7, "real": 3.0, "most": 18446744073709551615, "half": 2.5, "huge": 2.7e116, "text": "1", "wide": 4294967296})");
  EXPECT_EQ(numbers.at("small").get<int>(), -7);
  EXPECT_EQ(numbers.at("real").get<std::int64_t>(), 3);
  EXPECT_EQ(numbers.at("most").get<std::uint64_t>(), UINT64_MAX);
  EXPECT_EQ(numbers.at("wide").get<std::int64_t>(), std::int64_t{1} << 32);
  EXPECT_EQ(numbers.value("absent", 4), 4);
  EXPECT_THROW(numbers.at("wide").get<int>(), OrderedJson::type_error);
  EXPECT_THROW(numbers.at("small").get<std::uint64_t>(), OrderedJson::type_error);
  for (const char* key : {"most", "half", "huge", "text"})
    EXPECT_THROW(numbers.at(key).get<std::int64_t>(), OrderedJson::type_error) << key;
  EXPECT_THROW(numbers.value("huge", std::int64_t{0}), OrderedJson::type_error);
  EXPECT_THROW(OrderedJson::parse("[1, 1e30]").get<std::vector<int>>(), OrderedJson::type_error);
}

TYPED_TEST(JsonReader, HandsOutElementsOfTheRootsArrays) {
  std::string taken;
  const JsonTaker<TypeParam> take = [&](const TypeParam& root, const std::string& member, TypeParam& element) {
    taken += member + element.dump() + (root.contains("first") ? "+" : "-");
    return member == "rows";
  };
  const TypeParam left = ParseJson<TypeParam>(
      R"({"rows": [[1, [2]], {"a": 1}, 3], "first": 1, "kept": [1, [2]], "deep": {"rows": [1]}})", JsonLimits{}, take);
  EXPECT_EQ(taken, R"(rows[1,[2]]-rows{"a":1}-rows3-kept1+kept[2]+)");
  EXPECT_EQ(left, TypeParam::parse(R"({"rows": [], "first": 1, "kept": [1, [2]], "deep": {"rows": [1]}})"));
}

// What is taken does not count: a document of any length is read in little memory.
TYPED_TEST(JsonReader, CountsTheMemoryOfWhatIsKept) {
  std::string text = R"({"rows": [)";
  for (int i = 0; i < 1000; ++i) text += "[1, 2, 3],";
  text += "[]]}";
  const JsonLimits little{.memory_per_byte = 0, .memory = 4096};
  EXPECT_NE(Complaint<TypeParam>(text, little).find("more than 4096 bytes of memory"), std::string::npos);
  const JsonTaker<TypeParam> take = [](const auto&, const auto&, auto&) { return true; };
  EXPECT_EQ(ParseJson<TypeParam>(text, little, take), TypeParam::parse(R"({"rows": []})"));
}

TEST(JsonReader, SaysWhetherTheTextBreaksOff) {
  const auto breaks_off = [](std::string_view text) {
    try {
      ParseJson<nlohmann::json>(text, JsonLimits{});
    } catch (const JsonError& error) {
      return error.breaks_off();
    }
    return false;
  };
  const std::string whole = R"({"a": [1, "text", 2.5, true]})";
  for (std::size_t cut = 0; cut < whole.size(); ++cut) EXPECT_TRUE(breaks_off(whole.substr(0, cut))) << cut;
  EXPECT_FALSE(breaks_off(whole));
  EXPECT_FALSE(breaks_off(R"({"a" 1})"));
  EXPECT_FALSE(breaks_off(R"({"a": tru})"));
}

}  // namespace
}  // namespace assay
