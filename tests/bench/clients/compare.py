"""Many small clients beside pfl-research (`pip install pfl`), which trains at the speed of a bare PyTorch loop.

    compare.py --fedmpi BUILD/bin/fedmpi --mpirun MPIRUN --workdir DIR [--clients 10000] [--cohort 200] [--turns 3]

Both train the same made-up examples with the same local steps on two threads, turn by turn: ten examples a client, batches
of five, five epochs. A round is the median of those after the first, without evaluation.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

import h5py
import numpy as np

EXAMPLES, BATCH_SIZE, EPOCHS, ROUNDS, THREADS = 10, 5, 5, 5, 2
JOB = """\
[run]
name = "{name}"
rounds = {rounds}
[federation]
clients = {clients}
fraction_fit = {fraction}
[model]
name = "{name}"
{options}
[data]
name = "hdf5_array"
path = "{name}"
partition = {{ name = "iid" }}
[training]
batch_size = {batch_size}
local_epochs = {epochs}
optimizer = "sgd"
learning_rate = 0.05
precision = "{precision}"
[evaluation]
federated = false
central = false
[checkpoint]
every = 0
"""
OPTIONS = {"cnn": "", "logistic": "num_features = 20\nnum_labels = 10"}


def write_data(directory, name, clients):
    random = np.random.default_rng(1)
    size = clients * EXAMPLES
    (directory / name).mkdir()
    for split, count in (("train", size), ("test", 100)):
        with h5py.File(directory / name / f"{split}.h5", "w") as file:
            if name == "cnn":
                file["features"] = random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
            else:
                file["features"] = random.normal(size=(count, 20)).astype(np.float32)
            file["labels"] = random.integers(0, 10, count)


def ours(args, name, precision, ranks):
    job = JOB.format(name=name, rounds=ROUNDS, clients=args.clients, fraction=args.cohort / args.clients, options=OPTIONS[name],
                     batch_size=BATCH_SIZE, epochs=EPOCHS, precision=precision)
    if name == "cnn":
        job = job.replace("partition =", "scale = 0.00392156862745098\npartition =")
    (args.workdir / "job.toml").write_text(job, encoding="utf-8")
    shutil.rmtree(args.workdir / "run", ignore_errors=True)
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_mpi_yield_when_idle="1")
    subprocess.run([args.mpirun, "-np", str(ranks), "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none", args.fedmpi, "run", "job.toml",
                    "--output", "run", "--set", f"run.threads={THREADS if ranks == 1 else 1}"],
                   cwd=args.workdir, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    lines = [json.loads(line) for line in (args.workdir / "run/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line["seconds"]["total"] for line in lines[1:]], max(line["peak_rss_bytes"] for line in lines)


def theirs(args, name):
    reference = pathlib.Path(__file__).with_name("pfl_reference.py")
    said = subprocess.run([args.python, reference, name, args.workdir / name / "train.h5", "--clients", str(args.clients), "--cohort",
                           str(args.cohort), "--examples", str(EXAMPLES), "--batch-size", str(BATCH_SIZE), "--epochs", str(EPOCHS),
                           "--iterations", str(ROUNDS), "--threads", str(THREADS)], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(said.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--fedmpi", "--mpirun", "--workdir"):
        parser.add_argument(name, required=True)
    parser.add_argument("--python", default=sys.executable, help="one that has pfl, torch and h5py")
    parser.add_argument("--clients", type=int, default=10000)
    parser.add_argument("--cohort", type=int, default=200)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    args = parser.parse_args()
    args.fedmpi = pathlib.Path(args.fedmpi).resolve()
    args.mpirun = os.path.abspath(shutil.which(args.mpirun))  # the runs have a directory of their own
    args.workdir = pathlib.Path(args.workdir).resolve()
    shutil.rmtree(args.workdir, ignore_errors=True)
    args.workdir.mkdir(parents=True)
    print(f"{args.clients} clients, {args.cohort} a round, {EXAMPLES * EPOCHS // BATCH_SIZE} steps each; milliseconds a client")
    for name in args.models:
        write_data(args.workdir, name, args.clients)
        ways = {"pfl": lambda: (theirs(args, name), 0)}
        for precision in ("float32", "bf16"):
            for ranks in (1, 3):
                ways[f"fedmpi, {precision}, {ranks} rank{'s' if ranks > 1 else ''}"] = \
                    lambda precision=precision, ranks=ranks: ours(args, name, precision, ranks)
        seconds, memory = {way: [] for way in ways}, dict.fromkeys(ways, 0)
        for _ in range(args.turns):
            for way, measure in ways.items():
                took, memory[way] = measure()
                seconds[way] += took[1:]
        for way, all_of_it in seconds.items():
            own = statistics.median(all_of_it)
            ratio = statistics.median(seconds["pfl"]) / own
            print(f"{name:9} {way:26} {1000 * own / args.cohort:9.3f}  {ratio:6.1f}x" + (f"  {memory[way] / 1e6:5.0f} MB a rank" if memory[way] else ""),
                  flush=True)


if __name__ == "__main__":
    main()
