"""What fedmpi check predicts beside what the run then takes.

Each job is checked and run in turn, several times, on each number of ranks. A round is the mean over those after the first.
"""
import argparse
import json
import os
import pathlib
import resource
import shutil
import subprocess
import time

import h5py
import numpy as np

MANY_CLIENTS = """\
[run]
name = "many"
rounds = 20
[federation]
clients = 2000
fraction_fit = 0.1
fraction_evaluate = 0.1
[model]
name = "logistic"
[data]
name = "synthetic"
train_examples = 80000
test_examples = 20000
[training]
batch_size = 8
optimizer = "sgd"
learning_rate = 0.1
precision = "float32"
local_epochs = 5
[evaluation]
central_examples = 2000
"""

ARRAYS = """\
[run]
name = "arrays"
rounds = 4
[federation]
clients = 20
[model]
name = "mlp"
hidden = [256, 256]
num_labels = 10
num_features = 784
[data]
name = "hdf5_array"
path = "arrays"
partition = { name = "dirichlet", alpha = 0.5 }
[training]
batch_size = 32
learning_rate = 1e-3
"""


def write_arrays(directory):
    random = np.random.default_rng(1)
    directory.mkdir()
    for split, size in (("train", 12000), ("test", 4000)):
        with h5py.File(directory / f"{split}.h5", "w") as file:
            labels = random.integers(0, 10, size)
            file["features"] = (random.normal(size=(size, 28, 28)) + labels[:, None, None] / 5).astype(np.float32)
            file["labels"] = labels


def ticks():
    """Processor seconds of this machine, and of the programs started here."""
    with open("/proc/stat", encoding="utf-8") as file:
        busy = file.readline().split()[1:9]
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
    all_but_idle = sum(map(int, busy)) - int(busy[3]) - int(busy[4])
    return all_but_idle / os.sysconf("SC_CLK_TCK"), of_children.ru_utime + of_children.ru_stime


def launched(args, ranks, words):
    launch = []
    if ranks > 1:
        launch = [args.mpirun, "-np", str(ranks), "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none"]
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_mpi_yield_when_idle="1")
    start = time.monotonic()
    done = subprocess.run([*launch, args.fedmpi, *words], cwd=args.workdir, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, f"{words}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout, time.monotonic() - start


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else float("nan")


def median(values):
    return float(np.median(list(values)))


def actual(directory):
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    rounds = lines[2:] if len(lines) > 3 else lines[1:]
    found = {key: mean(line["seconds"][key] for line in rounds) for key in ("fit", "evaluate")}
    found["round"] = mean(line["seconds"]["total"] for line in rounds)
    found["total"] = sum(line["seconds"]["total"] for line in lines)
    found["memory"] = max(line["peak_rss_bytes"] for line in lines)
    found["bytes"] = mean(line["bytes_sent"] for line in rounds)
    return found


def predicted(facts):
    seconds = facts["seconds"]
    # A run's own clock starts when everything is loaded.
    return {"fit": seconds["fit"], "evaluate": seconds["evaluate"], "round": seconds["round"],
            "total": seconds["total"] - seconds["start"],
            "memory": max(facts["memory"]["host_bytes"], facts["memory"]["server_bytes"]), "bytes": facts["bytes_sent"]}


def shown(key, value):
    unit = {"memory": 1e6, "bytes": 1e3}.get(key)
    return f"{value / unit:9.1f}" if unit else f"{value:9.3g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedmpi", required=True, type=pathlib.Path)
    parser.add_argument("--mpirun", required=True)
    parser.add_argument("--shards", type=pathlib.Path, help="of movie reviews; with --minilm: the quick start too")
    parser.add_argument("--minilm", type=pathlib.Path)
    parser.add_argument("--workdir", required=True, type=pathlib.Path, help="made, and emptied before")
    parser.add_argument("--ranks", default="1,2,3,8")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--jobs", default="quickstart,many,arrays")
    parser.add_argument("--set", action="append", default=[], help="for all jobs: run.threads=1, say")
    parser.add_argument("--from-one", action="store_true", help="the check itself always on one rank")
    args = parser.parse_args()
    args.fedmpi, args.workdir = args.fedmpi.resolve(), args.workdir.resolve()
    args.mpirun = os.path.abspath(shutil.which(args.mpirun))
    shutil.rmtree(args.workdir, ignore_errors=True)
    args.workdir.mkdir(parents=True)
    jobs = {"many": ["many.toml"], "arrays": ["arrays.toml"]}
    for name, text in (("many", MANY_CLIENTS), ("arrays", ARRAYS)):
        (args.workdir / f"{name}.toml").write_text(text, encoding="utf-8")
    write_arrays(args.workdir / "arrays")
    if args.shards and args.minilm:
        job = pathlib.Path(__file__).resolve().parents[3] / "jobs" / "quickstart.toml"
        jobs["quickstart"] = [str(job), "--set", f"data.path={args.shards.resolve()}", "--set", f"model.path={args.minilm.resolve()}"]
    chosen = [name for name in args.jobs.split(",") if name in jobs]
    for words in jobs.values():
        words += [word for setting in args.set for word in ("--set", setting)]

    print("predicted, actual (seconds; MB of the largest rank; kB sent in a round) and their ratio: medians of the turns, and the ratio of each", flush=True)
    for name in chosen:
        for ranks in map(int, args.ranks.split(",")):
            turns, start, before_all = [], time.monotonic(), ticks()
            for turn in range(args.turns):
                where = args.workdir / f"{name}-{ranks}-{turn}"
                asked = ["--ranks", str(ranks)] if args.from_one else []
                text, took = launched(args, 1 if args.from_one else ranks, ["check", *jobs[name], "--json", "--output", str(where), *asked])
                launched(args, ranks, ["run", *jobs[name], "--output", str(where)])
                turns.append((predicted(json.loads(text)), actual(where), took))
                shutil.rmtree(where)
            machine, own = (after - before for after, before in zip(ticks(), before_all))
            print(f"{name} on {ranks} (a check takes {mean(took for _, _, took in turns):.0f} s; other programs took "
                  f"{(machine - own) / (time.monotonic() - start):.1f} of {os.cpu_count()} cores)")
            for key in ("fit", "evaluate", "round", "total", "memory", "bytes"):
                before, after = median(turn[0][key] for turn in turns), median(turn[1][key] for turn in turns)
                ratio = f"{before / after:6.2f}" if after else "     -"
                each = " ".join(f"{turn[0][key] / turn[1][key]:.2f}" for turn in turns if turn[1][key])
                print(f"  {key:9} {shown(key, before)} {shown(key, after)} {ratio}   ({each})", flush=True)


if __name__ == "__main__":
    main()
