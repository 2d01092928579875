"""One job, several runs at once in one allocation: each is the run that it would have been alone."""
import argparse
import signal
import subprocess
import time

from launching import descendants, environment, launcher, rank_of, send
from program import Program

JOB = """\
[run]
name = "made_up"
rounds = 3
threads = 1
[federation]
clients = 4
[model]
name = "logistic"
[data]
name = "synthetic"
train_examples = 200
test_examples = 100
[training]
batch_size = 16
optimizer = "sgd"
learning_rate = 0.1
"""
SWEEP = ("--sweep", "strategy.name=fedavg,fedmedian", "--sweep", "seed=1,2,3")
LABELS = [f"strategy={strategy},seed={seed}" for strategy in ("fedavg", "fedmedian") for seed in (1, 2, 3)]


def alone(program):
    """The digests of each run, made by itself."""
    digests = {}
    for label in LABELS:
        strategy, seed = (part.split("=")[1] for part in label.split(","))
        program.run(f"alone/{label}", f"strategy.name={strategy}", f"run.seed={seed}")
        digests[label] = program.digests(f"alone/{label}")
    assert len({tuple(one) for one in digests.values()}) == len(LABELS), "the runs do not differ"
    return digests


def on_any_ranks(program, expected):
    for ranks, per_run in ((1, ()), (4, ()), (6, ("--ranks-per-run", 3)), (3, ("--ranks-per-run", 3))):
        output = f"sweep_{ranks}"
        done = program("run", "job.toml", *SWEEP, *per_run, "--output", output, ranks=ranks)
        for label in LABELS:
            assert program.digests(f"{output}/{label}") == expected[label], f"{label} on {ranks} ranks"
            assert done.stderr.count(f"{label}: round 3") == 1, done.stderr
        assert "strategy.name=fedavg: " in done.stderr and "over 3 seeds" in done.stderr, done.stderr
        assert "round 1/3: fit" not in done.stderr, "progress of runs that share a terminal"
        logs = sorted(path.name for path in (program.directory / output / LABELS[0] / "log").iterdir())
        assert logs == [f"rank_{rank:02}.log" for rank in range(3 if per_run else 1)], logs


def goes_on(program, expected):
    """Runs that are cut short or missing are finished, the others left as they are."""
    output = program.directory / "sweep_4"
    for name in (LABELS[0], LABELS[4]):
        for path in sorted((output / name).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (output / name).rmdir()
    program("run", "job.toml", "--sweep", "strategy.name=fedmedian", "--sweep", "seed=2", "--output", "sweep_4", "--set",
            "run.rounds=2")
    before = (output / LABELS[1] / "checkpoints" / "round_0003.h5").stat().st_mtime_ns
    refused = program("run", "job.toml", *SWEEP, "--output", "sweep_4", ranks=2, expected=2)
    assert "exists: go on with the sweep by --resume" in refused.stderr, refused.stderr
    assert not (output / LABELS[0]).exists(), "a refused sweep wrote something"
    program("run", "job.toml", *SWEEP, "--output", "sweep_4", "--resume", ranks=2)
    for label in LABELS:
        assert program.digests(f"sweep_4/{label}") == expected[label], label
    assert (output / LABELS[1] / "checkpoints" / "round_0003.h5").stat().st_mtime_ns == before


def one_fails(program, expected):
    """A learning rate that ruins a run does not touch the others."""
    done = program("run", "job.toml", "--sweep", "training.learning_rate=0.1,1e38", "--sweep", "training.batch_size=16", "--set",
                   "seed=1", "--set", "training.momentum=0.9", "--output", "one_fails", ranks=2, expected=1)
    assert "learning_rate=1e38,batch_size=16: error: " in done.stderr and "not finite" in done.stderr, done.stderr
    assert len(program.rounds("one_fails/learning_rate=0.1,batch_size=16")) == 4


def lost_runs_are_told(program, expected):
    """Who loses a rank with the runs that it was to make does not say that all is done."""
    output, more = program.directory / "lost", ("--set", "run.rounds=400")
    process = subprocess.Popen([*launcher(program.mpirun, 2), "--with-ft", "ulfm", program.fedmpi, "run", "job.toml", *SWEEP,
                                "--output", "lost", *more], cwd=program.directory, env=environment(), stderr=subprocess.PIPE, text=True)
    victim = output / LABELS[1] / "metrics.jsonl"  # of the second of two groups
    while not victim.exists() and process.poll() is None:
        time.sleep(0.01)
    (rank,) = (pid for pid in descendants(process.pid) if rank_of(pid, program.fedmpi) == 1)
    send(signal.SIGKILL, [rank])
    _, text = process.communicate(timeout=200)
    assert process.returncode == 1, f"exit status {process.returncode}\n{text}"
    program("run", "job.toml", *SWEEP, "--output", "lost", "--resume", *more, ranks=2)
    for label in LABELS:
        assert program.digests(f"lost/{label}")[:4] == expected[label], label


def wrong_jobs_start_nothing(program, _):
    for sweep, sentence in ((("--sweep", "strategy.name=fedavg,fedmedin"), "there is no strategy plugin 'fedmedin'"),
                            (("--sweep", "training.learning_rat=1,2"), "did you mean 'learning_rate'?"),
                            (("--sweep", "seed"), "'seed' is not of the form"),
                            (("--sweep", "seed=1,2", "--set", "run.seed=3"), "both give run.seed"),
                            (("--sweep", "seed=1,2", "--ranks-per-run", "3"), "more than the 2 ranks that were started"),
                            (("--sweep", "run.device=cpu,cuda"), "the runs of a sweep are to have one run.device"),
                            (("--ranks-per-run", "2"), "--sweep")):
        done = program("run", "job.toml", *sweep, "--output", "wrong", ranks=2, expected=2)
        assert sentence in done.stderr, done.stderr
        assert not (program.directory / "wrong").exists()
    done = program("run", "job.toml", *SWEEP, "--output", f"alone/{LABELS[0]}", expected=2)
    assert "already holds a run" in done.stderr, done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--fedmpi", "--mpirun", "--workdir"):
        parser.add_argument(name, required=True)
    program = Program(parser.parse_args(), "sweep")
    (program.directory / "job.toml").write_text(JOB, encoding="utf-8")
    expected = alone(program)
    for check in (on_any_ranks, goes_on, one_fails, lost_runs_are_told, wrong_jobs_start_nothing):
        check(program, expected)
        print(f"{check.__name__}: passed", flush=True)


if __name__ == "__main__":
    main()
