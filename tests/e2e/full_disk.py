"""A disk that is really full: a small tmpfs, filled by checkpoints, metrics or shards.

    full_disk.py --fedmpi PROGRAM --workdir DIR [--seed 1] [--count 5]

Each time the file system has another random size. What does not fit ends with one sentence that says so and exit status
1, with nothing half-written; once there is room the same job goes on to the same digests. Needs user namespaces or root
(exit status 77 without).
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

from small_text import WORDS, write_reviews, write_vocabulary

SKIPPED = 77
ENOUGH = "64m"
JOB = """\
[run]
name = "full"
rounds = 40
threads = 1
[federation]
clients = 3
[model]
name = "logistic"
num_features = 200
[data]
name = "synthetic"
num_features = 200
train_examples = 60
test_examples = 20
[training]
learning_rate = 0.1
"""
PREPARE = ["prepare", "imdb", "--archive", "../aclImdb", "--vocabulary", "../vocab.txt", "--output", "shards"]


class Disk:
    """A mounted tmpfs; this process is root in a namespace of its own."""

    def __init__(self, directory, kibibytes):
        self.directory = directory
        directory.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(directory)], check=True)

    def __enter__(self):
        return self

    def grow(self):
        subprocess.run(["mount", "-o", f"remount,size={ENOUGH}", str(self.directory)], check=True)

    def __exit__(self, *_):
        subprocess.run(["umount", str(self.directory)], check=True)


def run(fedmpi, arguments, directory):
    return subprocess.run([fedmpi, *arguments], cwd=directory, capture_output=True, text=True, timeout=120, check=False)


def must(fedmpi, arguments, directory):
    done = run(fedmpi, arguments, directory)
    assert done.returncode == 0, f"{arguments}: exit status {done.returncode}\n{done.stdout}{done.stderr}"


def digests(output):
    return [json.loads(line)["digest"] for line in (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def said_so(done):
    """Whether it ended as it should where there was too little room."""
    complaints = [line for line in done.stderr.splitlines() if line.startswith("fedmpi: ")]
    assert done.returncode == 1, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
    assert len(complaints) == 1 and "No space left on device" in complaints[0], done.stderr
    return complaints[0]


def half_written(directory):
    return [str(path) for path in directory.rglob("*") if ".tmp" in path.name or path.name.startswith(".")
            and path.name != ".lock"]


def a_run(fedmpi, directory, kibibytes, settings, expected):
    arguments = ["run", "../job.toml", "--output", "run", *settings]
    with Disk(directory / "disk", kibibytes) as disk:
        done = run(fedmpi, arguments, disk.directory)
        what = "it fitted" if done.returncode == 0 else said_so(done)
        assert not half_written(disk.directory), half_written(disk.directory)
        disk.grow()
        checkpoints = list((disk.directory / "run" / "checkpoints").glob("round_????.h5"))
        must(fedmpi, [*arguments, *(["--resume"] if checkpoints else [])], disk.directory)
        assert digests(disk.directory / "run") == expected
    return what


def checkpoints(fedmpi, directory, dice, expected):
    return a_run(fedmpi, directory, 4 * dice.randint(1, 60), ["--set", f"checkpoint.keep={dice.choice([0, 1, 3])}"],
                 expected["rounds"])


def metrics(fedmpi, directory, dice, expected):
    """Only round 0 has a checkpoint: what grows are the metrics and the logs."""
    return a_run(fedmpi, directory, 4 * dice.randint(1, 24), ["--set", "checkpoint.every=0"], expected["rounds"])


def shards(fedmpi, directory, dice, expected):
    with Disk(directory / "disk", 4 * dice.randint(1, 5)) as disk:
        done = run(fedmpi, PREPARE, disk.directory)
        what = "they fitted" if done.returncode == 0 else said_so(done)
        if done.returncode != 0:
            left = [str(path) for path in disk.directory.rglob("*")]
            assert not left, left
            disk.grow()
            must(fedmpi, PREPARE, disk.directory)
        assert {path.name: path.read_bytes() for path in (disk.directory / "shards").iterdir()} == expected["shards"]
    return what


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--in-namespace", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.in_namespace:
        unshare = ["unshare", "--map-root-user", "--mount"]
        try:
            subprocess.run([*unshare, "mount", "-t", "tmpfs", "tmpfs", "/tmp"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"skipped: no file system can be mounted here: {error}")
            sys.exit(SKIPPED)
        os.execvp("unshare", [*unshare, sys.executable, *sys.argv, "--in-namespace"])
    fedmpi, directory = str(pathlib.Path(args.fedmpi).resolve()), args.workdir.resolve() / "full_disk"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / "job.toml").write_text(JOB, encoding="utf-8")
    write_reviews(directory / "aclImdb")
    write_vocabulary(directory / "vocab.txt", WORDS)
    roomy = directory / "roomy"
    roomy.mkdir()
    must(fedmpi, ["run", "../job.toml", "--output", "run"], roomy)
    must(fedmpi, PREPARE, roomy)
    expected = {"rounds": digests(roomy / "run"),
                "shards": {path.name: path.read_bytes() for path in (roomy / "shards").iterdir()}}
    for fill in (checkpoints, metrics, shards):
        fitted = 0
        for i in range(args.count):
            what = fill(fedmpi, directory, random.Random(f"{args.seed} {fill.__name__} {i}"), expected)
            fitted += "fitted" in what
            print(f"{fill.__name__} {i}: {what}", flush=True)
        assert args.count < 5 or fitted < args.count, f"{fill.__name__}: there was always room"


if __name__ == "__main__":
    main()
