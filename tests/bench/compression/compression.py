"""What is saved and what is lost when clients send their updates in fewer bytes: the same federated job, several ways.

    compression.py --fedmpi PROGRAM --shards DIR --minilm DIR --results FILE [--seeds 1 2]

MiniLM is fine-tuned on 7 clients x 200 reviews for 3 rounds under each rule of federation.compression and scored on the same
1,000 test reviews. One line of JSON for each is appended to the results; what they hold already is not run again, so a
stopped run goes on.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[3]
CLIENTS, ROUNDS = 7, 3
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
    parser.add_argument("--minilm", required=True, type=pathlib.Path)
    parser.add_argument("--results", required=True, type=pathlib.Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--examples", type=int, default=200, help="of each client")
    parser.add_argument("--test-examples", type=int, default=1000)
    parser.add_argument("--only", nargs="+", default=list(WAYS), choices=list(WAYS))
    return parser.parse_args()


def run(args, way, seed):
    with tempfile.TemporaryDirectory() as directory:
        output = pathlib.Path(directory) / "run"
        settings = {"run.seed": seed, "run.rounds": ROUNDS, "data.path": args.shards.resolve(), "model.path": args.minilm.resolve(),
                    "data.max_tokens": args.max_tokens, "federation.clients": CLIENTS, "model.pooling": '"mean"',
                    "model.dropout": 0, "model.attention_dropout": 0, "model.classifier_dropout": 0,
                    "model.head_learning_rate": 5e-3, "data.train_examples_per_client": args.examples,
                    "data.test_examples_per_client": 0, "evaluation.federated": "false",
                    "evaluation.central_examples": args.test_examples, "evaluation.every": ROUNDS, "training.batch_size": 8,
                    "training.learning_rate": 2e-4, "training.learning_rate_schedule": "linear",
                    "training.warmup_fraction": 0.05, "checkpoint.every": 0, "federation.compression": WAYS[way]}
        command = [args.fedmpi, "run", "jobs/imdb.toml", "--output", str(output)]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        rounds = lines[1:]
        return {"accuracy": rounds[-1]["central"]["accuracy"], "loss": rounds[-1]["central"]["loss"],
                "update_bytes": rounds[-1]["update_bytes"],
                "fit_seconds": statistics.mean(line["seconds"]["fit"] for line in rounds)}


def main():
    args = arguments()
    size = {"max_tokens": args.max_tokens, "examples": args.examples, "test_examples": args.test_examples}
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
    print(f"{'compression':26}{'accuracy':>10}{'points':>8}{'loss':>8}{'MB a round':>12}{'fewer':>8}{'fit s':>8}")
    mean = {way: {key: statistics.mean(line[key] for line in done if line["way"] == way and line["seed"] in args.seeds)
                  for key in MEANS}
            for way in WAYS if any(line["way"] == way and line["seed"] in args.seeds for line in done)}
    for way, own in mean.items():
        whole = mean.get("none", own)
        print(f"{way:26}{own['accuracy']:10.4f}{100 * (own['accuracy'] - whole['accuracy']):+8.2f}{own['loss']:8.4f}"
              f"{own['update_bytes'] / 1e6:12.1f}{whole['update_bytes'] / own['update_bytes']:7.1f}x{own['fit_seconds']:8.1f}")


if __name__ == "__main__":
    main()
