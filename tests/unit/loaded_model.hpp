#pragma once

#include "fedmpi/model.hpp"
#include "fedmpi/plugin.hpp"

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>

namespace fedmpi {

// A built model plugin, as the program loads it, with its buffers.
struct LoadedModel {
  using Roles = std::function<TensorRole(const TensorSpec&)>;
  LoadedModel(const std::string& name, std::map<std::string, OptionValue> given, const Roles& roles = nullptr,
              std::uint64_t seed = 5, Precision precision = Precision::float32)
      : model(load(name, std::move(given))) {
    if (roles) model->set_layout(model->layout().with_roles(roles));
    values = at::zeros({model->layout().size()});
    gradients = at::zeros({model->layout().trainable_size()});
    model->bind(values, gradients, precision);
    model->initialize(values, random_key(seed, Purpose::initialise));
  }
  static std::unique_ptr<Model> load(const std::string& name, std::map<std::string, OptionValue> given) {
    const std::vector<std::filesystem::path> built{FEDMPI_BUILT_PLUGINS};
    const Plugin plugin = load_plugin("model", name, built);
    return make<Model>(plugin, Options(plugin.options(), std::move(given), "test"));
  }

  double fit(const Batch& batch, std::uint64_t step = 6) {
    return model->fit(batch, random_key(step, Purpose::dropout)).loss_sum / static_cast<double>(batch.labels.numel());
  }
  // The sum of the losses.
  double evaluate(const Batch& batch) {
    return model
        ->evaluate(batch, at::empty({batch.labels.numel()}, model->task() == Task::regression ? at::kFloat : at::kLong))
        .loss_sum;
  }
  at::Tensor value(const std::string& tensor) const {
    return model->layout().view(values, *model->layout().find(tensor));
  }
  at::Tensor gradient(const std::string& tensor) const {
    return model->layout().view(gradients, *model->layout().find(tensor));
  }

  std::unique_ptr<Model> model;
  at::Tensor values, gradients;
};

// Normal features [n, shape...] and labels.
inline Batch dense_batch(std::vector<std::int64_t> shape, std::int64_t num_labels) {
  RandomStream random(random_key(9, Purpose::synthetic));
  Batch batch{.features = at::empty(shape), .labels = at::empty({shape[0]}, at::kLong)};
  float* feature = batch.features.data_ptr<float>();
  for (std::int64_t i = 0; i < batch.features.numel(); ++i) feature[i] = static_cast<float>(random.normal());
  for (std::int64_t i = 0; i < shape[0]; ++i)
    batch.labels[i] = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(num_labels)));
  return batch;
}

template <class Work>
std::string refusal(const Work& work) {
  try {
    work();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace fedmpi
