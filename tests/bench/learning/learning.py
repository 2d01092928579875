"""Does the fast step learn what the slow one does? The same federated job by fedmpi and by transformers, several seeds.

    learning.py --fedmpi PROGRAM --shards DIR --minilm DIR --results FILE [--seeds 1 2 3] [--max-tokens 64]

Each of fedmpi in bf16, fedmpi in float32 and a plain loop over transformers' model (float32, eager, torch.optim.AdamW, FedAvg
written out below) fine-tunes MiniLM on 7 clients x 1,000 reviews for 3 rounds and is scored on 5,000 test reviews: the same
reviews for all of them, each client's its own; a seed draws other clients, and other orders and dropout. One line of JSON for
each is appended to the results; what they hold already is not run again, so a stopped run goes on.
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
import torch
import transformers

ROOT = pathlib.Path(__file__).parents[3]
CLIENTS, EXAMPLES, ROUNDS, TEST_EXAMPLES = 7, 1000, 3, 5000
BATCH, LEARNING_RATE, EPSILON = 32, 2e-4, 1e-6


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--shards", required=True, type=pathlib.Path, help="written by fedmpi prepare imdb")
    parser.add_argument("--minilm", required=True)
    parser.add_argument("--results", required=True, type=pathlib.Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--only", nargs="+", default=["fedmpi bf16", "fedmpi float32", "transformers float32"])
    return parser.parse_args()


def clients_examples(args, seed):
    """Which training examples the clients have, [client][example]."""
    with h5py.File(args.shards / "train.h5") as shard:
        drawn = np.random.default_rng(seed).permutation(len(shard["labels"]))
    return drawn[:CLIENTS * EXAMPLES].reshape(CLIENTS, EXAMPLES)


def run_fedmpi(args, precision, seed):
    with tempfile.TemporaryDirectory() as directory:
        output, indices = pathlib.Path(directory) / "run", pathlib.Path(directory) / "indices.json"
        # All clients together are tested on the first test reviews, with the model that all share.
        test = [part.tolist() for part in np.array_split(np.arange(TEST_EXAMPLES), CLIENTS)]
        indices.write_text(json.dumps({"train": clients_examples(args, seed).tolist(), "test": test}), encoding="utf-8")
        settings = {"run.seed": seed, "run.rounds": ROUNDS, "data.path": args.shards, "model.path": args.minilm,
                    "data.max_tokens": args.max_tokens, "federation.clients": CLIENTS,
                    "data.partition": f'{{ name = "indices", file = "{indices}" }}',
                    "data.train_examples_per_client": 0, "data.test_examples_per_client": 0,
                    "evaluation.federated": "true", "evaluation.central": "false", "evaluation.every": ROUNDS, "training.precision": f'"{precision}"', "training.batch_size": BATCH,
                    "training.learning_rate": LEARNING_RATE, "training.epsilon": EPSILON}
        command = [args.fedmpi, "run", "jobs/imdb.toml", "--output", str(output)]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        last = json.loads((output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
        return last["evaluate"]["accuracy"], last["evaluate"]["loss"]


class Reviews:
    def __init__(self, file, max_tokens):
        with h5py.File(file) as shard:
            self.tokens, self.offsets, self.labels = (shard[name][:].astype(np.int64) for name in ("tokens", "offsets", "labels"))
        self.max_tokens = max_tokens

    def tokens_of(self, i):
        tokens = self.tokens[self.offsets[i]:self.offsets[i + 1]]
        if len(tokens) > self.max_tokens:
            tokens = np.append(tokens[:self.max_tokens - 1], tokens[-1])  # [SEP] stays
        return tokens

    def batch(self, numbers):
        rows = [self.tokens_of(i) for i in numbers]
        ids = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, :len(row)], mask[i, :len(row)] = row, 1
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask),
                "labels": torch.from_numpy(self.labels[numbers])}


def fit(model, reviews, numbers, random):
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, eps=EPSILON, weight_decay=0.0)
    model.train()
    order = random.permutation(numbers)
    for begin in range(0, len(order), BATCH):
        model(**reviews.batch(order[begin:begin + BATCH])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def run_transformers(args, seed):
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    train, test = (Reviews(args.shards / f"{split}.h5", args.max_tokens) for split in ("train", "test"))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(args.minilm, num_labels=2)
    parts = clients_examples(args, seed)
    parameters = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(ROUNDS):
        # All clients have as many examples, so the weighted mean is the plain one.
        total = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in parameters.items()}
        for part in parts:
            model.load_state_dict(parameters)
            fit(model, train, part, random)
            for name, value in model.state_dict().items():
                total[name] += value.double() / CLIENTS
        parameters = {name: value.to(parameters[name].dtype) for name, value in total.items()}
    model.load_state_dict(parameters)
    model.eval()
    loss, correct = 0.0, 0
    by_length = np.argsort([len(test.tokens_of(i)) for i in range(TEST_EXAMPLES)])
    with torch.no_grad():
        for numbers in np.array_split(by_length, TEST_EXAMPLES // 50):
            batch = test.batch(numbers)
            output = model(**batch)
            loss += output.loss.item() * len(numbers)
            correct += int((output.logits.argmax(-1) == batch["labels"]).sum())
    return correct / TEST_EXAMPLES, loss / TEST_EXAMPLES


def main():
    args = arguments()
    contestants = {"fedmpi bf16": lambda seed: run_fedmpi(args, "bf16", seed),
                   "fedmpi float32": lambda seed: run_fedmpi(args, "float32", seed),
                   "transformers float32": lambda seed: run_transformers(args, seed)}
    lines = args.results.read_text(encoding="utf-8").splitlines() if args.results.exists() else []
    done = [line for line in map(json.loads, lines) if line["max_tokens"] == args.max_tokens]
    for seed in args.seeds:
        for who in args.only:
            if any(line["who"] == who and line["seed"] == seed for line in done):
                continue
            started = time.perf_counter()
            accuracy, loss = contestants[who](seed)
            line = {"who": who, "seed": seed, "max_tokens": args.max_tokens, "accuracy": accuracy, "loss": loss,
                    "seconds": round(time.perf_counter() - started, 1)}
            done.append(line)
            with open(args.results, "a", encoding="utf-8") as file:
                print(json.dumps(line), file=file)
            print(json.dumps(line), file=sys.stderr, flush=True)
    seeds = sorted({line["seed"] for line in done})
    print(f"accuracy of the server's model on {TEST_EXAMPLES} reviews cut at {args.max_tokens} tokens, after {ROUNDS} rounds of {CLIENTS} "
          f"clients with {EXAMPLES}")
    print(f"{'seed':22}" + "".join(f"{seed:>9}" for seed in seeds) + "     mean  mean loss")
    for who in contestants:
        own = {line["seed"]: line for line in done if line["who"] == who}
        if not own:
            continue
        cells = "".join(f"{own[seed]['accuracy']:9.4f}" if seed in own else " " * 9 for seed in seeds)
        print(f"{who:22}{cells}{statistics.mean(line['accuracy'] for line in own.values()):9.4f}"
              f"{statistics.mean(line['loss'] for line in own.values()):11.4f}")


if __name__ == "__main__":
    main()
