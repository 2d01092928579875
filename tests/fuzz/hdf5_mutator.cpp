// Nearly every mutation would be refused for a checksum and nothing else: this mutator makes them right again.
#include "hdf5_checksums.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* bytes, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* bytes, std::size_t size, std::size_t max_size, unsigned) {
  const fedmpi::Hdf5Checksums checksums(bytes, size);
  const std::size_t mutated = LLVMFuzzerMutate(bytes, size, max_size);
  if (mutated == size) checksums.repair(bytes);
  return mutated;
}
