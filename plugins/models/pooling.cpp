#include "pooling.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <type_traits>
#include <vector>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace fedmpi {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What holds the bits of an image's element, and as wide the number of the pixel that was chosen: the compiler then
// works on many at a time.
template <class T>
using Bits = std::conditional_t<sizeof(T) == 2, std::uint16_t, std::uint32_t>;
constexpr std::uint32_t none = 4;  // no pixel of a window is positive

// Where the windows of images in channels last lie, and their maxima in contiguous tensors.
struct Windows {
  explicit Windows(const at::Tensor& images)
      : count{images.size(0)}, channels{images.size(1)}, height{images.size(2)}, width{images.size(3)} {}

  // work(first element of the window's first pixel, first channel's element of its maximum)
  template <class Work>
  void for_each(const Work& work) const {
    for (std::int64_t image = 0; image < count; ++image)
      for (std::int64_t y = 0; y < height / 2; ++y)
        for (std::int64_t x = 0; x < width / 2; ++x)
          work(((image * height + 2 * y) * width + 2 * x) * channels, image * channels * size() + y * (width / 2) + x);
  }
  // The pixels of a window, from its first on.
  std::array<std::int64_t, 4> pixels() const { return {0, channels, width * channels, (width + 1) * channels}; }
  std::int64_t size() const { return (height / 2) * (width / 2); }

  std::int64_t count, channels, height, width;
};

template <class T>
void pool(const Windows& windows, const T* images, float* maxima, Bits<T>* chosen) {
  const std::array pixels = windows.pixels();
  std::vector<float> best(static_cast<std::size_t>(windows.channels));
  windows.for_each([&](std::int64_t first, std::int64_t out) {
    float* own = best.data();
    for (std::int64_t c = 0; c < windows.channels; ++c) {
      float largest = 0.0F;
      std::uint32_t which = none;
      for (std::uint32_t pixel = 0; pixel < 4; ++pixel) {
        const auto value = static_cast<float>(images[first + pixels[pixel] + c]);
        const bool is_larger = (value > largest) | (value != value);  // a NaN stays
        largest = is_larger ? value : largest;
        which = is_larger ? pixel : which;
      }
      own[c] = largest;
      chosen[c] = static_cast<Bits<T>>(which);
    }
    for (std::int64_t c = 0; c < windows.channels; ++c) maxima[out + c * windows.size()] = own[c];
    chosen += windows.channels;
  });
}

template <class T>
void pool_back(const Windows& windows, const float* gradients, const Bits<T>* chosen, T* images) {
  const std::array pixels = windows.pixels();
  std::vector<Bits<T>> of_window(static_cast<std::size_t>(windows.channels));
  windows.for_each([&](std::int64_t first, std::int64_t out) {
    Bits<T>* own = of_window.data();
    for (std::int64_t c = 0; c < windows.channels; ++c)
      own[c] = std::bit_cast<Bits<T>>(static_cast<T>(gradients[out + c * windows.size()]));
    for (Bits<T> pixel = 0; pixel < none; ++pixel) {
      auto* of_pixel = reinterpret_cast<Bits<T>*>(images + first + pixels[pixel]);
      for (std::int64_t c = 0; c < windows.channels; ++c) {
        const auto is_chosen = static_cast<Bits<T>>(-static_cast<int>(chosen[c] == pixel));
        of_pixel[c] = static_cast<Bits<T>>(own[c] & is_chosen);
      }
    }
    chosen += windows.channels;
  });
}

template <class T>
class PooledRelu final : public torch::autograd::Function<PooledRelu<T>> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& images) {
    const Windows windows(images);
    const at::Tensor maxima = at::empty({windows.count, windows.channels, windows.height / 2, windows.width / 2});
    const at::Tensor chosen = at::empty({windows.count, windows.size(), windows.channels}, chosen_type);
    pool(windows, images.const_data_ptr<T>(), maxima.mutable_data_ptr<float>(),
         static_cast<Bits<T>*>(chosen.mutable_data_ptr()));
    context->save_for_backward({chosen});
    context->saved_data["shape"] = images.sizes().vec();
    return maxima;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor chosen = context->get_saved_variables()[0], of_maxima = gradients[0].contiguous();
    const at::Tensor of_images =
        at::empty(context->saved_data["shape"].toIntVector(), at::TensorOptions(c10::CppTypeToScalarType<T>::value),
                  at::MemoryFormat::ChannelsLast);
    const Windows windows(of_images);
    // Of an odd height or width the last pixels are in no window.
    if (windows.height % 2 != 0 || windows.width % 2 != 0) of_images.zero_();
    pool_back(windows, of_maxima.const_data_ptr<float>(), static_cast<const Bits<T>*>(chosen.const_data_ptr()),
              of_images.mutable_data_ptr<T>());
    return {of_images};
  }

 private:
  static constexpr at::ScalarType chosen_type = sizeof(T) == 2 ? at::kShort : at::kInt;
};

}  // namespace

at::Tensor pooled_relu(const at::Tensor& images) {
  if (!images.is_cpu()) return at::max_pool2d(images, {2, 2}).to(at::kFloat).relu().contiguous();
  const at::Tensor channels_last = images.contiguous(at::MemoryFormat::ChannelsLast);
  return images.scalar_type() == at::kBFloat16 ? PooledRelu<at::BFloat16>::apply(channels_last)
                                               : PooledRelu<float>::apply(channels_last);
}

}  // namespace fedmpi
