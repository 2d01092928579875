"""A run's directory after whatever may happen to it: what a start and a --resume make of it."""
import argparse
import fcntl
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import time

JOB = """\
[run]
name = "made_up"
rounds = 4
threads = 1
output = "run"
[federation]
clients = 4
[model]
name = "logistic"
[data]
name = "synthetic"
[training]
batch_size = 16
optimizer = "sgd"
learning_rate = 0.1
[checkpoint]
keep = 0
"""


class Program:
    def __init__(self, fedmpi, directory):
        self.fedmpi, self.directory, self.run_directory = fedmpi, directory, directory / "run"

    def run(self, *arguments, expected=0, **more):
        done = subprocess.run([self.fedmpi, "run", "job.toml", *arguments], cwd=self.directory, timeout=120, text=True,
                              capture_output=True, check=False, **more)
        assert done.returncode == expected, f"{arguments}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stderr

    def fresh(self, *arguments, **more):
        shutil.rmtree(self.run_directory, ignore_errors=True)
        return self.run(*arguments, **more)

    def digests(self):
        lines = (self.run_directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["digest"] for line in lines]


def lost_metrics_come_back(program):
    program.fresh()
    metrics = program.run_directory / "metrics.jsonl"
    whole = metrics.read_text(encoding="utf-8")
    metrics.write_text("".join(whole.splitlines(keepends=True)[:-1]), encoding="utf-8")
    (program.run_directory / "metrics.csv").unlink()
    assert "nothing to do" in program.run("--resume")
    assert len(program.digests()) == 5 and (program.run_directory / "metrics.csv").exists()
    metrics.write_text(whole, encoding="utf-8")
    program.run("--resume")
    assert metrics.read_text(encoding="utf-8") == whole, "resuming a finished run changed its metrics"


def resumed_or_started(program):
    """One command, whatever there is."""
    program.fresh("--set", "run.rounds=6")
    expected = program.digests()
    text = program.fresh("--resume-or-start")
    assert "resumed" not in text and len(program.digests()) == 5, text
    text = program.run("--resume-or-start", "--set", "run.rounds=6")
    assert "resumed after round 4" in text and program.digests() == expected, text
    text = program.run("--resume-or-start", "--set", "run.rounds=6")
    assert "nothing to do" in text and program.digests() == expected, text
    text = program.run("--resume-or-start", "--set", "run.rounds=6", "--set", "run.seed=2", expected=2)
    assert "this job is another one in run.seed" in text, text
    for checkpoint in (program.run_directory / "checkpoints").glob("round_*.h5"):
        checkpoint.unlink()
    assert "already holds a run" in program.run("--resume-or-start", expected=2), "metrics without a checkpoint were written over"
    assert "excludes" in program.run("--resume-or-start", "--resume", expected=2)


def warned_while_it_starts(program):
    """SIGUSR1 as soon as the program minds it, long before the first round."""
    shutil.rmtree(program.run_directory, ignore_errors=True)
    process = subprocess.Popen([program.fedmpi, "run", "job.toml"], cwd=program.directory, text=True, stderr=subprocess.PIPE)
    minded = 1 << (signal.SIGUSR1 - 1)
    while not int(re.search(r"SigCgt:\s*(\w+)", pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8"))[1], 16) & minded:
        assert process.poll() is None, "it ended, or never minded the signal"
    assert not program.run_directory.exists()
    process.send_signal(signal.SIGUSR1)
    _, text = process.communicate(timeout=120)
    assert process.returncode == 3 and "stopped by a signal after round 0" in text, text


def ended_before_round_0(program):
    program.fresh()
    expected = program.digests()
    shutil.rmtree(program.run_directory / "checkpoints")
    (program.run_directory / "checkpoints").mkdir()
    assert "already holds a run" in program.run(expected=2)
    (program.run_directory / "metrics.jsonl").write_text("", encoding="utf-8")
    program.run()
    assert program.digests() == expected


def damaged_checkpoints(program):
    program.fresh()
    expected = program.digests()
    checkpoints = program.run_directory / "checkpoints"
    for number in (3, 4):
        (checkpoints / f"round_000{number}.h5").write_bytes(b"damaged")
    os.mkfifo(checkpoints / "round_0009.h5")
    text = program.run("--resume", "--set", "checkpoint.keep=2")
    assert "round_0004.h5" in text and "resumed after round 2" in text, text
    assert program.digests() == expected
    left = sorted(path.name for path in checkpoints.iterdir() if path.is_file())
    assert left == ["round_0003.h5", "round_0003.h5.old", "round_0004.h5", "round_0004.h5.old"], left


def partition_is_written(program):
    text = program.fresh("--set", "data.partition.name=dirichlet", "--set", "data.partition.alpha=0.5")
    assert 'partition "dirichlet":' in text and "4 clients have 2000 of 2000 train examples" in text, text
    clients = json.loads((program.run_directory / "partition.json").read_text(encoding="utf-8"))["clients"]
    assert [client["client"] for client in clients] == [0, 1, 2, 3]
    assert sum(client["train_examples"] for client in clients) == 2000
    assert sum(client["test_examples"] for client in clients) == 500
    for client in clients:
        assert sum(client["labels"].values()) == client["train_examples"] == client["tokens"], client
    program.run("--resume", "--set", "data.partition={ name = 'dirichlet', alpha = [0.5] }")
    text = program.run("--resume", "--set", "data.partition={ name = 'dirichlet', alpha = 0.6 }", expected=2)
    assert "another one in data.partition.alpha:" in text, text
    assert "partition \"" not in program.fresh(), "that all have the same is not worth a table"
    assert (program.run_directory / "partition.json").exists()


def more_rounds(program):
    program.fresh("--set", "run.rounds=9")
    expected = program.digests()
    program.fresh()
    program.run("--resume", "--set", "run.rounds=9")
    assert program.digests() == expected


def out_of_time(program):
    long = ("--set", "run.rounds=40", "--set", "training.local_epochs=5", "--set", "data.train_examples=20000")
    started = time.monotonic()
    program.fresh(*long)
    expected, seconds = program.digests(), time.monotonic() - started
    limit = ("--set", f"run.max_seconds={seconds / 2}")
    text = program.fresh(*long, *limit, expected=3)
    assert "out of time after round" in text and "go on with --resume" in text, text
    assert len(program.digests()) < 41
    program.run("--resume", *long)
    assert program.digests() == expected


def a_second_interrupt(program):
    """The first one lets the round end, which takes minutes here."""
    shutil.rmtree(program.run_directory, ignore_errors=True)
    process = subprocess.Popen([program.fedmpi, "run", "job.toml", "--on-signal", "finish", "--set",
                                "training.local_epochs=100000"], cwd=program.directory, stdout=subprocess.DEVNULL)
    metrics = program.run_directory / "metrics.jsonl"
    while not metrics.exists() or not metrics.read_text(encoding="utf-8"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "the first one ended it"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130, process.returncode
    left = [path.name for path in (program.run_directory / "checkpoints").iterdir()]
    assert left == ["round_0000.h5"], left


def full_disk(program):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    wide = ("--set", "model.num_features=20000", "--set", "data.num_features=20000", "--set", "data.train_examples=40")
    text = program.fresh(*wide, expected=1, preexec_fn=limit)
    assert "round_0000.h5: could not be written" in text, text
    log = (program.run_directory / "log" / "rank_00.log").read_text(encoding="utf-8")
    assert "[error]" in log and "could not be written" in log, log
    assert not list((program.run_directory / "checkpoints").iterdir())
    program.run(*wide)


def two_runs_at_once(program):
    program.fresh()
    handle = os.open(program.run_directory, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        for arguments in ((), ("--resume",)):
            assert "another run is writing there" in program.run(*arguments, expected=2)
        # Started again by a script, it lets the run before end.
        process = subprocess.Popen([program.fedmpi, "run", "job.toml", "--resume-or-start"], cwd=program.directory,
                                   text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert any("waiting up to 30 s for its end" in line for line in process.stderr)
    finally:
        os.close(handle)
    _, text = process.communicate(timeout=120)
    assert process.returncode == 0, text


def unusable_places(program):
    shutil.rmtree(program.run_directory, ignore_errors=True)
    os.symlink("nowhere", program.directory / "dangling")
    (program.directory / "file").write_text("", encoding="utf-8")
    for place in ("dangling", "file", "file/below", ""):
        program.run("--output", place, expected=2)
    program.run_directory.mkdir()
    (program.run_directory / "log").write_text("", encoding="utf-8")
    assert "log is in the way" in program.run(expected=2)
    shutil.rmtree(program.run_directory)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    args = parser.parse_args()
    directory = args.workdir.resolve() / "run_directory"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / "job.toml").write_text(JOB, encoding="utf-8")
    program = Program(str(pathlib.Path(args.fedmpi).resolve()), directory)
    for check in (resumed_or_started, warned_while_it_starts, lost_metrics_come_back, ended_before_round_0, damaged_checkpoints, partition_is_written, more_rounds, full_disk,
                  two_runs_at_once, unusable_places, out_of_time, a_second_interrupt):
        check(program)
        print(f"{check.__name__}: as it should be", flush=True)


if __name__ == "__main__":
    main()
