// Memory that Assay shares with a system's process. Rows of logits cross it in one copy into it and one out of it; the
// stream takes as many, and a switch between the processes for every piece that fits its buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace assay {

inline constexpr int kRowsDescriptor = 4;  // of the system's process

// So many floats, and where copies of them go.
struct RowsPart {
  std::vector<float>* to;
  std::size_t count;
  std::vector<float>* also = nullptr;  // a second copy
};

// A file in memory that can grow and cannot shrink, so that what is mapped stays there. Owns its descriptor.
class SharedRows {
 public:
  SharedRows();                         // an empty one, which closes on exec; throws Error
  explicit SharedRows(int descriptor);  // one that was inherited; throws InputError when it is no file
  ~SharedRows();
  SharedRows(const SharedRows&) = delete;
  SharedRows& operator=(const SharedRows&) = delete;

  int descriptor() const { return descriptor_; }
  // Where the system writes rows, `count` floats, until the next call. Throws OutOfMemory.
  float* Room(std::size_t count);
  // Puts `stamp` behind them, once they are there.
  void Stamp(std::size_t count, std::int64_t stamp);
  // Copies them out, part by part, as the other side may write at any time. Throws WireError when there are fewer, or
  // another stamp is behind them: they were not written for this answer.
  void Read(const std::vector<RowsPart>& parts, std::int64_t stamp);

 private:
  void Map(std::size_t bytes, int protection);

  int descriptor_;
  std::span<std::byte> mapped_;
};

}  // namespace assay
