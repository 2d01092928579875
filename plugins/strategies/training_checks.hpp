#pragma once

#include "fedmpi/error.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/layout.hpp"

#include <string>

namespace fedmpi {

// UserError unless clients take plain gradient steps. `why`: what the strategy does with them.
inline void need_plain_sgd(const TrainingSettings& training, const char* strategy, const char* why) {
  if (training.optimizer != OptimizerKind::sgd || training.momentum != 0.0)
    throw UserError("the strategy '" + std::string(strategy) + "' " + why +
                    ": set training.optimizer = \"sgd\" and training.momentum = 0");
}

// UserError where a tensor has a learning rate of its own: the strategy's formula has one for all.
inline void need_one_learning_rate(const Layout& layout, const char* strategy) {
  for (std::size_t i = 0; i < layout.num_tensors(); ++i)
    if (layout.has_gradient(i) && layout.spec(i).learning_rate)
      throw UserError("the strategy '" + std::string(strategy) + "' needs one learning rate for all, but '" +
                      layout.spec(i).name + "' has its own: leave out model.head_learning_rate");
}

}  // namespace fedmpi
