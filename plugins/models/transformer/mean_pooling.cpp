#include "hugging_face.hpp"

#include <fmt/format.h>

namespace fedmpi {
namespace {

constexpr const char* code =
    R"("""A classifier on the mean of a text's last hidden states: what fedmpi trains with model.pooling = "mean"."""
from torch import nn
from transformers import {family}Config, {family}Model, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class MeanPoolingConfig({family}Config):
    model_type = "{type}"


class MeanPoolingForSequenceClassification(PreTrainedModel):
    config_class = MeanPoolingConfig

    def __init__(self, config):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.{body} = {family}Model(config{no_pooler})
        rate = config.{rate}
        self.dropout = nn.Dropout({otherwise} if rate is None else rate)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, labels=None, **others):
        hidden = self.{body}(input_ids=input_ids, attention_mask=attention_mask, **others)[0]
        mask = hidden.new_ones(hidden.shape[:2]) if attention_mask is None else attention_mask.to(hidden)
        pooled = (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        logits = self.classifier(self.dropout(pooled))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)
)";

}  // namespace

std::string mean_pooling_code(const TransformerConfig& config) {
  const bool is_bert = config.family == TransformerConfig::Family::bert;
  return fmt::format(fmt::runtime(code), fmt::arg("family", is_bert ? "Bert" : "DistilBert"),
                     fmt::arg("type", is_bert ? "bert_mean_pooling" : "distilbert_mean_pooling"),
                     fmt::arg("body", is_bert ? "bert" : "distilbert"),
                     fmt::arg("no_pooler", is_bert ? ", add_pooling_layer=False" : ""),
                     fmt::arg("rate", is_bert ? "classifier_dropout" : "seq_classif_dropout"),
                     fmt::arg("otherwise", is_bert ? "config.hidden_dropout_prob" : "0.2"));
}

}  // namespace fedmpi
