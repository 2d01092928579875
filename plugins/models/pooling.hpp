#pragma once

#include <ATen/core/Tensor.h>

namespace fedmpi {

// relu(max_pool2d(images, 2)) as float32 [n, c, h / 2, w / 2], contiguous: images [n, c, h, w] in channels last,
// float32 or bf16. Forward and backward pass over the images once, where one operator after the other would five times.
at::Tensor pooled_relu(const at::Tensor& images);

}  // namespace fedmpi
