"""What is saved and what is lost when clients send their updates in fewer bytes: the same federated job, several ways.

    compression.py --fedmpi PROGRAM --shards DIR [--minilm DIR] --results FILE [--seeds 1 2]

MiniLM is fine-tuned on 7 clients x 200 reviews for 3 rounds under each rule of federation.compression and scored on the same
1,000 test reviews; without --minilm, in minutes, an MLP that sees which of the 2,000 most frequent words a review has is
trained on 7 clients x 1,000 reviews for 5 rounds and scored on 2,000. One line of JSON for each is appended to the results;
what they hold already is not run again, so a stopped run goes on.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

ROOT = pathlib.Path(__file__).parents[3]
CLIENTS, WORDS = 7, 2000
SIZES = {"minilm": {"rounds": 3, "examples": 200, "test_examples": 1000},
         "words": {"rounds": 5, "examples": 1000, "test_examples": 2000}}
WORDS_JOB = """\
[run]
name = "words"
[federation]
clients = 7
[model]
name = "mlp"
[data]
name = "hdf5_array"
"""
WAYS = {"none": "none",
        "bf16": "bf16",
        "bf16, stochastic": '{ name = "bf16", rounding = "stochastic" }',
        "int8, blocks of 64": "int8",
        "top_k, 10 %": '{ name = "top_k", fraction = 0.1 }',
        "top_k, 1 %": "top_k",
        "top_k, 1 %, no feedback": '{ name = "top_k", error_feedback = false }'}
MEANS = ("accuracy", "loss", "update_bytes", "fit_seconds")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--shards", required=True, type=pathlib.Path, help="written by fedmpi prepare imdb")
    parser.add_argument("--minilm", type=pathlib.Path)
    parser.add_argument("--results", required=True, type=pathlib.Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--examples", type=int, help="of each client")
    parser.add_argument("--test-examples", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", nargs="+", default=list(WAYS), choices=list(WAYS))
    args = parser.parse_args()
    for name, value in SIZES["minilm" if args.minilm else "words"].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def write_words(args, directory):
    """Of some reviews which of the most frequent words of the training split they have, as arrays for hdf5_array."""
    frequent, random = None, np.random.default_rng(1)
    for split, count in (("train", CLIENTS * args.examples), ("test", args.test_examples)):
        with h5py.File(args.shards / f"{split}.h5") as file:
            tokens, offsets, labels = file["tokens"][:], file["offsets"][:], file["labels"][:]
        if frequent is None:
            frequent = np.argsort(-np.bincount(tokens, minlength=WORDS), kind="stable")[:WORDS]
        place = np.full(max(tokens.max(), frequent.max()) + 1, -1)
        place[frequent] = np.arange(WORDS)
        chosen = np.sort(random.choice(len(labels), count, replace=False))
        features = np.zeros((count, WORDS), np.float32)
        for row, review in enumerate(chosen):
            words = place[tokens[offsets[review]:offsets[review + 1]]]
            features[row, words[words >= 0]] = 1
        with h5py.File(directory / f"{split}.h5", "w") as file:
            file["features"], file["labels"] = features, labels[chosen].astype(np.int64)


def minilm_settings(args):
    return {"data.path": args.shards.resolve(), "model.path": args.minilm.resolve(), "data.max_tokens": args.max_tokens,
            "model.pooling": '"mean"', "model.dropout": 0, "model.attention_dropout": 0, "model.classifier_dropout": 0,
            "model.head_learning_rate": 5e-3, "data.train_examples_per_client": args.examples,
            "data.test_examples_per_client": 0, "evaluation.central_examples": args.test_examples,
            "evaluation.every": args.rounds, "training.batch_size": 8, "training.learning_rate": 2e-4,
            "training.learning_rate_schedule": "linear", "training.warmup_fraction": 0.05}


def words_settings(data):
    return {"data.path": data, "model.num_features": WORDS, "model.num_labels": 2, "model.hidden": "[64]",
            "training.batch_size": 20, "training.optimizer": '"sgd"', "training.learning_rate": 0.05}


def run(args, settings, way, seed):
    with tempfile.TemporaryDirectory() as directory:
        job, output = pathlib.Path(directory) / "job.toml", pathlib.Path(directory) / "run"
        job.write_text((ROOT / "jobs" / "imdb.toml").read_text(encoding="utf-8") if args.minilm else WORDS_JOB, encoding="utf-8")
        settings = {**settings, "run.seed": seed, "run.rounds": args.rounds, "federation.clients": CLIENTS, "checkpoint.every": 0,
                    "evaluation.federated": "false", "federation.compression": WAYS[way]}
        command = [args.fedmpi, "run", str(job), "--output", str(output)]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        return {"accuracy": lines[-1]["central"]["accuracy"], "loss": lines[-1]["central"]["loss"],
                "update_bytes": lines[-1]["update_bytes"],
                "fit_seconds": statistics.mean(line["seconds"]["fit"] for line in lines[1:])}


def print_table(args, done):
    print(f"central accuracy on {args.test_examples} reviews after {args.rounds} rounds of {CLIENTS} clients with {args.examples}; "
          f"means over {len(args.seeds)} seeds")
    print(f"{'compression':26}{'accuracy':>10}{'points':>8}{'loss':>8}{'MB a round':>12}{'fewer':>8}{'fit s':>8}")
    of_way = {way: [line for line in done if line["way"] == way and line["seed"] in args.seeds] for way in WAYS}
    mean = {way: {key: statistics.mean(line[key] for line in lines) for key in MEANS} for way, lines in of_way.items() if lines}
    for way, own in mean.items():
        whole = mean.get("none", own)
        print(f"{way:26}{own['accuracy']:10.4f}{100 * (own['accuracy'] - whole['accuracy']):+8.2f}{own['loss']:8.4f}"
              f"{own['update_bytes'] / 1e6:12.2f}{whole['update_bytes'] / own['update_bytes']:7.1f}x{own['fit_seconds']:8.1f}")


def main():
    args = arguments()
    size = {name: getattr(args, name) for name in ("max_tokens", "examples", "test_examples", "rounds")}
    size["model"] = "minilm" if args.minilm else "words"
    lines = args.results.read_text(encoding="utf-8").splitlines() if args.results.exists() else []
    done = [line for line in map(json.loads, lines) if all(line[key] == value for key, value in size.items())]
    with tempfile.TemporaryDirectory() as data:
        if not args.minilm:
            write_words(args, pathlib.Path(data))
        settings = minilm_settings(args) if args.minilm else words_settings(data)
        for seed in args.seeds:
            for way in args.only:
                if any(line["way"] == way and line["seed"] == seed for line in done):
                    continue
                started = time.perf_counter()
                line = {"way": way, "seed": seed, **size, **run(args, settings, way, seed)}
                line["seconds"] = round(time.perf_counter() - started, 1)
                done.append(line)
                with open(args.results, "a", encoding="utf-8") as file:
                    print(json.dumps(line), file=file)
                print(json.dumps(line), file=sys.stderr, flush=True)
    print_table(args, done)


if __name__ == "__main__":
    main()
