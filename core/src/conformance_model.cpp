#include "conformance_model.hpp"

#include "fedmpi/error.hpp"
#include "made_up_examples.hpp"
#include "one_thread_each.hpp"

#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

namespace fedmpi {

namespace {

// How much an example's loss may depend on who is evaluated beside it, relative to a loss of at least 1.
double rounding(Precision precision) {
  return precision == Precision::bf16 ? 0.05 : 1e-4;
}

class ModelChecks {
 public:
  explicit ModelChecks(const Conformance& conformance)
      : plugin_{conformance.plugin},
        job_{conformance.job},
        options_{plugin_options(job_.model, plugin_.options(), "model", job_)} {}

  void layout() const {
    const auto model = make<Model>(plugin_, options_);
    if (model->layout().shared_parameters_size() == 0) fails("has no shared parameter: there is nothing to average");
    if (model->num_labels() < 1) fails("says that it has {} labels", model->num_labels());
    if (model->task() == Task::regression && model->num_labels() != 1)
      fails("says that it has {} labels, but a regression has 1", model->num_labels());
  }

  // Finds examples that the model takes, for the other checks.
  void examples() {
    const auto model = make<Model>(plugin_, options_);
    std::vector<TrialExamples> candidates;
    if (job_.dataset.name != "made_up")
      candidates.push_back(first_examples(job_));
    else
      candidates = made_up_examples(*model, options_);
    std::string refusal;
    for (const TrialExamples& candidate : candidates) {
      try {
        model->check(candidate.batch);
      } catch (const UserError& error) {
        if (refusal.empty()) refusal = one_line(error);
        continue;
      }
      if (!batch_.labels.defined()) batch_ = candidate.batch;
    }
    if (!batch_.labels.defined())
      fails(
          "takes none of the examples it was offered ({}: {}); name a dataset that it takes by --set data.name=... and "
          "--set data.path=...",
          candidates[0].what, refusal);
  }

  // What is let through must be something that it can work with.
  void refusals() const {
    TriedModel model(make<Model>(plugin_, options_), Precision::float32);
    const at::Tensor values = model.initial(key(0));
    std::vector<TrialExamples> wrong = made_up_examples(model.model(), options_);
    wrong.push_back({batch_.features.defined() ? "examples of one feature more" : "a token that is in no vocabulary",
                     spoiled(batch_)});
    for (const TrialExamples& examples : wrong) {
      try {
        model.model().check(examples.batch);
      } catch (const UserError&) {
        continue;
      } catch (const std::exception& error) {
        fails("does not say in a UserError that it cannot take {}, but throws \"{}\"", examples.what, one_line(error));
      }
      try {
        model.evaluate(values, examples.batch);
      } catch (const std::exception& error) {
        fails("lets {} through its check, but cannot evaluate them: {}", examples.what, one_line(error));
      }
    }
  }

  void initialization() const {
    TriedModel one(make<Model>(plugin_, options_), Precision::float32);
    TriedModel other(make<Model>(plugin_, options_), Precision::float32);
    const at::Tensor values = one.initial(key(1));
    if (!at::isfinite(values).all().item<bool>()) fails("starts with parameters that are not finite");
    if (!gaps_are_zero(one.layout(), values)) fails("writes between its tensors when it is initialized");
    other.initial(key(2));
    if (!at::equal(values, other.initial(key(1))))
      fails("does not start alike: its first parameters must be a function of the key alone");
  }

  void determinism(Precision precision) const {
    TriedModel one(make<Model>(plugin_, options_), precision), other(make<Model>(plugin_, options_), precision);
    const at::Tensor values = one.initial(key(0));
    const TriedModel::Fit fit = one.fit(values, batch_, key(3));
    const TriedModel::Evaluation evaluation = one.evaluate(values, batch_);
    if (!std::isfinite(fit.sums.loss_sum) || !at::isfinite(fit.gradients).all().item<bool>())
      fails("has a loss or a gradient that is not finite");
    if (!gaps_are_zero(one.layout(), fit.gradients)) fails("writes between the gradients of its tensors");
    if (const std::string what = difference(fit, other.fit(values, batch_, key(3))); !what.empty())
      fails("is not deterministic: two of its objects give {} of the same batch differently", what);
    if (const std::string what = difference(evaluation, other.evaluate(values, batch_)); !what.empty())
      fails("is not deterministic: two of its objects evaluate {} of the same batch differently", what);
  }

  void order(Precision precision) const {
    TriedModel model(make<Model>(plugin_, options_), precision);
    const at::Tensor values = model.initial(key(0)), moved = values.add(0.01);
    const Batch some = first(3);
    const TriedModel::Fit before = model.fit(values, batch_, key(3));
    model.fit(moved, some, key(4));
    model.evaluate(moved, some);
    if (const std::string what = difference(before, model.fit(values, batch_, key(3))); !what.empty())
      fails("depends on what was computed before: {} of a batch changed after another one", what);
  }

  void threads(Precision precision) const {
    TriedModel model(make<Model>(plugin_, options_), precision);
    const at::Tensor values = model.initial(key(0));
    const TriedModel::Fit fit = model.fit(values, batch_, key(3));
    const TriedModel::Evaluation evaluation = model.evaluate(values, batch_);
    std::string what;
    int num_threads = 1;
    for (const int threads : {2, 3}) {
      if (!what.empty()) break;
      at::set_num_threads(threads);
      num_threads = threads;
      what = difference(fit, model.fit(values, batch_, key(3)));
      if (what.empty()) what = difference(evaluation, model.evaluate(values, batch_));
    }
    at::set_num_threads(1);
    if (!what.empty()) fails("depends on the number of threads: {} is not the same on 1 and on {}", what, num_threads);
  }

  bool uses_one_thread() const { return make<Model>(plugin_, options_)->uses_one_thread(); }

  // As a rank fits and evaluates at the same time.
  void at_once(Precision precision) const {
    constexpr int num_objects = 3, num_turns = 10;
    TriedModel alone(make<Model>(plugin_, options_), precision);
    const at::Tensor values = alone.initial(key(0));
    const TriedModel::Evaluation evaluation = alone.evaluate(values, batch_);
    std::vector<std::unique_ptr<TriedModel>> objects;
    std::vector<TriedModel::Fit> fits;
    for (int i = 0; i < num_objects; ++i) {
      objects.push_back(std::make_unique<TriedModel>(make<Model>(plugin_, options_), precision));
      fits.push_back(alone.fit(values, batch_, key(static_cast<std::uint64_t>(i))));
    }
    std::vector<std::string> what(num_objects);
    at::set_num_threads(num_objects);
    for_each_on_one_thread(num_objects, [&](std::int64_t number) {
      const auto i = static_cast<std::size_t>(number);
      for (int turn = 0; turn < num_turns && what[i].empty(); ++turn) {
        what[i] = difference(fits[i], objects[i]->fit(values, batch_, key(i)));
        if (what[i].empty()) what[i] = difference(evaluation, objects[i]->evaluate(values, batch_));
      }
    });
    at::set_num_threads(1);
    for (const std::string& one : what)
      if (!one.empty())
        fails("says that it uses one thread, but its objects disturb each other: {} is not the same at the same time",
              one);
  }

  void earlier_gradients() const {
    TriedModel model(make<Model>(plugin_, options_), Precision::float32);
    const at::Tensor values = model.initial(key(0));
    const at::Tensor gradients = model.fit(values, batch_, key(3)).gradients;
    const at::Tensor after_others = model.fit(values, batch_, key(3), gradients.add(1.0)).gradients;
    const Layout& layout = model.layout();
    for (std::size_t i = 0; i < layout.num_tensors(); ++i)
      if (layout.has_gradient(i) &&
          !at::equal(layout.gradient_view(gradients, i), layout.gradient_view(after_others, i)))
        fails("does not set the gradient of '{}': what was there before a fit is still in it afterwards",
              layout.spec(i).name);
  }

  void gradient() const {
    TriedModel model(make<Model>(plugin_, options_), Precision::float32);
    check_gradient(model, model.initial(key(0)), batch_);
  }

  void evaluation(Precision precision) const {
    TriedModel model(make<Model>(plugin_, options_), precision);
    const at::Tensor values = model.initial(key(0));
    const std::int64_t n = batch_.labels.size(0);
    model.fit(values, batch_, key(3));
    const at::Tensor gradients = model.gradients().clone();
    const TriedModel::Evaluation all = model.evaluate(values, batch_);
    if (!at::equal(model.values(), values) || !at::equal(model.gradients(), gradients))
      fails("changes its values or gradients when it evaluates");
    if (all.sums.num_examples != n) fails("says that it evaluated {} examples of {}", all.sums.num_examples, n);
    check_predictions(model.model(), all);
    double sum = 0.0;
    for (std::int64_t i = 0; i < n; ++i) sum += model.evaluate(values, choose(batch_, std::array{i})).sums.loss_sum;
    const double loss = all.sums.loss_sum / static_cast<double>(n), alone = sum / static_cast<double>(n);
    if (!(std::abs(loss - alone) <= rounding(precision) * std::max(1.0, std::abs(alone))))
      fails("evaluates examples by who is beside them: a mean loss of {:.6g} together, of {:.6g} one by one", loss,
            alone);
  }

  // What is given another role is computed as before; a frozen tensor has no gradient.
  void roles() const {
    TriedModel proposed(make<Model>(plugin_, options_), Precision::float32);
    const at::Tensor values = proposed.initial(key(0));
    const TriedModel::Fit fit = proposed.fit(values, batch_, key(3));
    std::vector<std::size_t> trained;
    for (std::size_t i = 0; i < proposed.layout().num_tensors(); ++i)
      if (proposed.layout().has_gradient(i)) trained.push_back(i);
    for (const TensorRole role : {TensorRole::local, TensorRole::frozen})
      for (const std::size_t tensor : {trained.front(), trained.back()})
        if (trained.size() > 1) check_role(proposed.layout(), values, fit, tensor, role);
  }

 private:
  static RandomKey key(std::uint64_t part) { return derive(random_key(0, Purpose::synthetic), part); }

  Batch first(std::int64_t count) const {
    std::vector<std::int64_t> rows(static_cast<std::size_t>(std::min(count, batch_.labels.size(0))));
    std::iota(rows.begin(), rows.end(), 0);
    return choose(batch_, rows);
  }

  void check_predictions(const Model& model, const TriedModel::Evaluation& evaluation) const {
    if (model.task() == Task::regression) return;
    const at::Tensor& predictions = evaluation.predictions;
    if (predictions.eq(-1).all().item<bool>()) return;  // it knows its loss alone
    if (at::logical_or(predictions.lt(0), predictions.ge(model.num_labels())).any().item<bool>())
      fails("predicts labels that are not between 0 and {}", model.num_labels() - 1);
  }

  void check_role(const Layout& before, const at::Tensor& values, const TriedModel::Fit& fit, std::size_t tensor,
                  TensorRole role) const {
    const std::string& name = before.spec(tensor).name;
    auto object = make<Model>(plugin_, options_);
    try {
      object->set_layout(
          before.with_roles([&](const TensorSpec& spec) { return spec.name == name ? role : spec.role; }));
    } catch (const UserError&) {  // it may refuse
      return;
    }
    TriedModel model(std::move(object), Precision::float32);
    const Layout& after = model.layout();
    const char* what = role == TensorRole::local ? "local" : "frozen";
    if (after.num_tensors() != before.num_tensors() || after.spec(tensor).role != role)
      fails("does not take the layout that it is given: '{}' should be {}", name, what);
    at::Tensor moved = at::zeros({after.size()}, at::kFloat);
    for (std::size_t i = 0; i < after.num_tensors(); ++i) after.view(moved, i).copy_(before.view(values, i));
    const TriedModel::Fit other = model.fit(moved, batch_, key(3));
    if (other.sums.loss_sum != fit.sums.loss_sum)
      fails("computes another loss when '{}' is {}: find tensors by their index in the layout", name, what);
    for (std::size_t i = 0; i < after.num_tensors(); ++i)
      if (after.has_gradient(i) &&
          !at::equal(after.gradient_view(other.gradients, i), before.gradient_view(fit.gradients, i)))
        fails("computes another gradient of '{}' when '{}' is {}", after.spec(i).name, name, what);
  }

  const Plugin& plugin_;
  const Job& job_;
  Options options_;
  Batch batch_;
};

}  // namespace

void check_model(const Conformance& conformance) {
  ModelChecks checks(conformance);
  at::set_num_threads(1);
  if (!conformance.check("layout", [&] { checks.layout(); })) return;
  if (!conformance.check("takes examples", [&] { checks.examples(); })) return;
  conformance.check("refuses others", [&] { checks.refusals(); });
  if (!conformance.check("initialization", [&] { checks.initialization(); })) return;
  for (const auto& [precision, in] : {std::pair{Precision::float32, ""}, std::pair{Precision::bf16, " in bf16"}}) {
    if (!conformance.check(fmt::format("same results again{}", in), [&] { checks.determinism(precision); })) return;
    conformance.check(fmt::format("any order{}", in), [&] { checks.order(precision); });
    conformance.check(fmt::format("any number of threads{}", in), [&] { checks.threads(precision); });
    if (checks.uses_one_thread())
      conformance.check(fmt::format("several at once{}", in), [&] { checks.at_once(precision); });
    conformance.check(fmt::format("evaluation{}", in), [&] { checks.evaluation(precision); });
  }
  conformance.check("sets the gradients", [&] { checks.earlier_gradients(); });
  conformance.check("gradient", [&] { checks.gradient(); });
  conformance.check("other roles", [&] { checks.roles(); });
}

}  // namespace fedmpi
