#include "fedmpi/error.hpp"
#include "fedmpi/model.hpp"
#include "fedmpi/one_thread.hpp"
#include "fedmpi/plugin.hpp"
#include "fedmpi/random.hpp"

#include <array>
#include <string>
#include <utility>

#include <ATen/ATen.h>

namespace {

// A linear classifier: softmax(x W^T + b) with the mean cross-entropy.
class MyModel final : public fedmpi::Model {
 public:
  explicit MyModel(const fedmpi::Options& options)
      : num_features_{options.get<std::int64_t>("num_features")},
        num_labels_{options.get<std::int64_t>("num_labels")},
        layout_{{{.name = "weight", .shape = {num_labels_, num_features_}, .kind = fedmpi::TensorKind::head},
                 {.name = "bias", .shape = {num_labels_}, .kind = fedmpi::TensorKind::head}}} {}

  const fedmpi::Layout& layout() const override { return layout_; }
  void set_layout(fedmpi::Layout layout) override { layout_ = std::move(layout); }
  std::int64_t num_labels() const override { return num_labels_; }

  void check(const fedmpi::Batch& batch) const override {
    if (!batch.features.defined() || batch.features.numel() != batch.labels.size(0) * num_features_)
      throw fedmpi::UserError("the model 'my_model' takes examples of " + std::to_string(num_features_) +
                              " numbers: set model.num_features, or choose another dataset");
  }

  void initialize(at::Tensor values, fedmpi::RandomKey key) override {
    values.zero_();
    const at::Tensor weight = layout_.view(values, 0);
    fedmpi::RandomStream random(key);
    for (std::int64_t i = 0; i < weight.numel(); ++i)
      weight.mutable_data_ptr<float>()[i] = static_cast<float>(0.01 * random.normal());
  }

  // The products are small: float32, whatever the precision.
  void bind(at::Tensor values, at::Tensor gradients, fedmpi::Precision) override {
    weight_ = layout_.view(values, 0);
    bias_ = layout_.view(values, 1);
    // Undefined where they are frozen.
    weight_gradient_ = layout_.gradient_view(gradients, 0);
    bias_gradient_ = layout_.gradient_view(gradients, 1);
  }

  // So a rank fits as many clients at the same time as it has threads, each with an object of this class.
  bool uses_one_thread() const override { return true; }

  fedmpi::BatchResult fit(const fedmpi::Batch& batch, fedmpi::RandomKey) override {
    const fedmpi::OneThread one_thread;
    const at::Tensor features = rows(batch), log_probabilities = forward(features);
    // Of the loss by the logits: (softmax - one hot) / n
    at::Tensor gradient = log_probabilities.exp();
    gradient.scatter_add_(1, batch.labels.unsqueeze(1), at::full({features.size(0), 1}, -1.0F));
    gradient.div_(features.size(0));
    if (weight_gradient_.defined()) weight_gradient_.copy_(at::mm(gradient.t(), features));
    if (bias_gradient_.defined()) bias_gradient_.copy_(gradient.sum(0));
    return score(log_probabilities, batch.labels);
  }

  fedmpi::BatchResult evaluate(const fedmpi::Batch& batch, at::Tensor predictions) override {
    const fedmpi::OneThread one_thread;
    const at::Tensor log_probabilities = forward(rows(batch));
    predictions.copy_(log_probabilities.argmax(1));
    return score(log_probabilities, batch.labels);
  }

 private:
  at::Tensor rows(const fedmpi::Batch& batch) const { return batch.features.reshape({-1, num_features_}); }

  at::Tensor forward(const at::Tensor& features) const {
    return at::addmm(bias_, features, weight_.t()).log_softmax(1);
  }

  static fedmpi::BatchResult score(const at::Tensor& log_probabilities, const at::Tensor& labels) {
    const at::Tensor of_truth = log_probabilities.gather(1, labels.unsqueeze(1)).to(at::kDouble);
    return {.loss_sum = -of_truth.sum().item<double>(), .num_examples = labels.size(0)};
  }

  std::int64_t num_features_, num_labels_;
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

FEDMPI_PLUGIN(Model, MyModel, "my_model", "1.0", "a linear classifier of dense features", options)
