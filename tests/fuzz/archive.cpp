// A tar archive (the target compresses it), or a tar.gz as it is: its reviews are read, or it is refused with a
// FileError.
#include "fedmpi/error.hpp"
#include "input_file.hpp"
#include "review_archive.hpp"

#include <array>

#include <zlib.h>

using namespace fedmpi;

namespace {

std::string gzipped(std::string_view bytes) {
  constexpr int gzip_window = MAX_WBITS + 16;
  z_stream stream{};
  require(deflateInit2(&stream, 1, Z_DEFLATED, gzip_window, MAX_MEM_LEVEL, Z_FIXED) == Z_OK, "zlib does not start");
  std::string result(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  require(deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib does not compress");
  result.resize(stream.total_out);
  deflateEnd(&stream);
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view all = text_of(bytes, size);
  const InputFile input(all.starts_with("\x1F\x8B") ? std::string(all) : gzipped(all));
  try {
    const auto source = open_reviews(input.path());
    for (Example review; source->next(review);) require(review.text.size() <= 1 << 20, "a review is too large");
  } catch (const FileError& error) {
    require(error.path == input.path(), "the error names another file");
  }
  return 0;
}
