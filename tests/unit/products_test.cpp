#include "products.hpp"

#include "fedmpi/random.hpp"
#include "stored_numbers.hpp"

#include <cmath>
#include <cstring>
#include <vector>

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

template <class T>
using Numbers = std::vector<T>;

template <class T, class Draw>
Numbers<T> drawn(std::uint64_t seed, std::int64_t size, const Draw& draw) {
  RandomStream random(random_key(seed, Purpose::synthetic));
  Numbers<T> numbers(static_cast<std::size_t>(size));
  for (T& number : numbers) number = stored<T>(draw(random));
  return numbers;
}
// Small, so that products and sums are exact in any order.
template <class T>
Numbers<T> whole_numbers(std::uint64_t seed, std::int64_t size) {
  return drawn<T>(seed, size, [](RandomStream& random) { return static_cast<float>(random.below(5)) - 2.0F; });
}
template <class T>
Numbers<T> normal_numbers(std::uint64_t seed, std::int64_t size) {
  return drawn<T>(seed, size, [](RandomStream& random) { return static_cast<float>(random.normal()); });
}

class Threads {
 public:
  explicit Threads(int number) : before_{at::get_num_threads()} { at::set_num_threads(number); }
  ~Threads() { at::set_num_threads(before_); }

 private:
  int before_;
};

struct Shape {
  std::int64_t rows, out_width, in_width;
};

// sums [m, n] += left [m, k] * right [k, n], whose element (i, j) is at i * row + j * column.
struct Strides {
  std::int64_t row, column;
};
template <class T>
void add_product(std::int64_t m, std::int64_t n, std::int64_t k, const Numbers<T>& left, Strides l,
                 const Numbers<T>& right, Strides r, std::vector<float>& sums) {
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      for (std::int64_t d = 0; d < k; ++d)
        sums[static_cast<std::size_t>(i * n + j)] +=
            to_float(left[static_cast<std::size_t>(i * l.row + d * l.column)]) *
            to_float(right[static_cast<std::size_t>(d * r.row + j * r.column)]);
}

template <class T>
void expect_rounded(const Numbers<T>& found, const std::vector<float>& exact, const char* what) {
  ASSERT_EQ(found.size(), exact.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    ASSERT_NEAR(to_float(found[i]), exact[i], sizeof(T) == 2 ? std::abs(exact[i]) / 256.0F : 0.0F) << what << " " << i;
}

template <class T>
class ProductsOf : public testing::Test {};
using Types = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(ProductsOf, Types);

// Few rows and several tiles of them; more outputs than inputs and fewer; with adapters and without.
TYPED_TEST(ProductsOf, ALinearLayerAndItsGradients) {
  using T = TypeParam;
  for (const std::int64_t depth : {0, 16}) {
    Products<T> products;
    for (const auto& [rows, out, in] : {Shape{3, 32, 64}, {70, 416, 80}, {530, 96, 224}, {50, 6, 30}}) {
      SCOPED_TRACE(testing::Message() << rows << " rows, " << out << " x " << in << ", adapters of " << depth);
      const auto x = whole_numbers<T>(1, rows * in), weight = whole_numbers<T>(2, out * in),
                 gradient = whole_numbers<T>(3, rows * out), low = whole_numbers<T>(4, rows * depth),
                 up = whole_numbers<T>(5, out * depth), down = whole_numbers<T>(6, depth * in);
      Numbers<T> y(static_cast<std::size_t>(rows * out)), back(static_cast<std::size_t>(rows * in));
      std::vector<float> sum(static_cast<std::size_t>(out * in), 1.0F);
      products.multiply(x.data(), rows, weight.data(), out, in, y.data(), {low.data(), up.data(), depth});
      products.multiply_back(gradient.data(), rows, weight.data(), out, in, back.data(),
                             {low.data(), down.data(), depth});
      products.add_weight_gradient(gradient.data(), rows, x.data(), out, in, sum.data());

      std::vector<float> exact_y(y.size()), exact_back(back.size()), exact_sum(sum.size(), 1.0F);
      add_product(rows, out, in, x, {in, 1}, weight, {1, in}, exact_y);
      add_product(rows, out, depth, low, {depth, 1}, up, {1, depth}, exact_y);
      add_product(rows, in, out, gradient, {out, 1}, weight, {in, 1}, exact_back);
      add_product(rows, in, depth, low, {depth, 1}, down, {in, 1}, exact_back);
      add_product(out, in, rows, gradient, {1, out}, x, {in, 1}, exact_sum);
      ASSERT_NO_FATAL_FAILURE(expect_rounded(y, exact_y, "output"));
      ASSERT_NO_FATAL_FAILURE(expect_rounded(back, exact_back, "gradient of the input"));
      EXPECT_EQ(sum, exact_sum);
    }
  }
}

// More threads take smaller blocks of a gradient.
TYPED_TEST(ProductsOf, ThreadsDoNotChangeABit) {
  using T = TypeParam;
  for (const auto& [rows, out, in] : {Shape{530, 416, 224}, {700, 208, 1040}}) {
    const auto x = normal_numbers<T>(1, rows * in), gradient = normal_numbers<T>(2, rows * out);
    std::vector<float> sums[3];
    for (std::size_t i = 0; i < 3; ++i) {
      const Threads set(std::vector<int>{1, 3, 16}[i]);
      sums[i].resize(static_cast<std::size_t>(out * in));
      Products<T>().add_weight_gradient(gradient.data(), rows, x.data(), out, in, sums[i].data());
    }
    EXPECT_EQ(sums[1], sums[0]);
    EXPECT_EQ(sums[2], sums[0]);
  }
}

TYPED_TEST(ProductsOf, NoRowsAddNothing) {
  using T = TypeParam;
  const auto x = whole_numbers<T>(1, 64 * 64);
  std::vector<float> sum(64 * 64);
  Products<T> products;
  products.add_weight_gradient(x.data(), 64, x.data(), 64, 64, sum.data());
  const std::vector<float> before = sum;
  products.add_weight_gradient(x.data(), 0, x.data(), 64, 64, sum.data());
  EXPECT_EQ(sum, before);
}

// 19 MB and more are not left in the caches.
TYPED_TEST(ProductsOf, ALargeResultIsTheSame) {
  using T = TypeParam;
  constexpr std::int64_t rows = 32800, width = 288, depth = 32, few = 40;
  Products<T> products;
  const auto in = whole_numbers<T>(1, rows * depth), weight = whole_numbers<T>(2, width * depth);
  const at::Tensor large = at::empty({rows, width}, scalar_type<T>), small = at::empty({few, width}, scalar_type<T>);
  products.multiply(in.data(), rows, weight.data(), width, depth, static_cast<T*>(large.mutable_data_ptr()));
  for (std::int64_t first = 0; first < rows; first += few) {
    products.multiply(in.data() + first * depth, few, weight.data(), width, depth,
                      static_cast<T*>(small.mutable_data_ptr()));
    ASSERT_EQ(
        std::memcmp(static_cast<T*>(large.mutable_data_ptr()) + first * width, small.const_data_ptr(), small.nbytes()),
        0);
  }
}

}  // namespace
}  // namespace fedmpi
