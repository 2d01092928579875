"""The training step beside transformers', on the same real reviews, in one run.

    step.py --step BUILD/tests/bench/step --shards DIR --minilm DIR [--shapes distilbert,minilm] [--threads 2]

DIR of --shards is what `fedmpi prepare imdb` wrote. Contestants take turns, each in a process of its own; every turn
takes the same steps after one for warming up. README.md says how to read the tables.
"""
import argparse
import json
import os
import pathlib
import platform
import random
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
GEMM = """
import sys, time, torch
torch.set_num_threads(int(sys.argv[1]))
best = 0
for rows, width, depth in ((8192, 3072, 768), (8192, 768, 3072), (8192, 1536, 384), (4096, 4096, 4096)):
    a, b = torch.randn(rows, depth, dtype=torch.bfloat16), torch.randn(width, depth, dtype=torch.bfloat16)
    torch.nn.functional.linear(a, b)
    for _ in range(5):
        started = time.perf_counter()
        torch.nn.functional.linear(a, b)
        best = max(best, 2 * rows * width * depth / (time.perf_counter() - started))
print(best)
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", required=True, help="the program made from step.cpp")
    parser.add_argument("--shards", required=True, type=pathlib.Path)
    parser.add_argument("--minilm", required=True, help="directory of MiniLM")
    parser.add_argument("--shapes", default="distilbert,minilm")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2, help="in a turn")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--only", default="", help="contestants, by comma; all when empty")
    return parser.parse_args()


def distilbert(directory):
    """DistilBERT's own shape, with weights that transformers initialises: the time does not depend on them."""
    import torch
    import transformers
    torch.manual_seed(1)
    transformers.DistilBertForSequenceClassification(transformers.DistilBertConfig()).save_pretrained(directory)
    return directory


def useful_flop(config, lengths):
    """Of a training step with nothing done twice and nothing for padding: products alone, backward = 2 x forward."""
    width = config.get("dim") or config["hidden_size"]
    inner = config.get("hidden_dim") or config["intermediate_size"]
    layers = config.get("n_layers") or config["num_hidden_layers"]
    tokens, pairs = sum(lengths), sum(n * n for n in lengths)
    whole = 2 * tokens * (4 * width * width + 2 * width * inner) + 4 * pairs * width
    # The last layer needs keys and values of all tokens, and the rest of the first token of each sequence.
    last = 2 * tokens * 2 * width * width + 2 * len(lengths) * (2 * width * width + 2 * width * inner) + 4 * tokens * width
    return 3 * ((layers - 1) * whole + last)


def turn(command, lines):
    with tempfile.TemporaryFile("w+") as feed:
        feed.write("".join(" ".join(map(str, line)) + "\n" for line in lines))
        feed.seek(0)
        with subprocess.Popen(command, stdin=feed, stdout=subprocess.PIPE, text=True) as process:
            output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {process.returncode}")
    steps = [[float(word) for word in line.split()] for line in output.splitlines()][1:]
    return {"seconds": [s[0] for s in steps], "tokens": [int(s[1]) for s in steps], "evaluate": [s[2] for s in steps],
            "memory": usage.ru_maxrss * 1024}


def gemm_rate(threads):
    done = subprocess.run([sys.executable, "-c", GEMM, str(threads)], check=True, capture_output=True, text=True)
    return float(done.stdout)


def compare(args, name, model):
    import h5py
    shard = args.shards / "train.h5"
    with h5py.File(shard) as file:
        offsets = file["offsets"][:]
    choose = random.Random(42)
    population = range(len(offsets) - 1)
    lines = [choose.sample(population, args.batch) for _ in range(args.steps + 1)]
    with open(os.path.join(model, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    flop = sum(useful_flop(config, [int(offsets[i + 1] - offsets[i]) for i in line]) for line in lines[1:])
    reference = [sys.executable, str(HERE / "reference.py")]
    contestants = {"fedmpi bf16": [args.step, "bf16"], "transformers float32": [*reference, "float32"],
                   "fedmpi float32": [args.step, "float32"], "transformers bf16 autocast": [*reference, "bf16"]}
    chosen = args.only.split(",") if args.only else list(contestants)
    turns, rates = {contestant: [] for contestant in chosen}, []
    for _ in range(args.turns):
        rates.append(gemm_rate(args.threads))
        for contestant in chosen:
            *program, precision = contestants[contestant]
            turns[contestant].append(turn([*program, model, str(shard), precision, str(args.threads)], lines))
    rate = max(rates)
    print(f"\n{name}, {args.steps} steps of {args.batch} reviews ({sum(turns[chosen[0]][0]['tokens'])} tokens), "
          f"{args.threads} threads; bf16 products reach {rate / 1e9:.0f} GFLOP/s here")
    print(f"{'':<28}{'tokens/s':>9}{'ours is':>9}{'of bf16':>9}{'evaluate':>10}{'ours is':>9}{'memory':>10}{'ours is':>9}")

    def median(contestant, key):
        done = turns[contestant]
        return statistics.median(sum(t["tokens"]) / sum(t[key]) for t in done)

    def memory(contestant):
        return max(t["memory"] for t in turns[contestant])

    ours = chosen[0]
    for contestant in chosen:
        speed, evaluate, size = median(contestant, "seconds"), median(contestant, "evaluate"), memory(contestant)
        share = flop / sum(turns[ours][0]["tokens"]) * speed / rate
        print(f"{contestant:<28}{speed:>9.0f}{median(ours, 'seconds') / speed:>8.1f}x{share:>9.0%}{evaluate:>10.0f}"
              f"{median(ours, 'evaluate') / evaluate:>8.1f}x{size / 2**20:>7.0f} MB{memory(ours) / size:>8.2f}x", flush=True)


def main():
    args = arguments()
    import torch
    import transformers
    transformers.logging.set_verbosity_error()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        processor = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    print(f"{processor}, {os.cpu_count()} cores; torch {torch.__version__}, transformers {transformers.__version__}, "
          f"Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as directory:
        for shape in args.shapes.split(","):
            compare(args, shape, args.minilm if shape == "minilm" else distilbert(directory))


if __name__ == "__main__":
    main()
