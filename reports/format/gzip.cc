#include "reports/format/gzip.h"

#include <fmt/core.h>
#include <zlib.h>

#include "reports/format/report.h"

namespace assay {
namespace {

constexpr int kGzip = 16 + MAX_WBITS;  // tells zlib that the header is gzip's

Bytef* BytesOf(std::string_view text) {
  return const_cast<Bytef*>(reinterpret_cast<const Bytef*>(text.data()));  // zlib does not write to its input
}

}  // namespace

bool IsGzipPath(std::string_view path) { return path.ends_with(".gz"); }

std::string Compressed(std::string_view text) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, kGzip, 9, Z_DEFAULT_STRATEGY) != Z_OK)
    throw ReportError("cannot compress: zlib refused to begin");
  gz_header header{};
  header.os = 255;  // unknown, so that the bytes do not say where they were made
  deflateSetHeader(&stream, &header);
  std::string bytes(deflateBound(&stream, text.size()), '\0');
  stream.next_in = BytesOf(text);
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = BytesOf(bytes);
  stream.avail_out = static_cast<uInt>(bytes.size());
  const int result = deflate(&stream, Z_FINISH);
  bytes.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw ReportError(fmt::format("cannot compress: zlib returned {}", result));
  return bytes;
}

std::string Decompressed(std::string_view bytes, const std::string& path) {
  z_stream stream{};
  if (inflateInit2(&stream, kGzip) != Z_OK) throw ReportError("cannot decompress: zlib refused to begin");
  stream.next_in = BytesOf(bytes);
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string text, block(1 << 16, '\0');
  int result = Z_OK;
  while (result == Z_OK && text.size() <= kLargestReport) {
    stream.next_out = BytesOf(block);
    stream.avail_out = static_cast<uInt>(block.size());
    result = inflate(&stream, Z_NO_FLUSH);
    text.append(block, 0, block.size() - stream.avail_out);
  }
  const bool whole = result == Z_STREAM_END && stream.avail_in == 0;
  inflateEnd(&stream);
  if (text.size() > kLargestReport) throw ReportError(fmt::format("cannot read {}: more than 1 GiB of text", path));
  if (!whole) throw ReportError(fmt::format("cannot read {}: not one whole gzip file", path));
  return text;
}

}  // namespace assay
