// Adapters of the packed network beside a dense one of plain LibTorch operators with autograd, in float64.
#include "fedmpi/error.hpp"
#include "loaded_model.hpp"
#include "transformer.hpp"
#include "transformer_files.hpp"

#include <cmath>
#include <map>
#include <string>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace fedmpi {
namespace {

using Given = std::map<std::string, OptionValue>;

Batch text_batch(const std::vector<std::int64_t>& lengths) {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> offsets{0}, labels;
  RandomStream random(random_key(9, Purpose::synthetic));
  for (const std::int64_t length : lengths) {
    for (std::int64_t i = 0; i < length; ++i) tokens.push_back(static_cast<std::int32_t>(random.below(23)));
    offsets.push_back(static_cast<std::int64_t>(tokens.size()));
    labels.push_back(length % 2);
  }
  return {at::tensor(tokens, at::kInt), at::tensor(offsets, at::kLong), {}, at::tensor(labels, at::kLong)};
}

// A model whose adapters do change something: B starts at zero.
struct Adapted {
  Adapted(const std::filesystem::path& path, Given more, Precision precision = Precision::float32, bool zero_up = false,
          const LoadedModel::Roles& roles = nullptr)
      : model(Options(transformer_options, with(std::move(more), path), "test")) {
    if (roles) model.set_layout(model.layout().with_roles(roles));
    values = at::zeros({model.layout().size()});
    gradients = at::zeros({model.layout().trainable_size()});
    model.initialize(values, random_key(5, Purpose::initialise));
    model.bind(values, gradients, precision);
    RandomStream random(random_key(8, Purpose::synthetic));
    for (std::size_t i = 0; i < model.layout().num_tensors(); ++i) {
      if (zero_up || !model.layout().spec(i).name.ends_with("lora_B.weight")) continue;
      at::Tensor up = model.layout().view(values, i);
      for (std::int64_t j = 0; j < up.numel(); ++j) up.data_ptr<float>()[j] = static_cast<float>(0.3 * random.normal());
    }
  }
  static Given with(Given more, const std::filesystem::path& path) {
    more.insert({{"path", path.string()}, {"dropout", 0.0}, {"attention_dropout", 0.0}, {"classifier_dropout", 0.0}});
    return more;
  }
  double loss(const Batch& batch) {
    model.values_changed();
    return model.fit(batch, random_key(6, Purpose::dropout)).loss_sum / static_cast<double>(batch.labels.numel());
  }
  double evaluated_loss(const Batch& batch) {
    return model.evaluate(batch, at::empty({batch.labels.numel()}, at::kLong)).loss_sum;
  }

  Transformer model;
  at::Tensor values, gradients;
};

// The same network, one sequence at a time.
class Dense {
 public:
  Dense(const Adapted& ours, const std::string& type, const std::string& pooling, double scale)
      : is_bert_{type == "bert"}, pooling_{pooling}, scale_{scale} {
    const Layout& layout = ours.model.layout();
    for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
      at::Tensor value = layout.view(ours.values, i).to(at::kDouble);
      tensors_[layout.spec(i).name] = value.requires_grad_(layout.has_gradient(i));
    }
  }

  at::Tensor loss(const Batch& batch) const {
    std::vector<at::Tensor> logits;
    const auto offsets = batch.offsets.accessor<std::int64_t, 1>();
    for (std::int64_t i = 0; i + 1 < batch.offsets.size(0); ++i)
      logits.push_back(logits_of(batch.tokens.slice(0, offsets[i], offsets[i + 1]).to(at::kLong)));
    return at::cross_entropy_loss(at::stack(logits), batch.labels);
  }
  const at::Tensor& operator[](const std::string& name) const { return tensors_.at(name); }

 private:
  at::Tensor linear(const std::string& name, const at::Tensor& in) const {
    const at::Tensor out = at::linear(in, tensors_.at(name + ".weight"), tensors_.at(name + ".bias"));
    const auto down = tensors_.find(name + ".lora_A.weight");
    if (down == tensors_.end()) return out;
    return out + scale_ * at::linear(at::linear(in, down->second), tensors_.at(name + ".lora_B.weight"));
  }
  at::Tensor norm(const std::string& name, const at::Tensor& in) const {
    return at::layer_norm(in, {in.size(1)}, tensors_.at(name + ".weight"), tensors_.at(name + ".bias"), 1e-12);
  }

  at::Tensor layer(const std::string& at, const at::Tensor& in) const {
    const std::int64_t length = in.size(0), heads = is_bert_ ? 2 : 4;
    const auto of_heads = [&](const char* bert, const char* distilbert) {
      return linear(at + (is_bert_ ? bert : distilbert), in).view({length, heads, -1}).transpose(0, 1);
    };
    const at::Tensor q = of_heads("attention.self.query", "attention.q_lin");
    const at::Tensor k = of_heads("attention.self.key", "attention.k_lin");
    const at::Tensor v = of_heads("attention.self.value", "attention.v_lin");
    const at::Tensor scores = at::matmul(q, k.transpose(1, 2)) / std::sqrt(static_cast<double>(q.size(2)));
    const at::Tensor context = at::matmul(scores.softmax(2), v).transpose(0, 1).reshape({length, -1});
    const at::Tensor projected = linear(at + (is_bert_ ? "attention.output.dense" : "attention.out_lin"), context);
    const at::Tensor middle = norm(at + (is_bert_ ? "attention.output.LayerNorm" : "sa_layer_norm"), in + projected);
    const at::Tensor inner = at::gelu(linear(at + (is_bert_ ? "intermediate.dense" : "ffn.lin1"), middle));
    const at::Tensor outer = linear(at + (is_bert_ ? "output.dense" : "ffn.lin2"), inner);
    return norm(at + (is_bert_ ? "output.LayerNorm" : "output_layer_norm"), middle + outer);
  }

  at::Tensor logits_of(const at::Tensor& tokens) const {
    const std::string prefix = is_bert_ ? "bert." : "distilbert.", embeddings = prefix + "embeddings.";
    at::Tensor out = tensors_.at(embeddings + "word_embeddings.weight").index_select(0, tokens) +
                     tensors_.at(embeddings + "position_embeddings.weight").slice(0, 0, tokens.size(0));
    if (is_bert_) out = out + tensors_.at(embeddings + "token_type_embeddings.weight")[0];
    out = norm(embeddings + "LayerNorm", out);
    for (const char* number : {"0.", "1."})
      out = layer(prefix + (is_bert_ ? "encoder.layer." : "transformer.layer.") + number, out);
    if (pooling_ == "mean") return linear("classifier", out.mean(0));
    const at::Tensor dense = linear(is_bert_ ? "bert.pooler.dense" : "pre_classifier", out[0]);
    return linear("classifier", is_bert_ ? dense.tanh() : dense.relu());
  }

  bool is_bert_;
  std::string pooling_;
  double scale_;
  std::map<std::string, at::Tensor> tensors_;
};

struct Case {
  const char* type;
  const char* pooling;
  std::vector<std::string> targets;  // empty: by default
  std::int64_t rank;
  std::size_t num_adapters;
};
class Lora : public testing::TestWithParam<Case> {
 protected:
  Given given() const {
    Given options{{"pooling", std::string(GetParam().pooling)}, {"lora_rank", GetParam().rank}, {"lora_alpha", 6.0}};
    if (!GetParam().targets.empty()) options["lora_targets"] = GetParam().targets;
    return options;
  }
  double scale() const { return 6.0 / static_cast<double>(GetParam().rank); }
  const std::unique_ptr<TransformerDirectory> directory_ = make_directory(GetParam().type);
};
INSTANTIATE_TEST_SUITE_P(
    All, Lora,
    testing::Values(Case{"bert", "head", {}, 8, 4}, Case{"bert", "mean", {}, 3, 4},
                    Case{"bert", "head", {"query", "key", "value", "dense"}, 5, 12},
                    Case{"bert", "mean", {"attention.output.dense", "key"}, 20, 4},
                    Case{"distilbert", "head", {}, 8, 4}, Case{"distilbert", "mean", {"lin1", "lin2", "out_lin"}, 1, 6},
                    Case{"distilbert", "head", {"q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"}, 4, 12}),
    [](const auto& of) {
      return std::string(of.param.type) + "_" + of.param.pooling + "_" + std::to_string(of.index);
    });

TEST_P(Lora, LossAndGradientsAreThoseOfTheDenseNetwork) {
  Adapted ours(directory_->path(), given());
  const Batch batch = text_batch({5, 1, 67, 12, 80, 33});
  const Dense dense(ours, GetParam().type, GetParam().pooling, scale());
  const at::Tensor loss = dense.loss(batch);
  loss.backward();
  EXPECT_NEAR(ours.loss(batch), loss.item<double>(), 1e-5);
  const Layout& layout = ours.model.layout();
  std::size_t num_adapters = 0;
  for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
    const std::string& name = layout.spec(i).name;
    const bool is_adapter = name.find(".lora_") != std::string::npos;
    num_adapters += is_adapter ? 1 : 0;
    EXPECT_EQ(layout.has_gradient(i), is_adapter || layout.spec(i).kind == TensorKind::head) << name;
    if (!layout.has_gradient(i)) continue;
    const at::Tensor expected = dense[name].grad();
    const double difference = (layout.view(ours.gradients, i).to(at::kDouble) - expected).norm().item<double>();
    // A key's gradient may vanish but for rounding.
    EXPECT_LE(difference, 1e-4 * expected.norm().item<double>() + 1e-6) << name;
  }
  EXPECT_EQ(num_adapters, 2 * GetParam().num_adapters);
}

TEST_P(Lora, StartsAsTheModelWithout) {
  Adapted adapted(directory_->path(), given(), Precision::float32, true);
  Adapted plain(directory_->path(), {{"pooling", std::string(GetParam().pooling)}});
  const Batch batch = text_batch({5, 1, 67});
  EXPECT_EQ(adapted.loss(batch), plain.loss(batch));
  const Layout &layout = adapted.model.layout(), &without = plain.model.layout();
  for (std::size_t i = 0; i < layout.num_tensors(); ++i) {
    const TensorSpec& spec = layout.spec(i);
    const at::Tensor value = layout.view(adapted.values, i);
    if (spec.name.ends_with("lora_A.weight")) {
      const double bound = 1.0 / std::sqrt(static_cast<double>(spec.shape[1]));
      EXPECT_LE(value.abs().max().item<double>(), bound);
      EXPECT_GT(value.abs().max().item<double>(), 0.5 * bound);
    } else if (spec.name.ends_with("lora_B.weight")) {
      EXPECT_EQ(value.abs().max().item<double>(), 0.0);
    } else {
      EXPECT_TRUE(value.equal(without.view(plain.values, *without.find(spec.name)))) << spec.name;
    }
  }
}

TEST_P(Lora, ThreadsAndHistoryDoNotChangeABit) {
  const int threads_before = at::get_num_threads();
  const Batch batch = text_batch({40, 3, 80, 77, 1, 64, 30, 80, 80});
  for (const Precision precision : {Precision::float32, Precision::bf16}) {
    Adapted ours(directory_->path(), given(), precision);
    const double loss = ours.loss(batch), evaluated = ours.evaluated_loss(batch);
    const at::Tensor gradients = ours.gradients.clone();
    for (const int threads : {1, 2, 4}) {
      at::set_num_threads(threads);
      ours.loss(text_batch({80, 80, 17, 80, 64, 80, 80, 80, 80, 80, 80}));
      EXPECT_EQ(ours.loss(batch), loss);
      EXPECT_EQ(ours.evaluated_loss(batch), evaluated);
      EXPECT_TRUE(ours.gradients.equal(gradients));
    }
  }
  at::set_num_threads(threads_before);
}

TEST_P(Lora, Bf16IsNearFloat32) {
  Adapted exact(directory_->path(), given()), rounded(directory_->path(), given(), Precision::bf16);
  const Batch batch = text_batch({40, 3, 70, 12});
  EXPECT_NEAR(exact.loss(batch), rounded.loss(batch), 0.1);
  const double difference = (exact.gradients - rounded.gradients).norm().item<double>();
  EXPECT_LT(difference, 0.08 * exact.gradients.norm().item<double>());
  EXPECT_GT(difference, 0.0);
}

// FFA-LoRA freezes A.
TEST_P(Lora, HalfAnAdapterMayBeFrozen) {
  Adapted whole(directory_->path(), given());
  Adapted half(directory_->path(), given(), Precision::float32, false, [](const TensorSpec& spec) {
    return spec.name.ends_with("lora_A.weight") ? TensorRole::frozen : spec.role;
  });
  const Batch batch = text_batch({40, 3, 70, 12});
  EXPECT_EQ(half.loss(batch), whole.loss(batch));
  const Layout &layout = half.model.layout(), &all = whole.model.layout();
  for (std::size_t i = 0; i < layout.num_tensors(); ++i)
    if (layout.has_gradient(i)) {
      EXPECT_TRUE(layout.view(half.gradients, i).equal(all.view(whole.gradients, i))) << layout.spec(i).name;
    }
}

TEST(Transformer, AdaptersAreChosenWell) {
  const auto directory = make_directory("bert");
  const auto complaint = [&](const Given& given) { return refusal([&] { Adapted(directory->path(), given); }); };
  EXPECT_NE(complaint({{"lora_rank", std::int64_t{4}}, {"train_layers", std::int64_t{1}}}).find("leave out"),
            std::string::npos);
  EXPECT_NE(complaint({{"lora_rank", std::int64_t{4}}, {"lora_targets", std::vector<std::string>{"quary"}}})
                .find("model.lora_targets names 'quary', but the linear modules of a layer are attention.self.query,"),
            std::string::npos);
  EXPECT_NE(complaint({{"lora_targets", std::vector<std::string>{"query"}}}).find("no use without model.lora_rank"),
            std::string::npos);
}

}  // namespace
}  // namespace fedmpi
