#include "autograd_model.hpp"
#include "fedmpi/error.hpp"
#include "fedmpi/plugin.hpp"
#include "pooling.hpp"

#include <array>

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace {

using fedmpi::RandomKey;
using fedmpi::TensorKind;

constexpr std::int64_t kernel = 3, hidden_width = 128;

std::vector<std::int64_t> image_shape(const fedmpi::Options& options) {
  const auto& shape = options.get<std::vector<std::int64_t>>("input_shape");
  if (shape.size() != 3 || shape[1] < 2 * kernel || shape[2] < 2 * kernel)
    throw fedmpi::UserError(
        fmt::format("model.input_shape is [{}], but the model 'cnn' needs [channels, height, width], "
                    "the latter at least {}",
                    fmt::join(shape, ", "), 2 * kernel));
  return shape;
}

fedmpi::Layout layout_of(const std::vector<std::int64_t>& image, std::int64_t num_labels) {
  // Each convolution takes a margin of one, the pooling halves what is left.
  const std::int64_t height = (image[1] - 4) / 2, width = (image[2] - 4) / 2;
  return fedmpi::Layout({
      {.name = "first.weight", .shape = {32, image[0], kernel, kernel}},
      {.name = "first.bias", .shape = {32}},
      {.name = "second.weight", .shape = {64, 32, kernel, kernel}},
      {.name = "second.bias", .shape = {64}},
      {.name = "hidden.weight", .shape = {hidden_width, 64 * height * width}},
      {.name = "hidden.bias", .shape = {hidden_width}},
      {.name = "out.weight", .shape = {num_labels, hidden_width}, .kind = TensorKind::head},
      {.name = "out.bias", .shape = {num_labels}, .kind = TensorKind::head},
  });
}

// Whether LibTorch has convolutions in bf16 that are made for this processor: the others take ten times as long as
// those in float32.
bool library_has_bf16() {
  static const bool found = [] {
    const auto op = c10::Dispatcher::singleton().findSchema({"mkldnn::_is_mkldnn_bf16_supported", ""});
    return op && op->typed<bool()>().call();
  }();
  return found;
}

// The network of pfl-research's CIFAR-10 benchmark (Granqvist et al. 2024): two convolutions, pooling, one hidden
// layer. Weights are Xavier-uniform, biases as torch.nn's.
class Cnn final : public fedmpi::AutogradModel {
 public:
  explicit Cnn(const fedmpi::Options& options)
      : AutogradModel("cnn", "input_shape", image_shape(options), options.get<std::int64_t>("num_labels"),
                      layout_of(image_shape(options), options.get<std::int64_t>("num_labels"))),
        dropout_{options.get<double>("dropout")},
        hidden_dropout_{options.get<double>("hidden_dropout")} {}

  void initialize(at::Tensor values, RandomKey key) override {
    values.zero_();
    for (std::size_t i = 0; i < layout().num_tensors(); ++i) {
      const auto& weight_shape = layout().spec(i / 2 * 2).shape;
      const double bound = i % 2 == 0 ? fedmpi::xavier_bound(weight_shape) : fedmpi::default_bound(weight_shape);
      fill_uniform(layout().view(values, i), bound, derive(key, i));
    }
  }

 private:
  at::Tensor forward(const at::Tensor& images, std::optional<RandomKey> dropout) const override {
    // Pooling before the activation is the same with a quarter of the numbers.
    at::Tensor out = fedmpi::pooled_relu(convolved(convolved(images, 0).relu_(), 2));
    if (dropout) out = fedmpi::dropped(out, dropout_, derive(*dropout, 0));
    out = linear(out.flatten(1), 4).relu();
    if (dropout) out = fedmpi::dropped(out, hidden_dropout_, derive(*dropout, 1));
    return linear(out, 6);
  }

  // With the weight `index` and the bias after it, in the precision asked for where the processor has it. The channels
  // of a pixel lie side by side, as the library's kernels want them: else each call would rearrange all three tensors.
  at::Tensor convolved(const at::Tensor& in, std::size_t index) const {
    const bool has_bf16 = !in.is_cpu() || library_has_bf16();
    const at::ScalarType dtype = precision() == fedmpi::Precision::bf16 && has_bf16 ? at::kBFloat16 : at::kFloat;
    const auto cast = [&](const at::Tensor& tensor) {
      return tensor.to(dtype, /*non_blocking=*/false, /*copy=*/false, at::MemoryFormat::ChannelsLast);
    };
    return at::conv2d(cast(in), cast(parameter(index)), parameter(index + 1).to(dtype));
  }

  double dropout_, hidden_dropout_;
};

using fedmpi::OptionType;
constexpr std::array options{
    fedmpi::OptionSpec{"input_shape", OptionType::integers, "3,32,32", "channels, height and width of an image", 1,
                       1e6},
    fedmpi::OptionSpec{"num_labels", OptionType::integer, "10", "classes to tell apart; 1: predicts a number", 1, 1e6},
    fedmpi::OptionSpec{"dropout", OptionType::number, "0.25", "after the pooling", 0.0, 0.99},
    fedmpi::OptionSpec{"hidden_dropout", OptionType::number, "0.5", "after the hidden layer", 0.0, 0.99},
};

}  // namespace

FEDMPI_PLUGIN(Model, Cnn, "cnn", "1.0", "two convolutions and a hidden layer on images", options)
