"""What is lost and what is saved when only a part of the model is trained: the same federated job, several ways.

    lora.py --fedmpi PROGRAM --mpirun PROGRAM --shards DIR --minilm DIR --results FILE [--seeds 1 2 3] [--ranks 2]

All of MiniLM, adapters of rank 8 (LoRA), the last three layers and the head alone are fine-tuned on 7 clients x 1,000
reviews for 3 rounds, each with a learning rate that suits it, and scored on the same 5,000 test reviews. One line of JSON
for each is appended to the results; what they hold already is not run again, so a stopped run goes on.
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
CLIENTS, EXAMPLES, ROUNDS, TEST_EXAMPLES = 7, 1000, 3, 5000
WAYS = {"all": {"training.learning_rate": 2e-4},
        "lora": {"training.learning_rate": 2e-3, "model.lora_rank": 8, "model.lora_alpha": 16,
                 "model.lora_targets": '["query", "key", "value", "dense"]'},
        "last 3 layers": {"training.learning_rate": 2e-4, "model.train_layers": 3},
        "head": {"training.learning_rate": 2e-3, "model.train_layers": 0}}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--mpirun", required=True)
    parser.add_argument("--shards", required=True, type=pathlib.Path, help="written by fedmpi prepare imdb")
    parser.add_argument("--minilm", required=True, type=pathlib.Path)
    parser.add_argument("--results", required=True, type=pathlib.Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--ranks", type=int, default=2, help="what travels is counted between them")
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="of each client")
    parser.add_argument("--test-examples", type=int, default=TEST_EXAMPLES)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="further keys of every job")
    parser.add_argument("--only", nargs="+", default=list(WAYS), choices=list(WAYS))
    return parser.parse_args()


def shared_elements(checkpoint):
    with h5py.File(checkpoint) as file:
        layout = json.loads(file.attrs["layout"])
    return sum(int(np.prod(entry["shape"], dtype=np.int64)) for entry in layout if entry["role"] == "shared")


def run(args, way, seed):
    with tempfile.TemporaryDirectory() as directory:
        output = pathlib.Path(directory) / "run"
        settings = {"run.seed": seed, "run.rounds": ROUNDS, "data.path": args.shards.resolve(), "model.path": args.minilm.resolve(),
                    "data.max_tokens": args.max_tokens, "federation.clients": CLIENTS, "model.pooling": '"mean"',
                    "data.train_examples_per_client": args.examples, "data.test_examples_per_client": 0,
                    "evaluation.federated": "false", "evaluation.central_examples": args.test_examples,
                    "evaluation.every": ROUNDS, "training.batch_size": 32, **WAYS[way]}
        command = [args.mpirun, "-np", str(args.ranks), "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none", args.fedmpi, "run",
                   "jobs/imdb.toml", "--output", str(output)]
        for setting in [f"{key}={value}" for key, value in settings.items()] + args.set:
            command += ["--set", setting]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        rounds = lines[1:]
        return {"accuracy": rounds[-1]["central"]["accuracy"], "loss": rounds[-1]["central"]["loss"],
                "shared": shared_elements(output / "checkpoints" / f"round_{ROUNDS:04}.h5"),
                "bytes_a_round": statistics.mean(line["update_bytes"] for line in rounds),
                "fit_seconds": statistics.mean(line["seconds"]["fit"] for line in rounds),
                "tokens_per_second": statistics.mean(line["tokens_per_second"] for line in rounds)}


def main():
    args = arguments()
    size = {"max_tokens": args.max_tokens, "examples": args.examples, "test_examples": args.test_examples, "ranks": args.ranks,
            "set": args.set}
    lines = args.results.read_text(encoding="utf-8").splitlines() if args.results.exists() else []
    done = [line for line in map(json.loads, lines) if all(line[key] == value for key, value in size.items())]
    for seed in args.seeds:
        for way in args.only:
            if any(line["way"] == way and line["seed"] == seed for line in done):
                continue
            started = time.perf_counter()
            line = {"way": way, "seed": seed, **size, **run(args, way, seed)}
            line["seconds"] = round(time.perf_counter() - started, 1)
            done.append(line)
            with open(args.results, "a", encoding="utf-8") as file:
                print(json.dumps(line), file=file)
            print(json.dumps(line), file=sys.stderr, flush=True)
    print(f"central accuracy on {args.test_examples} reviews cut at {args.max_tokens} tokens, after {ROUNDS} rounds of {CLIENTS} "
          f"clients with {args.examples}; means over {len(args.seeds)} seeds")
    print(f"{'trained':14}{'accuracy':>10}{'points':>8}{'loss':>8}{'shared':>12}{'of all':>8}{'MB a round':>12}{'fit s':>8}"
          f"{'tokens/s':>10}")
    mean = {way: {key: statistics.mean(line[key] for line in done if line["way"] == way)
                  for key in ("accuracy", "loss", "shared", "bytes_a_round", "fit_seconds", "tokens_per_second")}
            for way in WAYS if any(line["way"] == way for line in done)}
    for way, own in mean.items():
        whole = mean.get("all", own)
        print(f"{way:14}{own['accuracy']:10.4f}{100 * (own['accuracy'] - whole['accuracy']):+8.2f}{own['loss']:8.4f}"
              f"{own['shared']:12,.0f}{own['shared'] / whole['shared']:8.2%}{own['bytes_a_round'] / 1e6:12.1f}"
              f"{own['fit_seconds']:8.1f}{own['tokens_per_second']:10,.0f}")


if __name__ == "__main__":
    main()
