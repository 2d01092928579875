#pragma once

#include "fedmpi/dataset.hpp"
#include "fedmpi/job.hpp"
#include "fedmpi/model.hpp"
#include "fedmpi/options.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace fedmpi {

// Some examples to try a model on.
struct TrialExamples {
  std::string what;  // "examples of 20 features"
  Batch batch;
};

inline constexpr std::int64_t num_trial_examples = 8;

// Made up, of every shape that a model with such options may take: features first, then text. Labels go round.
std::vector<TrialExamples> made_up_examples(const Model& model, const Options& options);

// The first of the train split of the job's dataset. Throws UserErrors.
TrialExamples first_examples(const Job& job);

// `batch` with these of its examples.
Batch choose(const Batch& batch, std::span<const std::int64_t> rows);

// The same examples with one feature more each, or with a token that no vocabulary has.
Batch spoiled(const Batch& batch);

}  // namespace fedmpi
