#include "fedmpi/error.hpp"
#include "fedmpi/model.hpp"
#include "fedmpi/one_thread.hpp"
#include "fedmpi/plugin.hpp"
#include "outputs.hpp"

#include <array>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace {

using fedmpi::Batch;
using fedmpi::BatchResult;
using fedmpi::TensorKind;

// Multinomial logistic regression on dense features: softmax(x W^T + b) with the mean cross-entropy.
class Logistic final : public fedmpi::Model {
 public:
  explicit Logistic(const fedmpi::Options& options)
      : num_features_{options.get<std::int64_t>("num_features")},
        num_labels_{options.get<std::int64_t>("num_labels")},
        layout_{{{.name = "weight", .shape = {num_labels_, num_features_}, .kind = TensorKind::head},
                 {.name = "bias", .shape = {num_labels_}, .kind = TensorKind::head}}} {}

  const fedmpi::Layout& layout() const override { return layout_; }
  void set_layout(fedmpi::Layout layout) override { layout_ = std::move(layout); }
  bool uses_one_thread() const override { return true; }
  std::int64_t num_labels() const override { return num_labels_; }

  void check(const Batch& batch) const override { flat_features(batch); }

  // All zero: the problem is convex.
  void initialize(at::Tensor values, fedmpi::RandomKey) override { values.zero_(); }

  // The products are small enough in float32 for either precision.
  void bind(at::Tensor values, at::Tensor gradients, fedmpi::Precision) override {
    weight_ = layout_.view(values, 0);
    bias_ = layout_.view(values, 1);
    weight_gradient_ = layout_.gradient_view(gradients, 0);
    bias_gradient_ = layout_.gradient_view(gradients, 1);
  }

  BatchResult fit(const Batch& batch, fedmpi::RandomKey) override {
    const fedmpi::OneThread one_thread;
    const at::Tensor features = flat_features(batch);
    at::Tensor log_probabilities = forward(features);
    const BatchResult result = fedmpi::score_log_probabilities(log_probabilities, batch.labels);
    // d loss / d logits = (softmax - one hot) / n
    at::Tensor gradient = log_probabilities.exp_();
    gradient.scatter_add_(1, batch.labels.unsqueeze(1), at::full({features.size(0), 1}, -1.0F));
    gradient.div_(static_cast<double>(features.size(0)));
    set_gradients(gradient.contiguous(), features);
    return result;
  }

  BatchResult evaluate(const Batch& batch, at::Tensor predictions) override {
    const fedmpi::OneThread one_thread;
    const at::Tensor log_probabilities = forward(flat_features(batch));
    predictions.copy_(log_probabilities.argmax(1));
    return fedmpi::score_log_probabilities(log_probabilities, batch.labels);
  }

 private:
  at::Tensor flat_features(const Batch& batch) const {
    if (!batch.features.defined())
      throw fedmpi::UserError("the model 'logistic' needs a dataset with features: choose one in [data]");
    at::Tensor features = batch.features.flatten(1).contiguous();
    if (features.size(1) != num_features_)
      throw fedmpi::UserError(
          fmt::format("the model 'logistic' is made for {} features, but the dataset has {}: set "
                      "model.num_features = {}",
                      num_features_, features.size(1), features.size(1)));
    return features;
  }

  at::Tensor forward(const at::Tensor& features) const {
    // A library's product takes its sums in another order with another number of threads.
    const std::int64_t rows = features.size(0);
    at::Tensor logits = at::empty({rows, num_labels_}, at::kFloat);
    const float *in = features.const_data_ptr<float>(), *weight = weight_.const_data_ptr<float>(),
                *bias = bias_.const_data_ptr<float>();
    float* out = logits.data_ptr<float>();
    for (std::int64_t row = 0; row < rows; ++row)
      for (std::int64_t label = 0; label < num_labels_; ++label) {
        float sum = bias[label];
        for (std::int64_t i = 0; i < num_features_; ++i)
          sum += in[row * num_features_ + i] * weight[label * num_features_ + i];
        out[row * num_labels_ + label] = sum;
      }
    return logits.log_softmax(1);
  }

  void set_gradients(const at::Tensor& gradient, const at::Tensor& features) {
    const float *change = gradient.const_data_ptr<float>(), *in = features.const_data_ptr<float>();
    // Where they are frozen there are none.
    for (const at::Tensor& sum : {weight_gradient_, bias_gradient_})
      if (sum.defined()) sum.zero_();
    float* weight = weight_gradient_.defined() ? weight_gradient_.data_ptr<float>() : nullptr;
    float* bias = bias_gradient_.defined() ? bias_gradient_.data_ptr<float>() : nullptr;
    for (std::int64_t row = 0; row < features.size(0); ++row)
      for (std::int64_t label = 0; label < num_labels_; ++label) {
        const float factor = change[row * num_labels_ + label];
        if (bias != nullptr) bias[label] += factor;
        for (std::int64_t i = 0; weight != nullptr && i < num_features_; ++i)
          weight[label * num_features_ + i] += factor * in[row * num_features_ + i];
      }
  }

  std::int64_t num_features_;
  std::int64_t num_labels_;
  fedmpi::Layout layout_;
  at::Tensor weight_, bias_, weight_gradient_, bias_gradient_;
};

constexpr std::array options{
    fedmpi::OptionSpec{.name = "num_features",
                       .type = fedmpi::OptionType::integer,
                       .default_value = "20",
                       .help = "numbers in an example",
                       .minimum = 1,
                       .maximum = 1e9},
    fedmpi::OptionSpec{.name = "num_labels",
                       .type = fedmpi::OptionType::integer,
                       .default_value = "2",
                       .help = "classes to tell apart",
                       .minimum = 2,
                       .maximum = 1e6},
};

}  // namespace

FEDMPI_PLUGIN(Model, Logistic, "logistic", "1.0", "multinomial logistic regression on dense features", options)
