#include "compression.hpp"

#include "fedmpi/error.hpp"

#include <atomic>
#include <cmath>
#include <limits>
#include <span>
#include <string>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

namespace fedmpi {

namespace {

constexpr std::int64_t elements_of_a_thread = 1 << 16;

// Null for "none".
std::unique_ptr<UpdateCodec> codec_of(const RuleChoice& rule) {
  if (rule.name == "bf16") {
    const bool is_stochastic = rule.options.get<std::string>("rounding") == "stochastic";
    return make_bf16_codec(is_stochastic ? Rounding::stochastic : Rounding::nearest);
  }
  if (rule.name == "int8") return make_int8_codec(rule.options.get<std::int64_t>("block_size"));
  if (rule.name == "top_k") return make_top_k_codec(rule.options.get<double>("fraction"));
  return nullptr;
}

// values += added, where there is any. False when one is not finite.
bool add_residual(float* values, const float* added, std::int64_t size) {
  std::atomic<bool> all_finite{true};
  at::parallel_for(0, size, elements_of_a_thread, [&](std::int64_t begin, std::int64_t end) {
    bool finite = true;
    for (std::int64_t i = begin; i < end; ++i) {
      if (added != nullptr) values[i] += added[i];
      finite &= std::abs(values[i]) <= std::numeric_limits<float>::max();
    }
    if (!finite) all_finite = false;
  });
  return all_finite;
}

}  // namespace

Compression::Compression(const RuleChoice& rule, std::int64_t num_updates, std::int64_t size)
    : codec_{codec_of(rule)},
      num_updates_{num_updates},
      size_{size},
      vector_bytes_{codec_ ? codec_->encoded_bytes(size) : static_cast<std::int64_t>(sizeof(float)) * size} {}

void Compression::apply(const at::Tensor& updates, const at::Tensor& residual, RandomKey key) {
  if (!codec_) return;
  auto* values = updates.data_ptr<float>();
  auto* unsent = residual.defined() ? residual.data_ptr<float>() : nullptr;
  if (!add_residual(values, unsent, num_updates_ * size_))
    throw Error(
        "the update holds an element that is not finite: lower training.learning_rate or set "
        "training.max_gradient_norm");
  bytes_.resize(static_cast<std::size_t>(vector_bytes_));  // now: a server that hosts no clients needs none
  for (std::int64_t i = 0; i < num_updates_; ++i)
    apply_to_vector(values + i * size_, unsent == nullptr ? nullptr : unsent + i * size_,
                    derive(key, static_cast<std::uint64_t>(i)));
}

void Compression::apply_to_vector(float* values, float* residual, RandomKey key) {
  const std::span<float> vector(values, static_cast<std::size_t>(size_));
  codec_->encode(vector, key, bytes_);
  if (residual != nullptr) std::copy(vector.begin(), vector.end(), residual);
  codec_->decode(bytes_, vector);
  if (residual == nullptr) return;
  for (std::int64_t i = 0; i < size_; ++i) residual[i] -= values[i];
}

std::int64_t residual_size(const RuleChoice& rule, std::int64_t num_updates, std::int64_t size) {
  const bool has_feedback = rule.options.has("error_feedback") && rule.options.get<bool>("error_feedback");
  return has_feedback ? num_updates * size : 0;
}

}  // namespace fedmpi
