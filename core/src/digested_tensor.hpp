#pragma once

#include "fedmpi/hdf5_file.hpp"

#include <string>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// A dataset with the digest of its content as its attribute `digest`. read_digested throws a FileError where they do
// not match.
void write_digested(Hdf5Writer& file, const std::string& name, const at::Tensor& tensor);
at::Tensor read_digested(const Hdf5Reader& file, const std::string& name);

}  // namespace fedmpi
