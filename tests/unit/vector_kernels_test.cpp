#include "fedmpi/random.hpp"
#include "kernel_choice.hpp"
#include "stored_numbers.hpp"

#include <cmath>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

namespace fedmpi {
namespace {

// Which factor dropout gives an element, from philox itself.
double factor(const Dropout& dropout, std::uint64_t row, std::uint32_t plane, std::int64_t column) {
  if (dropout.threshold == 0) return 1.0;
  const std::int64_t chunk = column / 128, within = column % 128;
  const auto lane = static_cast<std::uint32_t>(chunk * 16 + within % 16);
  const auto words =
      philox(dropout.key, {lane, static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(row >> 32U), plane});
  const std::uint32_t word = words[static_cast<std::size_t>(within % 64 / 16)];
  const std::uint32_t number = within < 64 ? word & 0xffffU : word >> 16U;
  return number < dropout.threshold ? 0.0 : static_cast<double>(dropout.scale);
}

constexpr Dropout some_dropout{0x123456789abcdef0U, 20000, 65536.0F / 45536.0F};

template <class T>
struct Data {
  std::vector<T> stored;
  std::vector<double> exact;
};

// Random numbers that T holds exactly.
template <class T>
Data<T> random_data(std::uint64_t seed, std::int64_t size, double scale = 1.0) {
  RandomStream random(random_key(seed, Purpose::synthetic));
  Data<T> data{std::vector<T>(static_cast<std::size_t>(size)), {}};
  for (T& value : data.stored) {
    value = stored<T>(static_cast<float>(scale * random.normal()));
    data.exact.push_back(static_cast<double>(to_float(value)));
  }
  return data;
}

template <class T>
void expect_near(const std::vector<T>& found, const std::vector<double>& expected, double bound, const char* what) {
  ASSERT_EQ(found.size(), expected.size());
  const double relative = sizeof(T) == 2 ? 1.0 / 256.0 : 0.0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_NEAR(static_cast<double>(to_float(found[i])), expected[i], bound + relative * std::abs(expected[i]))
        << what << " at " << i;
  }
}

std::size_t index(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

template <class T>
struct Named {
  std::string name;
  const Kernels<T>* kernels;
};
template <class T>
std::vector<Named<T>> tables() {
  std::vector<Named<T>> found;
  for (const NamedKernels& named : runnable_kernels()) {
    if constexpr (std::is_same_v<T, float>) {
      found.push_back({named.name, &named.tables->float32});
    } else {
      found.push_back({named.name, &named.tables->bf16});
    }
  }
  return found;
}

template <class T>
class VectorKernels : public testing::Test {};
using Types = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(VectorKernels, Types);

TEST(VectorKernelNumbers, AreThoseOfPhilox) {
  for (const NamedKernels& named : runnable_kernels()) {
    SCOPED_TRACE(named.name);
    std::vector<std::uint16_t> numbers(384);
    const std::uint64_t key = 0xfedcba9876543210U, row = 0x500000003U;
    named.tables->dropout_numbers(key, row, 7, 300, numbers.data());
    for (std::int64_t i = 0; i < 300; ++i) {
      const Dropout just{key, numbers[index(i)], 1.0F}, above{key, numbers[index(i)] + 1U, 1.0F};
      EXPECT_EQ(factor(above, row, 7, i), 0.0);
      if (just.threshold > 0) {
        EXPECT_EQ(factor(just, row, 7, i), 1.0);
      }
    }
  }
}

TYPED_TEST(VectorKernels, NormForwardAndBackward) {
  using T = TypeParam;
  constexpr std::int64_t rows = 3, width = 176, first = 40;
  const auto branch = random_data<T>(1, rows * width);
  const auto more = random_data<T>(2, rows * width);
  const auto residual = random_data<float>(3, rows * width), gradient = random_data<float>(4, rows * width);
  const auto weight = random_data<float>(5, width), offset = random_data<float>(6, width),
             bias = random_data<float>(7, width);
  const Dropout out_dropout{99, 9000, 65536.0F / 56536.0F};
  // Plain, in double.
  std::vector<double> z(rows * width), out(rows * width), dz(rows * width), branch_gradient(rows * width);
  std::vector<double> weight_sums(width), offset_sums(width), bias_sums(width);
  for (std::int64_t r = 0; r < rows; ++r) {
    double mean = 0.0, variance = 0.0, plain = 0.0, scaled = 0.0;
    for (std::int64_t i = 0; i < width; ++i) {
      const std::size_t at = index(r * width + i);
      z[at] =
          residual.exact[at] + (branch.exact[at] + bias.exact[index(i)]) * factor(some_dropout, index(first + r), 0, i);
      mean += z[at] / width;
    }
    for (std::int64_t i = 0; i < width; ++i) variance += std::pow(z[index(r * width + i)] - mean, 2) / width;
    const double inverse = 1.0 / std::sqrt(variance + 1e-5);
    for (std::int64_t i = 0; i < width; ++i) {
      const std::size_t at = index(r * width + i), column = index(i);
      const double mask = factor(out_dropout, index(first + r), 0, i), normal = (z[at] - mean) * inverse;
      out[at] = (normal * weight.exact[column] + offset.exact[column]) * mask;
      const double g = (gradient.exact[at] + more.exact[at]) * mask;
      weight_sums[column] += g * normal;
      offset_sums[column] += g;
      dz[at] = g * weight.exact[column];
      plain += dz[at] / width;
      scaled += dz[at] * normal / width;
    }
    for (std::int64_t i = 0; i < width; ++i) {
      const std::size_t at = index(r * width + i);
      dz[at] = (dz[at] - plain - (z[at] - mean) * inverse * scaled) * inverse;
      branch_gradient[at] = dz[at] * factor(some_dropout, index(first + r), 0, i);
      bias_sums[index(i)] += branch_gradient[at];
    }
  }
  for (const auto& [name, kernels] : tables<T>()) {
    SCOPED_TRACE(name);
    std::vector<float> sum = residual.stored, mean(rows), inverse(rows), found(rows * width), change = gradient.stored;
    std::vector<T> product(rows * width), found_branch(rows * width);
    kernels->norm_forward({first, rows, width, branch.stored.data(), bias.stored.data(), some_dropout, out_dropout,
                           sum.data(), weight.stored.data(), offset.stored.data(), 1e-5F, mean.data(), inverse.data(),
                           found.data(), product.data()});
    expect_near(sum, z, 1e-5, "z");
    expect_near(found, out, 2e-5, "out");
    expect_near(product, out, 2e-5, "out for products");
    std::vector<float> sums(3 * width, 5.0F);
    kernels->norm_backward({first, rows, width, change.data(), more.stored.data(), some_dropout, out_dropout,
                            sum.data(), mean.data(), inverse.data(), weight.stored.data(), found_branch.data(),
                            sums.data(), sums.data() + width, sums.data() + 2 * width});
    expect_near(change, dz, 5e-5, "gradient");
    expect_near(found_branch, branch_gradient, 5e-5, "branch gradient");
    expect_near(std::vector<float>(sums.begin(), sums.begin() + width), weight_sums, 5e-5, "weight sums");
    expect_near(std::vector<float>(sums.begin() + width, sums.begin() + 2 * width), offset_sums, 5e-5, "offset sums");
    expect_near(std::vector<float>(sums.begin() + 2 * width, sums.end()), bias_sums, 5e-5, "bias sums");
  }
}

TYPED_TEST(VectorKernels, Gelu) {
  using T = TypeParam;
  constexpr std::int64_t rows = 9, width = 128;
  const auto in = random_data<T>(1, rows * width, 3.0), gradient = random_data<T>(2, rows * width);
  const auto bias = random_data<float>(3, width);
  std::vector<double> out, change, sums(width);
  for (std::int64_t i = 0; i < rows * width; ++i) {
    const double x = in.exact[index(i)] + bias.exact[index(i % width)];
    const double cumulative = 0.5 * (1.0 + std::erf(x / std::sqrt(2.0)));
    out.push_back(x * cumulative);
    change.push_back(gradient.exact[index(i)] * (cumulative + x * std::exp(-x * x / 2.0) / std::sqrt(2.0 * M_PI)));
    sums[index(i % width)] += change.back();
  }
  for (const auto& [name, kernels] : tables<T>()) {
    SCOPED_TRACE(name);
    std::vector<T> found(rows * width), again(rows * width), found_change = gradient.stored;
    std::vector<float> found_sums(width, 3.0F);
    kernels->gelu_forward(rows, width, in.stored.data(), bias.stored.data(), found.data());
    expect_near(found, out, 2e-6, "out");
    kernels->gelu_backward(rows, width, in.stored.data(), bias.stored.data(), found_change.data(), again.data(),
                           found_sums.data());
    expect_near(again, out, 2e-6, "out again");
    expect_near(found_change, change, 2e-6, "gradient");
    expect_near(found_sums, sums, 2e-5, "sums");
  }
}

// Where element (row, column) of a panelled operand with `rows` rows lies.
template <class T>
std::size_t panelled(std::int64_t rows, std::int64_t row, std::int64_t column) {
  constexpr std::int64_t pair = sizeof(T) == 2 ? 2 : 1;
  return index(column / 64 * 64 * rows + row / pair * 64 * pair + column % 64 * pair + row % pair);
}

TYPED_TEST(VectorKernels, SoftmaxForwardAndBackward) {
  using T = TypeParam;
  constexpr std::int64_t rows = 5, keys = 139, stride = 160, first = 7, padded_rows = 16;
  const auto scores = random_data<float>(1, rows * stride, 4.0), gradient = random_data<float>(2, rows * stride);
  const auto products = random_data<float>(3, rows);
  std::vector<double> dropped(rows * stride), change(rows * stride), log_sums;
  for (std::int64_t r = 0; r < rows; ++r) {
    double total = 0.0;
    for (std::int64_t i = 0; i < keys; ++i) total += std::exp(scores.exact[index(r * stride + i)]);
    log_sums.push_back(std::log(total));
    for (std::int64_t i = 0; i < keys; ++i) {
      const std::size_t at = index(r * stride + i);
      const double p = std::exp(scores.exact[at]) / total, mask = factor(some_dropout, index(first + r), 3, i);
      dropped[at] = p * mask;
      change[at] = p * (gradient.exact[at] * mask - products.exact[index(r)]);
    }
  }
  for (const auto& [name, kernels] : tables<T>()) {
    SCOPED_TRACE(name);
    std::vector<float> used = scores.stored, sums(2 * rows), again = scores.stored, used_gradient = gradient.stored;
    std::vector<T> found(rows * stride), found_change(rows * stride);
    kernels->softmax_forward({first, rows, keys, stride, 3, some_dropout, used.data(), sums.data(), 2}, found.data());
    expect_near(found, dropped, 2e-6, "probabilities");
    for (std::int64_t r = 0; r < rows; ++r) EXPECT_NEAR(sums[index(2 * r)], log_sums[index(r)], 1e-5);
    std::vector<T> panels(192 * padded_rows), change_panels(192 * padded_rows);
    std::memset(panels.data(), 0x3f, panels.size() * sizeof(T));
    std::memset(change_panels.data(), 0x3f, panels.size() * sizeof(T));
    kernels->softmax_backward({first, rows, keys, stride, 3, some_dropout, again.data(), sums.data(), 2},
                              used_gradient.data(), products.stored.data(), panels.data(), found_change.data(),
                              change_panels.data(), padded_rows);
    expect_near(found_change, change, 1e-5, "gradient");
    for (std::int64_t r = 0; r < padded_rows; ++r) {
      for (std::int64_t i = 0; i < stride; ++i) {
        const double p = r < rows ? dropped[index(r * stride + i)] : 0.0;
        const double c = r < rows ? change[index(r * stride + i)] : 0.0;
        const std::size_t at = panelled<T>(padded_rows, r, i);
        ASSERT_NEAR(to_float(panels[at]), p, 1e-5 + std::abs(p) / 256.0) << r << " " << i;
        ASSERT_NEAR(to_float(change_panels[at]), c, 1e-5 + std::abs(c) / 256.0) << r << " " << i;
      }
    }
  }
}

TYPED_TEST(VectorKernels, OperandsAndProducts) {
  using T = TypeParam;
  constexpr std::int64_t rows = 70, padded = 96, width = 22, stride = 50;
  const auto in = random_data<T>(1, rows * stride), other = random_data<T>(4, rows * stride);
  const auto bias = random_data<float>(2, width);
  const auto wide = random_data<float>(3, width * padded);
  for (const auto& [name, kernels] : tables<T>()) {
    SCOPED_TRACE(name);
    std::vector<T> left(padded * width), across(padded * width), panels(128 * width), panel(padded * 64);
    kernels->pack_left(rows, width, in.stored.data(), stride, bias.stored.data(), 0.5F, left.data(), padded);
    std::vector<double> expected;
    for (std::int64_t r = 0; r < padded; ++r)
      for (std::int64_t i = 0; i < width; ++i)
        expected.push_back(r < rows ? 0.5 * (in.exact[index(r * stride + i)] + bias.exact[index(i)]) : 0.0);
    expect_near(left, expected, 1e-6, "left");
    kernels->transpose(padded, width, left.data(), across.data(), padded);
    kernels->make_panel(padded, width, left.data(), width, panel.data(), padded);
    kernels->transpose_panelled(padded, width, left.data(), panels.data());
    for (std::int64_t r = 0; r < padded; ++r) {
      for (std::int64_t i = 0; i < width; ++i) {
        const float value = to_float(left[index(r * width + i)]);
        ASSERT_EQ(to_float(across[index(i * padded + r)]), value);
        ASSERT_EQ(to_float(panel[panelled<T>(padded, r, i)]), value);
        ASSERT_EQ(to_float(panels[panelled<T>(width, i, r)]), value);
      }
    }
    // across [width, padded] times itself transposed, twice.
    std::vector<float> out(width * width);
    for (const bool add : {false, true}) {
      kernels->product(width, width, padded, across.data(), padded, panel.data(), out.data(), width, add);
    }
    std::vector<double> squares(width * width);
    for (std::int64_t i = 0; i < width; ++i)
      for (std::int64_t j = 0; j < width; ++j)
        for (std::int64_t r = 0; r < padded; ++r)
          squares[index(i * width + j)] += 2.0 * static_cast<double>(to_float(across[index(i * padded + r)])) *
                                           static_cast<double>(to_float(across[index(j * padded + r)]));
    expect_near(out, squares, 1e-4, "product");

    std::vector<T> stored(rows * stride), turned(padded * width);
    kernels->store(width, padded, wide.stored.data(), padded, 2.0F, turned.data(), padded);
    kernels->store_transposed(rows, width, wide.stored.data(), padded, stored.data(), stride);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t i = 0; i < width; ++i) {
        const double value = wide.exact[index(i * padded + r)];
        ASSERT_NEAR(to_float(stored[index(r * stride + i)]), value, sizeof(T) == 2 ? std::abs(value) / 256.0 : 0.0);
        ASSERT_NEAR(to_float(turned[index(i * padded + r)]), 2.0 * value,
                    sizeof(T) == 2 ? std::abs(value) / 128.0 : 0.0);
      }
    }
    std::vector<float> products(rows);
    kernels->row_products(rows, width, in.stored.data(), stride, other.stored.data(), stride, products.data());
    std::vector<double> dots(rows);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t i = 0; i < width; ++i)
        dots[index(r)] += in.exact[index(r * stride + i)] * other.exact[index(r * stride + i)];
    expect_near(products, dots, 1e-5, "row products");
  }
}

// Whole tiles of matrix units, what is left of them on each side, and several panels.
TYPED_TEST(VectorKernels, ProductsOfAllSizes) {
  using T = TypeParam;
  struct Size {
    std::int64_t m, n, k;
  };
  for (const Size& size :
       {Size{48, 128, 192}, Size{16, 16, 32}, Size{83, 150, 94}, Size{7, 64, 64}, Size{40, 9, 1030}}) {
    const auto [m, n, k] = size;
    SCOPED_TRACE(testing::Message() << m << " x " << n << " x " << k);
    const std::int64_t left_stride = k + 6, out_stride = n + 5;
    const auto left = random_data<T>(1, m * left_stride), right = random_data<T>(2, n * k);
    std::vector<T> panels(index((n + 63) / 64 * 64 * k));
    std::vector<double> expected(index(m * out_stride), 3.0);
    for (std::int64_t j = 0; j < k; ++j)
      for (std::int64_t i = 0; i < n; ++i) panels[panelled<T>(k, j, i)] = right.stored[index(j * n + i)];
    for (std::int64_t r = 0; r < m; ++r)
      for (std::int64_t i = 0; i < n; ++i) {
        double sum = 0.0;
        for (std::int64_t j = 0; j < k; ++j)
          sum += left.exact[index(r * left_stride + j)] * right.exact[index(j * n + i)];
        expected[index(r * out_stride + i)] = 2.0 * sum;
      }
    for (const auto& [name, kernels] : tables<T>()) {
      SCOPED_TRACE(name);
      EXPECT_LE(kernels->product_rows, most_product_rows);
      std::vector<float> out(index(m * out_stride), 3.0F);
      for (const bool add : {false, true})
        kernels->product(m, n, k, left.stored.data(), left_stride, panels.data(), out.data(), out_stride, add);
      for (std::size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], expected[i], 2e-3) << i;
    }
  }
}

TYPED_TEST(VectorKernels, StreamedRowsAreStoredRows) {
  using T = TypeParam;
  constexpr std::int64_t rows = 5, width = 96, in_stride = 130, out_stride = 160;
  const auto in = random_data<float>(1, rows * in_stride);
  for (const auto& [name, kernels] : tables<T>()) {
    SCOPED_TRACE(name);
    alignas(64) T streamed[rows * out_stride] = {};
    T stored[rows * out_stride] = {};
    kernels->stream(rows, width, in.stored.data(), in_stride, 0.5F, streamed, out_stride);
    kernels->store(rows, width, in.stored.data(), in_stride, 0.5F, stored, out_stride);
    EXPECT_EQ(std::memcmp(streamed, stored, sizeof stored), 0);
  }
}

TYPED_TEST(VectorKernels, ConversionsAndSums) {
  using T = TypeParam;
  constexpr std::int64_t size = 1003, rows = 17, width = 48;
  const auto exact = random_data<float>(1, size);
  const auto stored = random_data<T>(2, size);
  for (const auto& [name, kernels] : tables<T>()) {
    SCOPED_TRACE(name);
    std::vector<T> converted(size);
    kernels->from_float(exact.stored.data(), converted.data(), size);
    expect_near(converted, exact.exact, 0.0, "converted");
    std::vector<float> total = exact.stored;
    kernels->add_to_float(stored.stored.data(), total.data(), size);
    std::vector<double> expected = exact.exact;
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += stored.exact[i];
    expect_near(total, expected, 1e-6, "added");
    std::vector<float> sums(width, 9.0F);
    kernels->column_sums(rows, width, stored.stored.data(), width + 3, sums.data());
    std::vector<double> columns(width);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t i = 0; i < width; ++i) columns[index(i)] += stored.exact[index(r * (width + 3) + i)];
    expect_near(sums, columns, 1e-5, "column sums");
    std::vector<float> mask(5 * width);
    kernels->dropout_mask(some_dropout, 5, width, mask.data());
    for (std::int64_t i = 0; i < 5 * width; ++i) {
      ASSERT_EQ(static_cast<double>(mask[index(i)]), factor(some_dropout, index(i / width), 0, i % width));
    }
  }
}

}  // namespace
}  // namespace fedmpi
