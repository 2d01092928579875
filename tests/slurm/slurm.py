"""The scripts of slurm/ on a real Slurm: a controller and four nodes, all on this machine and ended with the test.

    slurm.py --fedmpi PROGRAM --mpirun MPIRUN --stand-in DIR --source DIR --workdir DIR [--only NAME ...]

Every run must end with the digests of one that a single process did undisturbed.
"""
import argparse
import os
import pathlib
import re
import shutil
import signal
import statistics
import sys
import time

import isolation
from cluster import Cluster, missing
from runs import Failure, Runs

JOB = """\
[run]
name = "made_up"
rounds = 3
threads = 2
[federation]
clients = 8
[model]
name = "logistic"
num_features = 100
[data]
name = "synthetic"
num_features = 100
train_examples = 1000
test_examples = 200
[training]
local_epochs = 2
batch_size = 4
learning_rate = 0.01
[checkpoint]
every = 2
"""


def plain(runs):
    for launcher in ("srun", runs.mpirun):
        name = f"plain-{pathlib.Path(launcher).name}"
        runs.finish(runs.submit("imdb.sbatch", name, launcher=launcher, settings=["run.rounds=20"]))
        runs.compare(name, "run.rounds=20")
        assert "8 clients on 4 ranks, 1 thread a rank" in runs.log(name), runs.log(name)


def across_nodes(runs):
    """Two ranks a node, a model that is sent to a node once and comes back from it as one sum, of 8 bytes an element."""
    settings = ['model.name="mlp"', "model.hidden=[1500,1500]", "training.local_epochs=1", "training.batch_size=100"]
    parameters = 100 * 1500 + 1500 + 1500 * 1500 + 1500 + 1500 * 2 + 2
    for launcher, name in (("srun", "across-srun"), (runs.mpirun, "across-mpirun")):
        runs.finish(runs.submit("imdb.sbatch", name, "--ntasks=8", "--ntasks-per-node=2", launcher=launcher, settings=settings))
        runs.compare(name, *settings)
        assert "8 clients on 8 ranks" in runs.log(name), runs.log(name)
        for line in runs.metrics(name)[1:]:
            besides = line["bytes_sent"] - (4 - 1) * (4 + 8) * parameters
            assert 0 <= besides < 100_000, line


def sweep(runs):
    """As many jobs as the script says, of two ranks each."""
    for launcher, name in (("srun", "sweep-srun"), (runs.mpirun, "sweep-mpirun")):
        runs.finish(runs.submit("sweep.sbatch", name, "--ntasks=2", launcher=launcher), tasks=6)
        for strategy in ("fedavg", "fedmedian"):
            for seed in (1, 2, 3):
                runs.compare(f"{name}/{strategy}-{seed}", f"strategy.name={strategy}", f"run.seed={seed}")
    beyond = runs.submit("sweep.sbatch", "sweep-beyond", "--ntasks=2", "--array=6")
    runs.finish(beyond, "FAILED")
    assert "there is no run 6: 2 strategies with 3 seeds take --array=0-5" in runs.printed(beyond), runs.printed(beyond)
    assert not (runs.workdir / "sweep-beyond").exists()


def hetjob(runs):
    """By srun only of a Slurm whose srun always ends; an older one is refused."""
    for launcher, name in (("srun", "hetjob-srun"), (runs.mpirun, "hetjob-mpirun")):
        job = runs.submit("hetjob.sbatch", name, launcher=launcher)
        if launcher == "srun" and runs.cluster.version() < (24, 11):
            runs.finish(job, "FAILED")
            assert "leave LAUNCHER at mpirun" in runs.printed(job), runs.printed(job)
            assert not (runs.workdir / name).exists()
            continue
        runs.finish(job)
        runs.compare(name)
        assert "8 clients on 3 ranks, 1 thread a rank" in runs.log(name), runs.log(name)


def gpu(runs):
    """A GPU is asked for with each rank, and found by nobody: the stand-in for NCCL carries what lies in the nodes' memory."""
    runs.cluster.environment.update(FEDMPI_PLUGIN_PATH=str(runs.stand_in), FEDMPI_STAND_IN_DIRECTORY=str(runs.workdir))
    here = ["run.device=cpu", "federation.transport=stand_in"]
    for launcher, name in (("srun", "gpu-srun"), (runs.mpirun, "gpu-mpirun")):
        job = runs.submit("gpu.sbatch", name, launcher=launcher, settings=here)
        runs.finish(job)
        runs.compare(name)
        assert "8 clients on 4 ranks, 1 thread a rank" in runs.log(name), runs.log(name)
    job = runs.submit("gpu.sbatch", "gpu-none", launcher=runs.mpirun)
    runs.finish(job, "FAILED")
    assert "run.device = \"cuda\"" in runs.printed(job), runs.printed(job)
    assert not (runs.workdir / "gpu-none").exists()


def requeue_at_the_end_of_time(runs):
    """Two minutes of wall time, of which the signal leaves 20 to 50 s, for a run of more than 100 s."""
    seconds = statistics.median(line["seconds"]["total"] for line in runs.metrics("plain-srun")[1:])
    rounds = f"run.rounds={max(400, round(105 / seconds))}"
    job = runs.submit("requeue.sbatch", "requeue", "--time=2", "--signal=B:USR1@70", launcher="srun",
                      settings=[rounds, "checkpoint.within_round_seconds=1"])
    runs.finish(job)
    runs.compare("requeue", rounds)
    assert runs.restarts(job) >= 2, f"it was requeued {runs.restarts(job)} times"
    print(f"    {rounds}, requeued {runs.restarts(job)} times", flush=True)


def requeue_by_signal(runs):
    """What a wall time does, at moments of the test's choice."""
    rounds = "run.rounds=400"
    job = runs.submit("requeue.sbatch", "signalled", launcher=runs.mpirun, settings=[rounds])
    for restarts in range(2):
        # A job that is about to be requeued is sent no signal, and the rounds of before are not its own.
        runs.wait("its start", lambda: runs.printed(job).count("resumed after round") == restarts)
        runs.wait_for_rounds("signalled", len(runs.metrics("signalled")) + 15)
        runs.cluster("scancel", "--batch", "--signal=USR1", job)
        runs.wait("a restart", lambda: runs.restarts(job) > restarts)
    runs.finish(job)
    runs.compare("signalled", rounds)


def requeue_without_progress(runs):
    """Rounds that do not fit into the wall time: not requeued for ever."""
    long_rounds = ["training.local_epochs=400000"]
    job = runs.submit("requeue.sbatch", "long_rounds", launcher="srun", settings=long_rounds)
    for restarts in range(2):
        runs.wait_for_rounds("long_rounds", 1)
        runs.wait("round 1 to begin", lambda: len(re.findall("round 1/3: fit", runs.printed(job))) > restarts)
        runs.cluster("scancel", "--batch", "--signal=USR1", job)
        if restarts == 0:
            runs.wait("a restart", lambda: runs.restarts(job) == 1)
            runs.wait("its start", lambda: "resumed after round 0" in runs.printed(job))
    runs.finish(job, state="FAILED")
    assert "no round was done in this time" in runs.printed(job), runs.printed(job)


def lost_rank(runs):
    rounds = "run.rounds=400"
    job = runs.submit("ulfm.sbatch", "lost_rank", settings=[rounds])
    runs.wait_for_rounds("lost_rank", 10)
    os.kill(runs.ranks()[2], signal.SIGKILL)
    runs.finish(job)
    runs.compare("lost_rank", rounds)
    assert "1 of 4 ranks lost" in runs.printed(job), runs.printed(job)
    assert "resumed after" not in runs.printed(job), "it was started again"


def lost_node(runs):
    rounds = "run.rounds=400"
    job = runs.submit("ulfm.sbatch", "lost_node", settings=[rounds])
    runs.wait_for_rounds("lost_node", 10)
    runs.cluster("scontrol", "update", "NodeName=n3", "State=DOWN", "Reason=test")
    runs.finish(job)
    runs.cluster("scontrol", "update", "NodeName=n3", "State=RESUME")
    runs.compare("lost_node", rounds)
    assert "it goes on on n1 n2 n4" in runs.printed(job) and "on 3 ranks" in runs.printed(job), runs.printed(job)


def readme(runs):
    """Every command of slurm/README.md, as it stands, for the small job."""
    text = (runs.source / "slurm" / "README.md").read_text(encoding="utf-8")
    commands = [line for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(commands) > 5, commands
    for command in commands:
        printed = runs.cluster("bash", "-c", command, **runs.situation())
        print(f"    {command}", flush=True)
        for job in re.findall(r"Submitted batch job (\d+)", printed):
            runs.finish(job, tasks=6 if "sweep" in command else 1)


CHECKS = {check.__name__: check for check in (plain, across_nodes, gpu, sweep, hetjob, requeue_by_signal, requeue_without_progress,
                                             lost_rank, lost_node, readme, requeue_at_the_end_of_time)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fedmpi", required=True, type=pathlib.Path)
    parser.add_argument("--mpirun", required=True)
    parser.add_argument("--stand-in", required=True, type=pathlib.Path, help="directory of the transport plugin \"stand_in\"")
    parser.add_argument("--source", required=True, type=pathlib.Path)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS))
    args = parser.parse_args()
    if lacking := missing():
        isolation.skip(f"this machine has no {', '.join(lacking)}: install what tests/apt-packages.txt names")
    directory = isolation.enter()
    workdir = args.workdir.resolve() / "slurm"
    shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir(parents=True)
    (workdir / "job.toml").write_text(JOB, encoding="utf-8")
    with Cluster(directory, num_nodes=4, cpus=16) as cluster:
        runs = Runs(cluster, args.fedmpi.resolve(), args.mpirun, args.stand_in.resolve(), args.source.resolve(), workdir)
        for name in args.only:
            started = time.monotonic()
            try:
                CHECKS[name](runs)
            except (AssertionError, Failure) as failure:
                print(f"{name}: FAILED: {failure}\n{cluster.account()}", flush=True)
                sys.exit(1)
            print(f"{name}: as it should be, {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
