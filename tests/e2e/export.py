"""fedmpi export: transformers, PyTorch and safetensors open what it writes and compute what the program computes.

export.py --fedmpi PROGRAM --mpirun PROGRAM --probe PROGRAM --minilm DIR --archive FILE --workdir DIR
Exit status 77 where a package is missing. Without MiniLM or the reviews that part alone is left out, saying so.
"""
import argparse
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

try:
    import numpy as np
    import torch
    import transformers
    from safetensors import numpy as safetensors
    from torch import nn

    import h5py
    from program import Program, damaged
    from reviews import small_archive
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

BOUND = 1e-5
LAST = "bert_15_cased_whole"  # of small_models, whose source is in model/
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "bad", "film", "very", "not", ".", "##s", "the", "fine"]
CASED_WORDS = WORDS + ["The", "Film", "A"]
JOB = """\
[run]
name = "exported"
rounds = 2
threads = 1
[federation]
clients = 3
[model]
name = "transformer"
path = "model"
[data]
name = "hdf5_text"
path = "shards"
[training]
batch_size = 8
learning_rate = 5e-3
precision = "float32"
[evaluation]
federated = false
[checkpoint]
keep = 0
"""
ARRAY_JOB = """\
[run]
name = "arrays"
rounds = 2
threads = 1
[federation]
clients = 4
[model]
name = "mlp"
[data]
name = "synthetic"
[training]
batch_size = 16
learning_rate = 1e-2
precision = "float32"
"""


def write_source(directory, family, words, tokenizer_config=None):
    """As Hugging Face writes a model of this family, random but of a size that logits differ by."""
    torch.manual_seed(7)
    common = {"vocab_size": len(words), "max_position_embeddings": 48, "initializer_range": 0.2}
    if family == "bert":
        config = transformers.BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, **common)
        model = transformers.BertModel(config)
    else:
        config = transformers.DistilBertConfig(dim=32, n_layers=2, n_heads=4, hidden_dim=64, **common)
        model = transformers.DistilBertForSequenceClassification(config)
    model.save_pretrained(directory)
    (directory / "vocab.txt").write_text("".join(word + "\n" for word in words), encoding="utf-8")
    if tokenizer_config is not None:
        (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer_config), encoding="utf-8")


def write_texts(path, count, seed):
    random = np.random.default_rng(seed)
    texts = [" ".join(random.choice(["A", "the", "The", "goods", "bad", "film", "Film", "VERY", "not", "fine.", "odd", "[MASK]"],
                                    random.integers(1, 30))) for _ in range(count)]
    with open(path, "w", encoding="utf-8") as file:
        for text in texts:
            file.write(json.dumps({"text": text, "label": "good" if "good" in text else "other"}) + "\n")
    return texts


def checkpoint(output, number):
    return f"{output}/checkpoints/round_{number:04}.h5"


def our_logits(program, probe, path, sequences):
    (program.directory / "batch.json").write_text(json.dumps(sequences), encoding="utf-8")
    subprocess.run([probe, path, "batch.json", "logits.json"], cwd=program.directory, check=True)
    return np.array(json.loads((program.directory / "logits.json").read_text(encoding="utf-8")))


def their_logits(directory, texts, length, labels):
    """As a user of transformers gets them, in one batch of padded texts; and the ids that their tokenizer gives."""
    trust = {"trust_remote_code": True} if (directory / "mean_pooling.py").exists() else {}
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory, **trust)
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(directory, output_loading_info=True, **trust)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
    assert model.dtype == torch.float32 and not model.training
    assert model.config.architectures == [type(model).__name__], model.config
    assert model.config.id2label == labels, model.config
    encoded = tokenizer(texts, truncation=True, max_length=length, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**encoded).logits.numpy()
    ids = [row[mask.bool()].tolist() for row, mask in zip(encoded["input_ids"], encoded["attention_mask"])]
    return logits, ids, model


def sequences_of(shard):
    with h5py.File(shard) as file:
        tokens, offsets = file["tokens"][:].tolist(), file["offsets"][:]
    return [tokens[begin:end] for begin, end in zip(offsets, offsets[1:])]


def same_logits(program, probe, path, directory, texts, shard, length, names=("good", "other")):
    theirs, ids, model = their_logits(program.directory / directory, texts, length, dict(enumerate(names)))
    assert model.config.label2id == {name: label for label, name in enumerate(names)}, model.config
    assert sorted(ids) == sorted(sequences_of(program.directory / shard)), "prepare's ids are not the exported tokenizer's"
    difference = np.abs(our_logits(program, probe, path, ids) - theirs).max()
    spread = np.ptp(theirs, axis=0).max()
    print(f"  {directory}: {len(texts)} texts, logits differ by {difference:.1e}, texts' logits by {spread:.2f}")
    assert difference <= BOUND < 1e-3 < spread, (difference, spread)
    return model


def goes_on(program, path, directory, settings, *, whole):
    """The directory as another job's model.path: it starts where this run ended, and learns on."""
    output = f"{directory}_again"
    program.run(output, f"model.path={directory}", "run.rounds=1", *settings)
    number = int(path.rpartition("_")[2].removesuffix(".h5"))
    before, after = program.rounds(path.split("/")[0])[number]["central"]["loss"], program.rounds(output)[0]["central"]["loss"]
    print(f"  {directory}: central loss {before:.6f} where it ended, {after:.6f} where the other job starts")
    assert abs(before - after) <= BOUND
    if whole:  # nothing was merged
        assert program.digests(output)[0] == program.digests(path.split("/")[0])[number]
    assert program.digests(output)[1] != program.digests(output)[0]


def small_models(program, probe):
    directory = program.directory
    texts = write_texts(directory / "test.jsonl", 100, seed=1)
    write_texts(directory / "train.jsonl", 60, seed=2)
    table = ["--text", "text", "--label", "label", "--test", "test.jsonl"]
    for family, words, cased, config in (("bert", WORDS, False, None), ("distilbert", WORDS, False, None),
                                         ("bert", CASED_WORDS, True, None),
                                         ("distilbert", CASED_WORDS, False, {"do_lower_case": True}),
                                         ("bert", WORDS, True, {"do_lower_case": False, "model_max_length": 512})):
        for name in ("model", "shards"):
            shutil.rmtree(directory / name, ignore_errors=True)
        write_source(directory / "model", family, words, config)
        program("prepare", "jsonl", "train.jsonl", *table, "--vocabulary", "model/vocab.txt", "--output", "shards", "--max-tokens", 20,
                *(["--cased"] if cased else []))
        name = f"{family}_{len(words)}_{'cased' if cased else 'uncased'}"
        lora = ["model.lora_rank=3", "model.lora_alpha=5.5"]
        every = '["q_lin","k_lin","v_lin","out_lin","lin1","lin2"]' if family == "distilbert" else '["query","key","value","dense"]'
        variants = {"whole": [], "lora": lora, "every_lora": [*lora, f"model.lora_targets={every}"],
                    "head": ["model.train_layers=0"], "last": ["model.train_layers=1"], "mean": ['model.pooling="mean"'],
                    "mean_lora": ['model.pooling="mean"', *lora]}
        for variant, settings in variants.items() if config is None and not cased else [("whole", [])]:
            run, out = f"{name}_{variant}", f"{name}_{variant}_exported"
            program.run(run, *settings)
            program("export", checkpoint(run, 2), out)
            model = same_logits(program, probe, checkpoint(run, 2), out, texts, "shards/test.h5", 20)
            assert model.config.problem_type == "single_label_classification"
            code = ["mean_pooling.py"] if "mean" in variant else []
            assert sorted(os.listdir(directory / out)) == ["config.json", *code, "model.safetensors", "tokenizer_config.json", "vocab.txt"]
            kept = [setting for setting in settings if "lora" not in setting]
            goes_on(program, checkpoint(run, 2), out, kept, whole="lora" not in variant)
        if not code:
            continue
        try:
            transformers.AutoModelForSequenceClassification.from_pretrained(directory / out, trust_remote_code=False)
        except ValueError as error:
            assert "trust_remote_code=True" in str(error), error
        else:
            sys.exit("without its own class the model would have another head")
        program.run(f"{name}_head_again", f"model.path={out}", "run.rounds=1")  # the encoder of a mean for another head
        program("export", checkpoint(f"{name}_head_again", 1), f"{name}_head_again_exported")
        same_logits(program, probe, checkpoint(f"{name}_head_again", 1), f"{name}_head_again_exported", texts, "shards/test.h5", 20)


def labels_and_keys_of_a_source(program, probe):
    """A source for another task, in half precision: what speaks of that does not get through."""
    directory = program.directory
    config = transformers.BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=len(WORDS),
                                     max_position_embeddings=48, id2label={0: "CAT", 1: "DOG", 2: "COW"}, problem_type="regression",
                                     initializer_range=0.2)
    model = transformers.BertForMaskedLM(config).half()
    model.save_pretrained(directory / "other")
    shutil.copy(directory / "model" / "vocab.txt", directory / "other" / "vocab.txt")
    text = json.loads((directory / "other" / "config.json").read_text(encoding="utf-8"))
    text |= {"torch_dtype": "float16", "auto_map": {"AutoModelForSequenceClassification": "code.Model"}, "_name_or_path": "x"}
    (directory / "other" / "config.json").write_text(json.dumps(text), encoding="utf-8")
    program.run("other_run", "model.path=other", "model.num_labels=5", "run.rounds=1")
    program("export", checkpoint("other_run", 1), "other_exported")
    texts = ["a good film .", "bad"]
    theirs, ids, model = their_logits(directory / "other_exported", texts, 20, {0: "good", 1: "other", **{i: f"LABEL_{i}" for i in range(2, 5)}})
    assert theirs.shape == (2, 5) and model.config.problem_type == "single_label_classification"
    assert np.abs(our_logits(program, probe, checkpoint("other_run", 1), ids) - theirs).max() <= BOUND


def moved_model(program, _):
    """A checkpoint whose model was moved is exported with its new place, from any directory."""
    (program.directory / "model").rename(program.directory / "moved")
    done = program("export", checkpoint("other_run", 1), "moved_exported", "--set", "model.path=moved", expected=2)
    assert "was made with other files of the model 'transformer'" in done.stderr, done.stderr
    done = program("export", checkpoint(LAST, 2), "moved_exported", expected=2)
    assert "if the model's files lie elsewhere by now, add --set model.path=" in done.stderr, done.stderr
    program("export", checkpoint(LAST, 2), "moved_exported", "--set", "model.path=moved")
    assert safetensors.load_file(program.directory / "moved_exported" / "model.safetensors")
    (program.directory / "moved").rename(program.directory / "model")


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(20, 16), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.ReLU())
        self.fixed = nn.Linear(16, 16)
        self.fixed.requires_grad_(False)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.fixed(self.body(x)))


def torchscript(program, _):
    directory = program.directory
    (directory / "arrays.toml").write_text(ARRAY_JOB, encoding="utf-8")
    torch.manual_seed(3)
    torch.jit.script(Small()).save(directory / "small.pt")
    program.run("script", 'model.name="torchscript"', "model.path=small.pt", job="arrays.toml")
    program("export", checkpoint("script", 2), "script_exported")
    exported = torch.jit.load(directory / "script_exported" / "model.pt")
    values, _ = program.tensors("script", 2)
    module = Small()
    missing, unexpected = module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in values.items()}, strict=False)
    assert not unexpected and not missing, (missing, unexpected)
    before = torch.jit.load(directory / "small.pt")
    assert exported.training == before.training
    trained = {name: parameter.requires_grad for name, parameter in before.named_parameters()}
    assert {name: parameter.requires_grad for name, parameter in exported.named_parameters()} == trained
    features = torch.randn(9, 20)
    exported.eval(), module.eval(), before.eval()
    assert torch.equal(exported(features), module(features)) and not torch.allclose(exported(features), before(features))
    program.run("script_again", 'model.name="torchscript"', "model.path=script_exported/model.pt", "run.rounds=1", job="arrays.toml")
    assert program.digests("script_again")[0] == program.digests("script")[2]


def other_models(program, _):
    program.run("mlp", job="arrays.toml")
    program("export", checkpoint("mlp", 2), "mlp_exported")
    values, _ = program.tensors("mlp", 2)
    exported = safetensors.load_file(program.directory / "mlp_exported" / "model.safetensors")
    assert set(exported) == set(values)
    for name, value in values.items():
        assert exported[name].dtype == np.float32 and np.array_equal(exported[name], value), name
    program.run("personal", 'strategy.name="fedper"', job="arrays.toml")
    done = program("export", checkpoint("personal", 2), "personal_exported")
    assert "'fedper' leaves layers.1.weight and 1 more with each client" in done.stdout, done.stdout


def content(directory):
    return {path: hashlib.sha256(path.read_bytes()).digest() if path.is_file() else None for path in sorted(directory.rglob("*"))}


def mistakes(program, _):
    directory = program.directory
    (directory / "full").mkdir()
    (directory / "full" / "note.txt").write_text("mine", encoding="utf-8")
    (directory / "empty").mkdir()
    damaged(directory, checkpoint("mlp", 2), "parameters", "damaged.h5")
    good = checkpoint("mlp", 2)
    text = checkpoint(LAST, 2)
    shutil.copytree(directory / "model", directory / "silent")
    (directory / "silent" / "vocab.txt").unlink()
    shutil.copytree(directory / "model", directory / "edited")
    config = (directory / "edited" / "config.json")
    config.write_text(config.read_text(encoding="utf-8").replace('"layer_norm_eps": 1e-12', '"layer_norm_eps": 1e-5'), encoding="utf-8")
    assert config.read_bytes() != (directory / "model" / "config.json").read_bytes()
    cases = [(["nowhere.h5", "out"], ["nowhere.h5"]),
             (["damaged.h5", "out"], ["damaged.h5", "/parameters"]),
             (["mlp/metrics.jsonl", "out"], ["mlp/metrics.jsonl"]),
             (["shards/test.h5", "out"], ["shards/test.h5", "is not a checkpoint"]),
             ([good, "full"], ["full: holds note.txt already", "a directory that is empty or that does not exist yet"]),
             ([good, "full/note.txt"], ["full/note.txt"]),
             ([good, "full/note.txt/deep"], ["full/note.txt"]),
             ([good, ""], ["needs the name of a directory"]),
             ([good], ["directory is required"]),
             ([good, "out", "--set", "run.seed=3"], ["--set run.seed=3", "set keys of [model]"]),
             ([good, "out", "--set", "model.hiden=[3]"], ["'hiden'", "did you mean 'hidden'?"]),
             ([good, "out", "--set", "model.hidden=[3]"], ["holds other tensors than the model 'mlp'"]),
             ([good, "out", "--set", 'model.name="cnn"'], ["mlp/checkpoints/round_0002.h5"]),
             ([good, "out", "--set", 'model.name="mpl"'], ["'mpl'"]),
             ([text, "out", "--set", "model.path=edited"], ["was made with other files of the model 'transformer'"]),
             ([text, "out", "--set", "model.path=silent"], ["silent/vocab.txt is not there"])]
    before = content(directory)
    for arguments, fragments in cases:
        done = program("export", *arguments, expected=2)
        assert len(done.stderr.splitlines()) == 1 and not done.stdout, done
        for fragment in fragments:
            assert fragment in done.stderr, (fragment, done.stderr)
        assert content(directory) == before, done.stderr
        print(f"  {done.stderr.strip()}")
    (directory / "link").symlink_to(directory / "empty")
    program("export", good, "link")
    program("export", good, "deep/er/")
    for out in ("empty", "deep/er"):
        assert os.listdir(directory / out) == ["model.safetensors"], os.listdir(directory / out)


def real_reviews(program, probe, minilm, archive):
    directory = program.directory
    small_archive(archive, directory / "aclImdb", {"train": 24, "test": 50})
    shutil.rmtree(directory / "shards")
    program("prepare", "imdb", "--archive", "aclImdb", "--vocabulary", minilm / "vocab.txt", "--output", "shards")
    texts = [path.read_text(encoding="utf-8") for path in sorted((directory / "aclImdb" / "test").rglob("*.txt"))]
    small = ["data.max_tokens=64", "data.train_examples_per_client=8", "run.rounds=1", "run.threads=2", "training.learning_rate=1e-3"]
    for name, settings in {"reviews": [], "reviews_lora": ["model.lora_rank=8", "model.lora_alpha=16"]}.items():
        program.run(name, f"model.path={minilm}", *small, *settings)
        program("export", checkpoint(name, 1), f"{name}_exported")
        same_logits(program, probe, checkpoint(name, 1), f"{name}_exported", texts, "shards/test.h5", 512, names=("neg", "pos"))
    program.run("reviews_again", "model.path=reviews_exported", *small)
    assert program.digests("reviews_again")[0] == program.digests("reviews")[1]
    assert program.rounds("reviews_again")[0]["central"]["loss"] == program.rounds("reviews")[1]["central"]["loss"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--fedmpi", "--mpirun", "--probe"):
        parser.add_argument(name, required=True)
    parser.add_argument("--minilm", default="")
    parser.add_argument("--archive", default="")
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    program = Program(args, "export")
    probe = pathlib.Path(args.probe).resolve()
    (program.directory / "job.toml").write_text(JOB, encoding="utf-8")
    for check in (small_models, labels_and_keys_of_a_source, moved_model, torchscript, other_models, mistakes):
        print(check.__name__, flush=True)
        check(program, probe)
    if not (os.path.isdir(args.minilm) and os.path.exists(args.archive)):
        print("real reviews left out: they need MiniLM and the review archive")
        return
    print("real_reviews", flush=True)
    real_reviews(program, probe, pathlib.Path(args.minilm).resolve(), args.archive)


if __name__ == "__main__":
    main()
