#include "fedmpi/plugin.hpp"

#include "transformer.hpp"

FEDMPI_PLUGIN(Model, fedmpi::Transformer, "transformer", "1.0",
              "DistilBERT or BERT from a Hugging Face directory, for sequence classification",
              fedmpi::transformer_options)
