#pragma once

#include "fedmpi/export.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/layout.hpp"
#include "fedmpi/strategy.hpp"

#include <memory>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// A local optimizer on the flat buffers: a step is one fused call for each run of tensors with one learning rate.
// Bits do not depend on the number of threads. One thread at a time.
class FEDMPI_API Optimizer {
 public:
  virtual ~Optimizer();
  // Forgets moments and step counts, as at the start of every client's fit.
  virtual void reset() = 0;
  // `factor` of the learning-rate schedule multiplies every run's learning rate. What is not `trained` stays.
  virtual void step(double factor, Trained trained = Trained::all) = 0;
};

// values and gradients: float32 [layout.trainable_size()] on one device, kept; statistics are left as they are. "sgd":
// SGD with (heavy-ball) momentum and L2 weight decay as in PyTorch's torch.optim.SGD. "adamw": Loshchilov & Hutter
// 2019, algorithm 2, as torch.optim.AdamW.
FEDMPI_API std::unique_ptr<Optimizer> make_optimizer(const TrainingSettings& settings, const Layout& layout,
                                                     at::Tensor values, at::Tensor gradients);

// The factor at `progress` in [0, 1] of the whole run: linear warm-up over the first `warmup_fraction`, then constant,
// or falling to 0 along a line or half a cosine.
FEDMPI_API double schedule_factor(const TrainingSettings& settings, double progress);

// The L2 norm. On the CPU the sum of squares is taken in fixed blocks: its bits do not depend on the number of threads.
FEDMPI_API double l2_norm(const at::Tensor& vector);

// Scales gradients so that their L2 norm is at most `max_norm` (torch.nn.utils.clip_grad_norm_). Returns the norm
// before.
FEDMPI_API double clip_gradient_norm(at::Tensor gradients, double max_norm);

}  // namespace fedmpi
