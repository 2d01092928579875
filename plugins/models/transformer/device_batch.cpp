#include "device_batch.hpp"

#include <algorithm>
#include <vector>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace fedmpi {
namespace {

at::Tensor moved(const at::Tensor& in, const DeviceBatch::Rows& rows) {
  at::Tensor out = in.index_select(0, rows.from);
  return rows.none.defined() ? out.masked_fill_(rows.none, 0.0) : out;
}

// Autograd's own backward of index_select adds to rows by their numbers; where no row is taken twice that is a gather
// too.
class MovedRows : public torch::autograd::Function<MovedRows> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& in,
                            const DeviceBatch::Rows& there, const DeviceBatch::Rows& back) {
    context->saved_data["from"] = back.from;
    context->saved_data["none"] = back.none;
    return moved(in, there);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    return {moved(gradients[0], {context->saved_data["from"].toTensor(), context->saved_data["none"].toTensor()}),
            at::Tensor(), at::Tensor()};
  }
};

constexpr std::int64_t no_row = -1;

// Lists of numbers that travel to a device as one.
class Lists {
 public:
  void add(const std::vector<std::int64_t>& list) {
    numbers_.insert(numbers_.end(), list.begin(), list.end());
    sizes_.push_back(std::ssize(list));
  }
  std::vector<at::Tensor> on(at::Device device) const {
    return at::tensor(numbers_, at::kLong).to(device).split_with_sizes(sizes_);
  }

 private:
  std::vector<std::int64_t> numbers_, sizes_;
};

DeviceBatch::Rows with_gaps(const at::Tensor& from) {
  return {from.clamp_min(0), from.eq(no_row).unsqueeze(1)};
}

}  // namespace

DeviceBatch::DeviceBatch(const PackedTokens& batch, std::span<const std::int64_t> labels, std::int64_t first,
                         std::int64_t last, at::Device device)
    : num_sequences_{last - first}, longest_{0} {
  const auto offset = [&](std::int64_t sequence) { return batch.offsets[static_cast<std::size_t>(sequence)]; };
  const std::int64_t begin = offset(first), end = offset(last);
  for (std::int64_t s = first; s < last; ++s) longest_ = std::max(longest_, offset(s + 1) - offset(s));

  const auto size = static_cast<std::size_t>(end - begin);
  std::vector<std::int64_t> positions(size), cells(size), sequences(size, no_row), lengths, firsts;
  std::vector<std::int64_t> tokens_of_cells(static_cast<std::size_t>(num_sequences_ * longest_), no_row);
  for (std::int64_t s = 0; s < num_sequences_; ++s) {
    const std::int64_t start = offset(first + s) - begin;
    lengths.push_back(offset(first + s + 1) - offset(first + s));
    firsts.push_back(start);
    sequences[static_cast<std::size_t>(start)] = s;
    for (std::int64_t i = 0; i < lengths.back(); ++i) {
      const std::int64_t token = start + i, cell = s * longest_ + i;
      positions[static_cast<std::size_t>(token)] = i;
      cells[static_cast<std::size_t>(token)] = cell;
      tokens_of_cells[static_cast<std::size_t>(cell)] = token;
    }
  }
  const auto tokens = batch.tokens.subspan(static_cast<std::size_t>(begin), size);
  const auto own_labels = labels.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(num_sequences_));

  Lists lists;
  lists.add({tokens.begin(), tokens.end()});
  lists.add(positions);
  lists.add(lengths);
  lists.add({own_labels.begin(), own_labels.end()});
  lists.add(tokens_of_cells);
  lists.add(cells);
  lists.add(firsts);
  lists.add(sequences);
  const std::vector<at::Tensor> there = lists.on(device);
  tokens_ = there[0];
  positions_ = there[1];
  lengths_ = there[2];
  labels_ = there[3];
  tokens_of_cells_ = with_gaps(there[4]);
  cells_of_tokens_ = {there[5], {}};
  tokens_of_sequences_ = {there[6], {}};
  sequences_of_tokens_ = with_gaps(there[7]);
  padding_ = tokens_of_cells_.none.view({num_sequences_, longest_});
}

at::Tensor DeviceBatch::pad(const at::Tensor& packed) const {
  return MovedRows::apply(packed, tokens_of_cells_, cells_of_tokens_).view({num_sequences_, longest_, packed.size(1)});
}

at::Tensor DeviceBatch::unpad(const at::Tensor& padded) const {
  return MovedRows::apply(padded.reshape({num_sequences_ * longest_, padded.size(2)}), cells_of_tokens_,
                          tokens_of_cells_);
}

at::Tensor DeviceBatch::first_tokens(const at::Tensor& packed) const {
  return MovedRows::apply(packed, tokens_of_sequences_, sequences_of_tokens_);
}

}  // namespace fedmpi
