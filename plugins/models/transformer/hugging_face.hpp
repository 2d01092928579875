#pragma once

#include "config.hpp"
#include "fedmpi/layout.hpp"
#include "fedmpi/strategy.hpp"
#include "parameters.hpp"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace fedmpi {

// The layout's tensors as transformers knows them: `alpha` / rank * up * down of each adapter is added to its matrix.
std::vector<NamedTensor> merged_tensors(const Layout& layout, const at::Tensor& values, double alpha);

// config.json of a classifier: the one in `source` with what this one is in it. transformers has a class of its own for
// the head; the mean needs mean_pooling.py beside it, and transformers opens neither without the other. Labels beyond
// `label_names` are called LABEL_7, as transformers does.
std::string classifier_config(const std::filesystem::path& source, const TransformerConfig& config, Pooling pooling,
                              std::int64_t num_labels, std::span<const std::string> label_names);

// The text of mean_pooling.py.
std::string mean_pooling_code(const TransformerConfig& config);

// tokenizer_config.json of the tokenizer that `fedmpi prepare` is. Texts are lower-cased where the one in `source` says
// so, or else where no word of `vocabulary`, the text of vocab.txt, has a capital letter.
std::string tokenizer_config(const std::filesystem::path& source, const TransformerConfig& config,
                             const std::string& vocabulary);

}  // namespace fedmpi
