#include "products.hpp"

#include "fedmpi/random.hpp"
#include "stored_numbers.hpp"

#include <cmath>
#include <cstring>
#include <tuple>
#include <vector>

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

// Small whole numbers, whose products and sums are exact in any order.
template <class T>
std::vector<T> whole_numbers(std::uint64_t seed, std::int64_t size) {
  RandomStream random(random_key(seed, Purpose::synthetic));
  std::vector<T> numbers(static_cast<std::size_t>(size));
  for (T& number : numbers) number = stored<T>(static_cast<float>(random.below(5)) - 2.0F);
  return numbers;
}

class Threads {
 public:
  explicit Threads(int number) : before_{at::get_num_threads()} { at::set_num_threads(number); }
  ~Threads() { at::set_num_threads(before_); }

 private:
  int before_;
};

template <class T>
class ProductsOf : public testing::Test {};
using Types = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(ProductsOf, Types);

// Few rows and several tiles of them; more outputs than inputs and fewer, in one block of a gradient and in several.
TYPED_TEST(ProductsOf, ALinearLayerAndItsGradients) {
  using T = TypeParam;
  for (const int threads : {1, 3}) {
    const Threads set(threads);
    Products<T> products;
    for (const auto& [rows, out_width, in_width] : {std::tuple<std::int64_t, std::int64_t, std::int64_t>{3, 32, 64},
                                                    {70, 416, 80},
                                                    {530, 96, 224},
                                                    {50, 6, 30}}) {
      SCOPED_TRACE(testing::Message() << threads << " threads, " << rows << " rows, " << out_width << " x "
                                      << in_width);
      const auto in = whole_numbers<T>(1, rows * in_width), weight = whole_numbers<T>(2, out_width * in_width),
                 gradient = whole_numbers<T>(3, rows * out_width);
      std::vector<T> out(static_cast<std::size_t>(rows * out_width)), back(static_cast<std::size_t>(rows * in_width));
      std::vector<float> sum(static_cast<std::size_t>(out_width * in_width), 1.0F);
      products.multiply(in.data(), rows, weight.data(), out_width, in_width, out.data());
      products.multiply_back(gradient.data(), rows, weight.data(), out_width, in_width, back.data());
      products.add_weight_gradient(gradient.data(), rows, in.data(), out_width, in_width, sum.data());
      const auto at = [](const std::vector<T>& values, std::int64_t i) {
        return to_float(values[static_cast<std::size_t>(i)]);
      };
      const auto expect = [](float found, float expected) {
        ASSERT_NEAR(found, expected, sizeof(T) == 2 ? std::abs(expected) / 256.0F : 0.0F);
      };
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t o = 0; o < out_width; ++o) {
          float expected = 0.0F;
          for (std::int64_t i = 0; i < in_width; ++i)
            expected += at(in, r * in_width + i) * at(weight, o * in_width + i);
          expect(at(out, r * out_width + o), expected);
        }
        for (std::int64_t i = 0; i < in_width; ++i) {
          float expected = 0.0F;
          for (std::int64_t o = 0; o < out_width; ++o)
            expected += at(gradient, r * out_width + o) * at(weight, o * in_width + i);
          expect(at(back, r * in_width + i), expected);
        }
      }
      for (std::int64_t o = 0; o < out_width; ++o)
        for (std::int64_t i = 0; i < in_width; ++i) {
          float expected = 1.0F;
          for (std::int64_t r = 0; r < rows; ++r)
            expected += at(gradient, r * out_width + o) * at(in, r * in_width + i);
          ASSERT_EQ(sum[static_cast<std::size_t>(o * in_width + i)], expected) << o << " " << i;
        }
    }
  }
}

// So large that it is not left in the caches.
TYPED_TEST(ProductsOf, ALargeResultIsTheSame) {
  using T = TypeParam;
  constexpr std::int64_t rows = 8200, out_width = 288, in_width = 32, few = 40;
  Products<T> products;
  const auto in = whole_numbers<T>(1, rows * in_width), weight = whole_numbers<T>(2, out_width * in_width);
  const at::Tensor large = at::empty({rows, out_width}, scalar_type<T>),
                   small = at::empty({few, out_width}, scalar_type<T>);
  products.multiply(in.data(), rows, weight.data(), out_width, in_width, static_cast<T*>(large.mutable_data_ptr()));
  for (std::int64_t first = 0; first < rows; first += few) {
    products.multiply(in.data() + first * in_width, few, weight.data(), out_width, in_width,
                      static_cast<T*>(small.mutable_data_ptr()));
    ASSERT_EQ(std::memcmp(static_cast<T*>(large.mutable_data_ptr()) + first * out_width, small.const_data_ptr(),
                          small.nbytes()),
              0);
  }
}

}  // namespace
}  // namespace fedmpi
