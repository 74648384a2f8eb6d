// The safetensors reader: what it reads, and each of the format's rules by a file that breaks it.
#include "engine/weights/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>

#include "engine/testing/checkpoint_files.h"
#include "engine/testing/complaint.h"

namespace assay {
namespace {

bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(InputFileTest, RefusesWhatIsNoFile) {
  const ScratchFolder folder;
  EXPECT_TRUE(Contains(Complaint([&] { InputFile::Open(folder.path() + "/absent"); }), "cannot open"));
  EXPECT_TRUE(Contains(Complaint([&] { InputFile::Open(folder.path()); }), "found a folder"));
  EXPECT_TRUE(Contains(Complaint([&] { InputFile::Open(folder.Put("empty", "")); }), "empty"));
  EXPECT_TRUE(Contains(Complaint([&] { InputFile::Open("/dev/zero"); }), "regular file"));
}

TEST(InputFileTest, SeesAFileThatShrinksOrIsRewritten) {
  const ScratchFolder folder;
  const std::string path = folder.Put("f", std::string(100000, 'x'));
  const auto file = InputFile::Open(path);
  EXPECT_NE(file->ReadBlock(0, 100000, "all"), nullptr);
  EXPECT_TRUE(Contains(Complaint([&] { file->ReadBlock(99999, 2, "tensor 'a'"); }), "tensor 'a'"));
  EXPECT_TRUE(Contains(Complaint([&] { file->ReadBlock(1, ~std::size_t{0}, "t"); }), "beyond"));
  ASSERT_EQ(::truncate(path.c_str(), 5000), 0);
  EXPECT_TRUE(Contains(Complaint([&] { file->ReadBlock(0, 100000, "tensor 'a'"); }), "shrank"));
  EXPECT_TRUE(Contains(Complaint([&] { file->ReadBlock(0, 10, "tensor 'a'"); }), "changed while open"));
  std::ofstream(path, std::ios::binary) << std::string(100000, 'y');
  // The clock of a file system may tick too slowly to tell the two writings apart.
  std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) + std::chrono::seconds(2));
  EXPECT_TRUE(Contains(Complaint([&] { file->ReadBlock(0, 10, "tensor 'a'"); }), "rewritten"));
}

TEST(Safetensors, ReadsNamesTypesShapesAndBytes) {
  const ScratchFolder folder;
  // Listed out of order, padded with spaces, one scalar and one empty tensor.
  const std::string header =
      R"({"b":{"dtype":"F32","shape":[],"data_offsets":[4,8]},"__metadata__":{"format":"pt"},)"
      R"("a":{"dtype":"I16","shape":[1,2],"data_offsets":[0,4]},"e":{"dtype":"BF16","shape":[0,3],"data_offsets":[8,8]}}   )";
  const SafetensorsFile file(folder.Put("x.safetensors", SafetensorsBytes(header, "abcdEFGH")));
  ASSERT_EQ(file.entries().size(), 3u);
  const SafetensorsEntry* b = file.Find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->type, DType::kF32);
  EXPECT_TRUE(b->shape.empty());
  EXPECT_EQ(b->bytes, 4u);
  const auto bytes = file.file().ReadBlock(b->offset, 4, "b");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.get()), 4), "EFGH");
  const SafetensorsEntry* a = file.Find("a");
  ASSERT_NE(a, nullptr);
  EXPECT_FALSE(a->type.has_value());
  EXPECT_EQ(a->type_name, "I16");
  EXPECT_EQ(a->shape, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(file.Find("c"), nullptr);
}

TEST(Safetensors, RefusesEveryBrokenRule) {
  struct Row {
    const char* header;
    std::size_t data;
    const char* expected;
  };
  const ScratchFolder folder;
  const std::vector<Row> rows = {
      {R"( {"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "does not begin with '{'"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]})", 4, "not valid JSON"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}x)", 4, "not valid JSON"},
      {"{\"a\xff\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "not valid JSON"},
      {R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", 4, "unknown type 'F31'"},
      {R"({"a":{"dtype":3,"shape":[1],"data_offsets":[0,4]}})", 4, "tensor 'a': dtype: unexpected a number"},
      {R"({"a":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}})", 4, "unexpected an array"},
      {R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", 4, "shape: unexpected a number"},
      {R"({"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}})", 4, "shape: unexpected a string"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "negative number -1"},
      {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4, "expected an integer"},
      {R"({"a":{"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,4]}})", 4, "beyond 2^53"},
      {R"({"a":{"dtype":"F32","shape":[99999999999999999999999],"data_offsets":[0,4]}})", 4, "expected an integer"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,4]}})", 4, "overflows"},
      {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", 4, "more than 8 dimensions"},
      {R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", 4, "unexpected an array"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "needs 8 bytes, data_offsets give 4"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "before they begin"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", 4, "found more"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, "two data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[1]}})", 4, "needs dtype"},
      {R"({"a":{}})", 0, "needs dtype"},
      {R"({"a":null})", 0, "unexpected null"},
      {R"({"a":[1]})", 0, "unexpected an array"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":{"b":0}}})", 4, "unexpected an object"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}})", 4, "unknown key 'more'"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "appears twice"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       8, "tensor 'a' appears twice"},
      {R"({"__metadata__":{"k":"v","k":"w"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
       "appears twice"},
      {R"({"__metadata__":{},"__metadata__":{},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
       "appears twice"},
      {R"({"__metadata__":{"k":1},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
       "'__metadata__': unexpected a number"},
      {R"({"__metadata__":"x","a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "unexpected a string"},
      {R"({"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "name has 0 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "expected 0 (no gaps"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       8, "no overlap"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4, "the file at"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5, "the tensors end at byte"},
      {R"({"a":{"dtype":"F6_E2M3","shape":[1],"data_offsets":[0,1]}})", 1, "needs 0 bytes"},
  };
  for (const Row& row : rows) {
    const std::string path = folder.Put("x.safetensors", SafetensorsBytes(row.header, std::string(row.data, '\0')));
    const std::string complaint = Complaint([&] { SafetensorsFile file(path); });
    EXPECT_TRUE(Contains(complaint, row.expected)) << row.header << "\n -> " << complaint;
    EXPECT_TRUE(complaint.starts_with(path)) << complaint;
    EXPECT_LT(complaint.size(), 600u);
    for (const char c : complaint) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << complaint;
  }
}

TEST(Safetensors, RefusesImpossibleHeaderLengths) {
  const ScratchFolder folder;
  const auto complain = [&](std::string bytes) {
    const std::string path = folder.Put("x.safetensors", bytes);
    return Complaint([&] { SafetensorsFile file(path); });
  };
  EXPECT_TRUE(Contains(complain("1234567"), "too few"));
  EXPECT_TRUE(Contains(complain(std::string(8, '\xff') + "{}xx"), "beyond the format's limit"));
  EXPECT_TRUE(Contains(complain(std::string("\x10\0\0\0\0\0\0\0{}", 10)), "does not fit"));
  EXPECT_TRUE(Contains(complain(std::string("\x01\0\0\0\0\0\0\0{}", 10)), "does not fit"));
  EXPECT_TRUE(Contains(complain(std::string("\x00\0\0\0\0\0\0\0{}", 10)), "does not fit"));
}

// A hundred thousand opening brackets: refused at the first one that has no place, without recursion.
TEST(Safetensors, RefusesDepthBombs) {
  const ScratchFolder folder;
  const std::string path =
      folder.Put("x.safetensors", SafetensorsBytes("{\"a\":{\"shape\":" + std::string(100000, '['), std::string()));
  EXPECT_TRUE(Contains(Complaint([&] { SafetensorsFile file(path); }), "unexpected an array"));
}

TEST(Safetensors, ATensorOfNothingMayLieBetweenOthers) {
  const ScratchFolder folder;
  const std::string header =
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"e":{"dtype":"F32","shape":[0],"data_offsets":[4,4]},)"
      R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})";
  EXPECT_NO_THROW(SafetensorsFile(folder.Put("x.safetensors", SafetensorsBytes(header, "abcdEFGH"))));
}

}  // namespace
}  // namespace assay
