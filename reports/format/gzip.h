// Text in gzip's format, the same bytes for the same text.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace assay {

using PieceTaker = std::function<void(std::string_view)>;

bool IsGzipPath(std::string_view path);  // ends in ".gz"

// Compresses a text that comes in pieces, however it is cut into them. Without a time or a name in its header.
class Compressor {
 public:
  explicit Compressor(PieceTaker write);
  ~Compressor();
  void Add(std::string_view piece);
  void End();

 private:
  struct Stream;
  void Deflate(std::string_view piece, int flush);
  const PieceTaker write_;
  std::unique_ptr<Stream> stream_;
  std::string pending_;
};

// Decompresses bytes that come in pieces. Throws ReportError naming `path` for bytes that are not one whole gzip file.
class Decompressor {
 public:
  Decompressor(std::string path, PieceTaker write);
  ~Decompressor();
  void Add(std::string_view bytes);
  void End();

 private:
  struct Stream;
  const std::string path_;
  const PieceTaker write_;
  std::unique_ptr<Stream> stream_;
};

std::string Compressed(std::string_view text);

}  // namespace assay
