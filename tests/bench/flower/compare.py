"""The whole job beside Flower's simulation of it: the same reviews, model, rounds and machine, from command to end.

    compare.py --fedmpi PROGRAM --mpirun MPIRUN --shards DIR --minilm DIR --flower-python PYTHON [--rounds 3]

Both train and evaluate the same reviews: a shard directory is made with as many as the clients need. Flower runs one
client at a time on all cores, because two at a time do not fit in 24 GB.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import h5py

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--mpirun", required=True)
    parser.add_argument("--shards", required=True, type=pathlib.Path, help="written by fedmpi prepare imdb")
    parser.add_argument("--minilm", required=True)
    parser.add_argument("--flower-python", required=True, help="Python with flwr[simulation], torch, transformers, h5py")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=7)
    parser.add_argument("--examples", type=int, default=100, help="of each split, for each client")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    return parser.parse_args()


def cut(source, target, count):
    """The first `count` examples of a shard."""
    with h5py.File(source) as file, h5py.File(target, "w") as out:
        out.attrs.update(file.attrs)
        end = int(file["offsets"][count])
        out.create_dataset("tokens", data=file["tokens"][:end])
        out.create_dataset("offsets", data=file["offsets"][:count + 1])
        out.create_dataset("labels", data=file["labels"][:count])


def timed(command, environment, log):
    started = time.perf_counter()
    peak = 0
    with open(log, "w", encoding="utf-8") as file, subprocess.Popen(command, env=environment, cwd=ROOT, stdout=file,
                                                                    stderr=subprocess.STDOUT) as process:
        while process.poll() is None:
            time.sleep(0.5)
            peak = max(peak, used_memory())
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit status {process.returncode}, see {log}")
    return time.perf_counter() - started, peak


def used_memory():
    with open("/proc/meminfo", encoding="utf-8") as file:
        values = {line.split(":")[0]: int(line.split()[1]) for line in file}
    return (values["MemTotal"] - values["MemAvailable"]) * 1024


def main():
    args = arguments()
    count = args.clients * args.examples
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                       OMPI_MCA_mpi_yield_when_idle="1")
    with tempfile.TemporaryDirectory() as directory:
        shards = os.path.join(directory, "shards")
        os.mkdir(shards)
        for split in ("train", "test"):
            cut(args.shards / f"{split}.h5", os.path.join(shards, f"{split}.h5"), count)
        before = used_memory()
        output = os.path.join(directory, "run")
        ours, our_memory = timed(
            [args.mpirun, "-np", str(args.clients + 1), "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none", args.fedmpi, "run",
             "jobs/imdb.toml", "--output", output, "--set", f"data.path={shards}", "--set", f"model.path={args.minilm}",
             "--set", f"run.rounds={args.rounds}", "--set", f"federation.clients={args.clients}",
             "--set", f"data.train_examples_per_client={args.examples}",
             "--set", f"data.test_examples_per_client={args.examples}", "--set", "evaluation.central=false"],
            environment, os.path.join(directory, "fedmpi.log"))
        with open(os.path.join(output, "metrics.jsonl"), encoding="utf-8") as file:
            last = json.loads(file.read().splitlines()[-1])
        print(f"fedmpi  {ours:8.1f} s, {(our_memory - before) / 2**30:5.1f} GiB, {last['failures']} failures, federated "
              f"accuracy {last['evaluate']['accuracy']:.4f}", flush=True)
        log = os.path.join(directory, "flower.log")
        theirs, their_memory = timed(
            [args.flower_python, str(HERE / "simulation.py"), shards, args.minilm, str(args.rounds), str(args.clients),
             str(args.examples), str(args.cores)], dict(os.environ, HF_HUB_OFFLINE="1"), log)
        with open(log, encoding="utf-8") as file:
            text = file.read()
        failures = sum(map(int, re.findall(r"and (\d+) failures", text)))
        accuracies = re.findall(r"\(\d+, ([0-9.]+)\)", text)
        print(f"Flower  {theirs:8.1f} s, {(their_memory - before) / 2**30:5.1f} GiB, {failures} failures, federated accuracy "
              f"{float(accuracies[-1]):.4f}")
        print(f"{args.rounds} rounds of {args.clients} clients with {args.examples} reviews: fedmpi takes "
              f"{ours / theirs:.3f} of Flower's time ({theirs / ours:.1f}x)")


if __name__ == "__main__":
    main()
