#include "digested_tensor.hpp"

#include "fedmpi/digest.hpp"
#include "file_error.hpp"

#include <ATen/ATen.h>

namespace fedmpi {

void write_digested(Hdf5Writer& file, const std::string& name, const at::Tensor& tensor) {
  file.write(name, tensor);
  file.write_string(name, "digest", digest(tensor.to(at::kCPU).contiguous()));
}

at::Tensor read_digested(const Hdf5Reader& file, const std::string& name) {
  at::Tensor tensor = file.read(name);
  if (digest(tensor) != file.read_string(name, "digest"))
    throw file_error(file.path(), name + " does not match its digest: the file is damaged");
  return tensor;
}

}  // namespace fedmpi
