#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/random.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace fedmpi {

// One way to write a vector of finite float32 in fewer bytes, and to read it back. The bytes are in the machine's own
// order and never leave the process: decode() takes what encode() gave and checks nothing. What a codec gives is a
// function of its arguments, whatever the number of threads. One thread at a time.
class FEDMPI_API UpdateCodec {
 public:
  virtual ~UpdateCodec();

  // Of a vector of `size` elements, whatever they are. Error when it can have no so many.
  virtual std::int64_t encoded_bytes(std::int64_t size) const = 0;
  // `bytes`: encoded_bytes(values.size()) of them, aligned for float; all are written. `key`: of what is drawn.
  virtual void encode(std::span<const float> values, RandomKey key, std::span<std::byte> bytes) const = 0;
  virtual void decode(std::span<const std::byte> bytes, std::span<float> values) const = 0;
};

// bfloat16, the upper half of a float32: 2 bytes an element, a relative error of at most 2^-8. Rounds to the nearest,
// ties to even; or up or down at random so that the mean over draws is the element.
enum class Rounding { nearest, stochastic };
FEDMPI_API std::unique_ptr<UpdateCodec> make_bf16_codec(Rounding rounding);

// Blocks of `block_size` elements, the last may be shorter: a float32 scale a block, its largest magnitude / 127, and a
// whole number of -127..127 an element, element / scale rounded up or down at random so that the mean over draws is the
// element, but for 2^-24 of a scale (Alistarh et al. 2017, "QSGD", with the largest magnitude in place of the L2 norm).
// Bytes: the scales, then the numbers.
FEDMPI_API std::unique_ptr<UpdateCodec> make_int8_codec(std::int64_t block_size);

// The round(fraction * size) elements of largest magnitude, at least one, of equal ones those that come first; the
// others are read back as 0 (Stich et al. 2018, "Sparsified SGD with memory"). Bytes: their indices, uint32 and
// ascending, then the elements as they are. Vectors of at most 2^32 elements.
FEDMPI_API std::unique_ptr<UpdateCodec> make_top_k_codec(double fraction);

}  // namespace fedmpi
