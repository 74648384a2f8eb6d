#include "reports/format/gzip.h"

#include <fmt/core.h>
#include <zlib.h>

#include <utility>

#include "reports/format/report.h"

namespace assay {
namespace {

constexpr int kGzip = 16 + MAX_WBITS;  // tells zlib that the header is gzip's
constexpr std::size_t kBlock = 1 << 16;

void SetInput(std::string_view bytes, z_stream* stream) {
  // zlib does not write to its input.
  stream->next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
  stream->avail_in = static_cast<uInt>(bytes.size());
}

// `step` until it leaves room in its output: it has given all it can.
template <class Step>
int Run(z_stream* stream, const PieceTaker& write, Step step) {
  std::string block(kBlock, '\0');
  int result = Z_OK;
  do {
    stream->next_out = reinterpret_cast<Bytef*>(block.data());
    stream->avail_out = static_cast<uInt>(block.size());
    result = step();
    write(std::string_view(block).substr(0, block.size() - stream->avail_out));
  } while (result == Z_OK && stream->avail_out == 0);
  return result;
}

}  // namespace

bool IsGzipPath(std::string_view path) { return path.ends_with(".gz"); }

struct Compressor::Stream {
  z_stream z{};
  gz_header header{};
  Stream() {
    if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, kGzip, 9, Z_DEFAULT_STRATEGY) != Z_OK)
      throw ReportError("cannot compress: zlib refused to begin");
    header.os = 255;  // unknown, so that the bytes do not say where they were made
    deflateSetHeader(&z, &header);
  }
  ~Stream() { deflateEnd(&z); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
};

Compressor::Compressor(PieceTaker write) : write_(std::move(write)), stream_(std::make_unique<Stream>()) {}
Compressor::~Compressor() = default;

// What zlib finds may depend on where its input is cut, so that is always at the same places.
void Compressor::Add(std::string_view piece) {
  while (pending_.size() + piece.size() >= kBlock) {
    const std::size_t fits = kBlock - pending_.size();
    pending_ += piece.substr(0, fits);
    piece.remove_prefix(fits);
    Deflate(pending_, Z_NO_FLUSH);
    pending_.clear();
  }
  pending_ += piece;
}

void Compressor::End() { Deflate(pending_, Z_FINISH); }

void Compressor::Deflate(std::string_view piece, int flush) {
  SetInput(piece, &stream_->z);
  const int result = Run(&stream_->z, write_, [&] { return deflate(&stream_->z, flush); });
  // Without anything left to do it has no room to make use of.
  const bool done = flush == Z_FINISH ? result == Z_STREAM_END : result == Z_OK || result == Z_BUF_ERROR;
  if (!done) throw ReportError(fmt::format("cannot compress: zlib returned {}", result));
}

struct Decompressor::Stream {
  z_stream z{};
  int result = Z_OK;
  bool more = false;  // bytes behind the end
  Stream() {
    if (inflateInit2(&z, kGzip) != Z_OK) throw ReportError("cannot decompress: zlib refused to begin");
  }
  ~Stream() { inflateEnd(&z); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
};

Decompressor::Decompressor(std::string path, PieceTaker write)
    : path_(std::move(path)), write_(std::move(write)), stream_(std::make_unique<Stream>()) {}
Decompressor::~Decompressor() = default;

void Decompressor::Add(std::string_view bytes) {
  int& result = stream_->result;
  if (result == Z_OK || result == Z_BUF_ERROR) {
    SetInput(bytes, &stream_->z);
    result = Run(&stream_->z, write_, [&] { return inflate(&stream_->z, Z_NO_FLUSH); });
    bytes = bytes.substr(bytes.size() - stream_->z.avail_in);
  }
  stream_->more |= !bytes.empty();
}

void Decompressor::End() {
  if (stream_->result != Z_STREAM_END || stream_->more)
    throw ReportError(fmt::format("cannot read {}: not one whole gzip file", path_));
}

std::string Compressed(std::string_view text) {
  std::string bytes;
  Compressor compressor([&](std::string_view piece) { bytes += piece; });
  compressor.Add(text);
  compressor.End();
  return bytes;
}

}  // namespace assay
