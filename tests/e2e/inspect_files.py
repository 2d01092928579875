"""fedmpi inspect beside h5py, NumPy and transformers: the same facts, and one sentence for every file that has none.

inspect_files.py --fedmpi PROGRAM --mpirun PROGRAM --probe PROGRAM --workdir DIR
Exit status 77 where a package is missing.
"""
import argparse
import csv
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

from small_text import WORDS, write_model

try:
    import h5py
    import numpy as np
    import transformers

    from program import Program, damaged
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

VOCABULARY = WORDS + ["##s", "##ly", "été"]
JOB = """\
[run]
name = "looked-at"
seed = 9007199254740993
rounds = 12
threads = 1
[federation]
clients = 5
[strategy]
name = "fedper"
[model]
name = "mlp"
[data]
name = "synthetic"
[training]
batch_size = 16
learning_rate = 1e-2
precision = "float32"
[checkpoint]
keep = 0
"""
CLIENTS = "run/checkpoints/client_states"
FACTS = {"texts": ["file", "kind", "bytes", "examples", "tokens", "lengths", "vocabulary", "num_labels", "labels", "keys",
                   "provenance", "texts"],
         "arrays": ["file", "kind", "bytes", "examples", "features", "labels", "keys"],
         "checkpoint": ["file", "kind", "bytes", "round", "digest", "name", "seed", "rounds", "clients", "strategy", "model", "dataset",
                        "model_digest", "dataset_digest", "versions", "roles", "tensors", "strategy_state", "client_states", "history",
                        "job"],
         "partial_round": ["file", "kind", "bytes", "round", "origin", "elements", "clients"],
         "client_state": ["file", "kind", "bytes", "elements"]}


def facts_of(program, file, kind, *more):
    facts = json.loads(program("inspect", file, "--json", *more).stdout)
    assert list(facts) == FACTS[kind], list(facts)
    assert (facts["file"], facts["kind"], facts["bytes"]) == (str(file), kind, (program.directory / file).stat().st_size)
    return facts


def count(values):
    return dict(zip(*(array.tolist() for array in np.unique(values, return_counts=True))))


def texts(program, _):
    directory = program.directory
    chosen = random.Random(4)
    rows = [(" ".join(chosen.choices(["a", "goods", "badly", "film", "Été", "odd", "."], k=chosen.randrange(1, 14))),
             chosen.choice(["fine", "poor", "\x1b[31mred"]), chosen.randrange(7)) for _ in range(101)]
    with open(directory / "texts.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label", "user"), *rows])
    (directory / "vocab.txt").write_text("".join(word + "\n" for word in VOCABULARY), encoding="utf-8")
    program("prepare", "csv", "texts.csv", "--text", "text", "--label", "label", "--key", "user", "--vocabulary", "vocab.txt", "--output",
            "shards", "--max-tokens", 9, "--cased")
    facts = facts_of(program, "shards/train.h5", "texts", "--vocabulary", "vocab.txt", "--texts", 1000)
    with h5py.File(directory / "shards" / "train.h5") as shard:
        tokens, offsets, labels, keys = (shard[name][:] for name in ("tokens", "offsets", "labels", "keys"))
        attributes = {name: value.decode() if isinstance(value, bytes) else value for name, value in shard.attrs.items()}
    lengths = np.diff(offsets)
    assert (facts["examples"], facts["tokens"]) == (len(labels), len(tokens))
    assert facts["lengths"] == {"min": lengths.min(), "median": np.median(lengths), "mean": lengths.mean(), "max": lengths.max(),
                                "limit": 9, "at_limit": (lengths == 9).sum()}
    names = json.loads(attributes["label_names"])
    assert facts["labels"] == [{"label": label, "name": names[label], "examples": number} for label, number in count(labels).items()]
    assert facts["keys"] == len(set(keys.tolist())) and facts["num_labels"] == attributes["num_labels"]
    assert facts["vocabulary"] == {"size": len(VOCABULARY), "digest": attributes["vocabulary_digest"]}
    own = {"schema", "schema_version", "vocabulary_size", "vocabulary_digest", "num_labels"}
    assert facts["provenance"] == {name: value for name, value in attributes.items() if name not in own}
    reference = transformers.AutoTokenizer.from_pretrained(tokenizer_directory(directory))
    assert len(facts["texts"]) == len(labels)
    for number, text in enumerate(facts["texts"]):
        ids = tokens[offsets[number]:offsets[number + 1]].tolist()
        words = [word for word in reference.convert_ids_to_tokens(ids) if word not in ("[CLS]", "[SEP]")]
        assert text == {"label": labels[number], "ids": ids, "text": " ".join(words).replace(" ##", "")}, text

    shown = program("inspect", "shards/train.h5", "--vocabulary", "vocab.txt").stdout
    assert facts["texts"][2]["text"] in shown and facts["texts"][3]["text"] not in shown.splitlines()[-1], shown
    assert "\x1b" not in shown and "?[31mred" in shown, "a label's name must not reach the terminal as it is"
    assert f"{(lengths == 9).sum()} ({100 * (lengths == 9).mean():.1f} %) have 9 tokens" in shown, shown
    shown = program("inspect", "shards/train.h5").stdout
    assert " ".join(map(str, facts["texts"][0]["ids"])) in shown and "for words instead of numbers add --vocabulary" in shown, shown
    assert "text" not in facts_of(program, "shards/train.h5", "texts")["texts"][0]
    assert not facts_of(program, "shards/train.h5", "texts", "--texts", 0)["texts"]


def tokenizer_directory(directory):
    folder = directory / "tokenizer"
    folder.mkdir(exist_ok=True)
    shutil.copy(directory / "vocab.txt", folder)
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": false}', encoding="utf-8")
    return folder


def arrays(program, _):
    chosen = np.random.default_rng(1)
    directory = program.directory
    images, labels = chosen.integers(0, 256, (40, 1, 4, 4), dtype=np.uint8), chosen.integers(0, 30, 40)
    with h5py.File(directory / "images.h5", "w") as file:
        file["features"], file["labels"], file["keys"] = images, labels, labels % 3
        file.attrs["schema"] = "of the user's own"
    facts = facts_of(program, "images.h5", "arrays")
    assert facts["features"] == {"shape": [40, 1, 4, 4], "type": "uint8", "min": images.min(), "mean": images.mean(), "max": images.max()}
    assert facts["labels"] == [{"label": label, "examples": number} for label, number in count(labels).items()]
    assert facts["keys"] == 3 and facts["examples"] == 40
    shown = program("inspect", "images.h5").stdout
    assert "uint8 [40, 1, 4, 4]" in shown and (len(facts["labels"]) <= 20 or "more: see --json" in shown), shown

    numbers = chosen.normal(size=30).astype("float32")
    with h5py.File(directory / "numbers.h5", "w") as file:
        file["features"], file["labels"] = chosen.normal(size=(30, 3)).astype("float32"), numbers
    facts = json.loads(program("inspect", "numbers.h5", "--json").stdout)
    assert facts["targets"]["min"] == numbers.min() and facts["targets"]["max"] == numbers.max() and "labels" not in facts
    assert abs(facts["targets"]["mean"] - numbers.astype("float64").mean()) < 1e-12
    assert "numbers to predict" in program("inspect", "numbers.h5").stdout


def checkpoints(program, _):
    directory = program.directory
    (directory / "job.toml").write_text(JOB, encoding="utf-8")
    program.run("run")
    path = "run/checkpoints/round_0012.h5"
    facts = facts_of(program, path, "checkpoint")
    with h5py.File(directory / path) as file:
        attributes = {name: value.decode() if isinstance(value, bytes) else value for name, value in file.attrs.items()}
        states = {name: (value.shape, str(value.dtype)) for name, value in file["strategy"].items()}
    assert facts["round"] == 12 and facts["digest"] == attributes["digest"] and facts["job"] == attributes["job"]
    assert facts["job"] == (directory / "run" / "job.toml").read_text(encoding="utf-8")
    assert (facts["name"], facts["seed"], facts["rounds"], facts["clients"]) == ("looked-at", 2**53 + 1, 12, 5)
    assert (facts["strategy"], facts["model"], facts["dataset"]) == ("fedper", "mlp", "synthetic")
    assert facts["versions"] == json.loads(attributes["versions"])
    assert facts["history"] == [json.loads(line) for line in attributes["history"].splitlines()]
    values, entries = program.tensors("run", 12)
    assert facts["tensors"] == [{"name": name, "shape": entry["shape"], "role": entry["role"]} for name, entry in entries.items()]
    for role, sums in facts["roles"].items():
        sizes = [values[name].size for name, entry in entries.items() if entry["role"] == role]
        assert sums == {"tensors": len(sizes), "elements": sum(sizes)}, sums
    assert set(facts["roles"]) == {"shared", "local"}
    assert {one["name"]: (tuple(one["shape"]), one["type"]) for one in facts["strategy_state"]} == states

    kept = sorted((directory / CLIENTS).glob("*_round_0012.h5"))
    assert facts["client_states"] == {"files": 5, "missing": 0, "bytes": sum(file.stat().st_size for file in kept)} and len(kept) == 5
    state = facts_of(program, kept[0].relative_to(directory), "client_state")
    with h5py.File(kept[0]) as file:
        assert state["elements"] == file["kept"].size
    kept[0].rename(directory / "moved.h5")
    assert facts_of(program, path, "checkpoint")["client_states"]["missing"] == 1
    shown = program("inspect", path).stdout
    assert "looked-at, round 12 of 12" in shown and "5 files, 1 of them missing" in shown, shown
    rows = [line.split()[0] for line in shown.splitlines()[-10:]]
    assert rows == [str(number) for number in range(3, 13)], "the last ten rounds"
    assert facts["digest"][:12] == shown.split()[-1]


def partial_rounds(program, probe):
    subprocess.run([probe, "save-partial-round", "part.h5"], cwd=program.directory, check=True)
    facts = facts_of(program, "part.h5", "partial_round")
    assert (facts["round"], facts["origin"], facts["elements"]) == (2, "feed", 5)
    assert facts["clients"] == [{"client": client, "examples": 10 + client, "tokens": 100, "loss": 0.25} for client in (4, 0)]
    assert "14 examples, loss 0.2500" in program("inspect", "part.h5").stdout


def mistakes(program, _):
    directory = program.directory
    write_model(directory / "model")
    (directory / "note.txt").write_text("hello", encoding="utf-8")
    (directory / "empty.h5").write_bytes(b"")
    os.mkfifo(directory / "pipe.h5")
    whole = (directory / "shards" / "train.h5").read_bytes()
    (directory / "half.h5").write_bytes(whole[:len(whole) // 2])
    damaged(directory, "shards/train.h5", "tokens", "rot.h5")
    damaged(directory, "run/checkpoints/round_0011.h5", "parameters", "rot_checkpoint.h5")
    damaged(directory, f"{CLIENTS}/client_000001_round_0012.h5", "kept", "rot_state.h5")
    damaged(directory, "part.h5", "sum", "rot_part.h5")
    with h5py.File(directory / "other.h5", "w") as file:
        file["x"] = [1, 2]
    with h5py.File(directory / "renamed.h5", "w") as file:
        file.attrs["schema"] = np.bytes_("fedmpi-checkpoint")
    with h5py.File(directory / "linked.h5", "w") as file:
        file["features"] = h5py.ExternalLink("numbers.h5", "/features")
        file["labels"] = [1, 2]
    with h5py.File(directory / "short.h5", "w") as file:
        file["features"], file["labels"] = np.zeros((3, 2), "float32"), [1, 2]
    (directory / "vocab2.txt").write_text("".join(word + "\n" for word in VOCABULARY[:-1] + ["other"]), encoding="utf-8")
    kinds = "shards of texts or arrays, and a run's checkpoints"
    cases = [(["nowhere.h5"], ["nowhere.h5: there is no such file"]),
             (["."], ["is a directory", "train.h5"]),
             (["pipe.h5"], ["is not a regular file"]),
             (["empty.h5"], ["is no HDF5 file", kinds]),
             (["note.txt"], ["is no HDF5 file", kinds]),
             (["run/metrics.jsonl"], ["metrics.jsonl: is no HDF5 file", kinds]),
             (["model/model.safetensors"], ["model.safetensors: is no HDF5 file", kinds]),
             (["other.h5"], ["an HDF5 file of some other program", kinds]),
             (["half.h5"], ["half.h5"]),
             (["rot.h5"], ["rot.h5"]),
             (["rot_checkpoint.h5"], ["rot_checkpoint.h5", "/parameters"]),
             (["rot_state.h5"], ["rot_state.h5", "/kept"]),
             (["rot_part.h5"], ["rot_part.h5", "/sum"]),
             (["renamed.h5"], ["renamed.h5"]),
             (["linked.h5"], ["linked.h5", "external link"]),
             (["short.h5"], ["/labels has 2 values for the 3 of /features"]),
             (["shards/train.h5", "--vocabulary", "vocab2.txt"], ["was not tokenized with vocab2.txt", "digest"]),
             (["shards/train.h5", "--vocabulary", "nowhere.txt"], ["nowhere.txt: no such vocabulary file"]),
             (["shards/train.h5", "--texts", "-1"], ["--texts"]),
             (["images.h5", "--vocabulary", "vocab.txt"], ["images.h5 holds no texts"]),
             ([], ["file is required"])]
    for arguments, fragments in cases:
        for json_too in ([], ["--json"]):
            done = program("inspect", *arguments, *json_too, expected=2)
            assert len(done.stderr.splitlines()) == 1 and not done.stdout, done
            for fragment in fragments:
                assert fragment in done.stderr, (fragment, done.stderr)
        print(f"  {done.stderr.strip()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--fedmpi", "--mpirun", "--probe"):
        parser.add_argument(name, required=True)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    program = Program(args, "inspect_files")
    for check in (texts, arrays, checkpoints, partial_rounds, mistakes):
        print(check.__name__, flush=True)
        check(program, pathlib.Path(args.probe).resolve())


if __name__ == "__main__":
    main()
