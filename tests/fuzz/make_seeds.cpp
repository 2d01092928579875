// make_seeds DIR: writes DIR/TARGET/... for every target, small inputs that are right.
#include "../unit/review_files.hpp"
#include "seeds.hpp"

#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>

namespace fedmpi {
namespace {

constexpr std::string_view bert = R"({"model_type": "bert", "vocab_size": 23, "max_position_embeddings": 80,
"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 48, "hidden_dropout_prob": 0.1,
"attention_probs_dropout_prob": 0.2, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "type_vocab_size": 2,
"initializer_range": 0.3, "position_embedding_type": "absolute", "classifier_dropout": null})";
constexpr std::string_view distilbert = R"({"model_type": "distilbert", "vocab_size": 23,
"max_position_embeddings": 80, "n_layers": 2, "n_heads": 4, "dim": 16, "hidden_dim": 32, "dropout": 0.3,
"attention_dropout": 0.2, "seq_classif_dropout": 0.25, "activation": "gelu"})";

constexpr std::string_view tensors = R"({"__metadata__":{"format":"pt"},
"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[1,3],"data_offsets":[8,14]},
"c":{"dtype":"F16","shape":[],"data_offsets":[14,16]},"d":{"dtype":"I64","shape":[0,5],"data_offsets":[16,16]}})";

// Sharp s, a capital with a dot, Angstrom, two marks out of order, an ideograph, bytes that are not UTF-8.
constexpr std::string_view vocabulary =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##aff\n##able\n!\na\n##a\n\xE4\xB8\xAD\nss\n";
constexpr std::string_view texts[] = {
    "unaffable! [MASK] a\t\x7F[UNK", "\xC3\x9F \xC4\xB0 \xE2\x84\xAB a\xCC\xA7\xCC\x81 \xE4\xB8\xAD",
    "\xFF\xC3 \xED\xA0\x80 \xF4\x90\x80\x80 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

constexpr std::string_view job = R"([run]
name = "smoke"
rounds = 3
seed = 0x2a
plugins = ["a", 'b']
[federation]
clients = 10
fraction_fit = 0.5
[strategy]
name = "fedavg"
[model]
name = "logistic"
sizes = [1, 2.5]
[data]
name = "synthetic"
partition = { name = "iid" }
[training]
batch_size = 16
optimizer = "sgd"
learning_rate = 1e-1
[evaluation]
central = false
[checkpoint]
keep = 1_0
)";

// After a first byte: csv, tsv and jsonl with a header and quotes, tsv without a header, csv without quotes.
constexpr std::string_view tables[] = {
    "0id,a,b\r\n1,\"x, \"\"y\"\"\nz\",pos\r\n\r\n2,5\" disk,\n", "1a\tb\nx, y\t1\n\"t\tt\"\t2\n",
    "2{\"a\":\"caf\\u00e9\",\"b\":-3,\"c\":{\"a\":[1]}}\n\n{\"b\":true,\"a\":\"\"}\r\n", "4x\t1\ny\t0\n",
    "6\xEF\xBB\xBF"
    "b,a\n\"x,y\"\n"};

constexpr std::string_view metrics =
    R"({"round":1,"digest":"beef","clients":3,"failures":0,"fit":{"loss":0.5},"evaluate":{"loss":0.4,"accuracy":null},)"
    R"("central":{"f1":0.5,"confusion":[[1,2],[0,3]]},)"
    R"("seconds":{"fit":1.5,"total":2.0},"tokens_per_second":1e3,"update_bytes":8,"bytes_sent":12,"peak_rss_bytes":34})";
constexpr std::string_view layout =
    R"(L[{"name":"w","shape":[4,5],"role":"shared","offset":0,"learning_rate":0.5},)"
    R"({"name":"n","shape":[],"role":"local","offset":32},{"name":"f","shape":[3],"role":"frozen","offset":48}])";

constexpr std::string_view equal_names =
    R"(L[{"name":"w","shape":[],"role":"shared","offset":0},{"name":"w","shape":[],"role":"shared","offset":16}])";

constexpr std::string_view no_integer = R"(L[{"name":"w","shape":[4e70],"role":"shared","offset":0}])";

void write(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string safetensors() {
  const std::uint64_t length = tensors.size();
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
  return bytes.append(tensors).append(16, 'x');
}

void make_text_seeds(const std::filesystem::path& directory) {
  write(directory / "config/bert", bert);
  write(directory / "config/distilbert", distilbert);
  write(directory / "safetensors/small", safetensors());
  for (const std::string_view text : texts) {
    write(directory / "vocabulary" / std::to_string(text.size()), std::string(vocabulary).append(1, '\0').append(text));
  }
  for (std::size_t i = 0; i < std::size(tables); ++i) {
    write(directory / "table" / std::to_string(i), tables[i]);
  }
  write(directory / "job/smoke", job);
  write(directory / "job/set", std::string(job)
                                   .append(1, '\0')
                                   .append("run.rounds=5")
                                   .append(1, '\0')
                                   .append("data.partition={ name = \"iid\" }"));
  write(directory / "job/rules", std::string(job)
                                     .append(1, '\0')
                                     .append("data.partition={ name = \"dirichlet\", alpha = [0.5, 1] }")
                                     .append(1, '\0')
                                     .append("data.partition.self_balancing=true")
                                     .append(1, '\0')
                                     .append("federation.sampling=weighted")
                                     .append(1, '\0')
                                     .append("federation.compression={ name = \"int8\", block_size = 8 }"));
  write(directory / "rule_file/indices", R"({"train": [[0, 5], [3], [1, 2]], "test": [[4], [], [7]]})");
  write(directory / "rule_file/rounds", R"({"rounds": [[0, 2], [1, 0], [2, 1]]})");
  write(directory / "rule_file/clients", R"({"clients": [[[1, 1], [3, 9]], [[2, 3]], [[1, 2]]]})");
  write(directory / "records/metrics", metrics);
  write(directory / "records/layout", layout);
  write(directory / "records/equal_names", equal_names);
  write(directory / "records/no_integer", no_integer);
  write(directory / "records/strings", R"(S{"torch":"2.13.0","plugin.model":"be\u00eff"})");
  write(directory / "records/partition",
        R"(P{"clients": [{"client":0,"train_examples":3,"test_examples":1,"tokens":9,"labels":{"0":2,"-1":1}}]})");
  write(directory / "records/names", R"(N["momentum","second"])");
}

void make_archive_seeds(const std::filesystem::path& directory) {
  std::filesystem::create_directories(directory);
  for (const auto& [name, format] : {std::pair<const char*, int>{"ustar", ARCHIVE_FORMAT_TAR_USTAR},
                                     {"gnu", ARCHIVE_FORMAT_TAR_GNUTAR},
                                     {"pax", ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE}}) {
    write_archive(directory / name, small_reviews(), AE_IFREG, format, false);
  }
  write_archive(directory / "gzip", small_reviews());
}

}  // namespace
}  // namespace fedmpi

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_seeds DIR\n";
    return 2;
  }
  const std::filesystem::path directory = argv[1];
  fedmpi::make_text_seeds(directory);
  fedmpi::make_archive_seeds(directory / "archive");
  fedmpi::make_hdf5_seeds(directory);
  return 0;
}
