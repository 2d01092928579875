"""fedmpi verify: a checkpoint made on 8 ranks is reproduced on others, and what was changed since is named."""
import argparse
import copy
import json
import pathlib
import shutil
import subprocess

from launching import environment, launcher
from small_text import WORDS, write_model, write_reviews, write_vocabulary

JOB = """\
[run]
name = "made_up"
rounds = 3
threads = 1
output = "run"
[federation]
clients = 6
[model]
name = "logistic"
[data]
name = "synthetic"
[training]
batch_size = 16
learning_rate = 0.1
learning_rate_schedule = "linear"
[checkpoint]
keep = 0
"""
TEXT_JOB = JOB.replace('"logistic"', '"transformer"\npath = "model"').replace('"synthetic"', '"hdf5_text"\npath = "shards"')
# [CLS] a good film . [SEP] as 16-bit numbers
TOKENS_OF_A_REVIEW = b"".join(WORDS.index(word).to_bytes(2, "little") for word in ("[CLS]", "a", "good", "film", ".", "[SEP]"))
LAST = "run/checkpoints/round_0003.h5"


class Program:
    def __init__(self, args, directory):
        self.fedmpi, self.mpirun, self.directory = str(pathlib.Path(args.fedmpi).resolve()), args.mpirun, directory

    def installed_as(self, fedmpi):
        other = copy.copy(self)
        other.fedmpi = str(fedmpi)
        return other

    def __call__(self, *arguments, ranks=1, expected=0):
        launch = [] if ranks == 1 else launcher(self.mpirun, ranks)
        done = subprocess.run([*launch, self.fedmpi, *arguments], cwd=self.directory, env=environment(), timeout=120,
                              text=True, capture_output=True, check=False)
        assert done.returncode == expected, f"{arguments}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def lines(output):
    return (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()


def content(directory):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(directory.rglob("*"))}


def other_numbers_of_ranks(program):
    for ranks in (1, 2, 3):
        text = program("verify", LAST, ranks=ranks)
        assert "reproduced: round 3 gives the digest" in text, text
    assert "reproduced: rounds 0 to 3 give the digests" in program("verify", LAST, "--from-start", ranks=2)
    text = program("verify", LAST, "--from-start", "--rounds", "2", ranks=2)
    assert "reproduced: rounds 0 to 2 give" in text and "round 3" not in text, text
    assert "reproduced: round 0 gives" in program("verify", "run/checkpoints/round_0000.h5")


def alone_in_a_directory(program):
    (program.directory / "alone").mkdir()
    shutil.copy(program.directory / LAST, program.directory / "alone" / "final.h5")
    assert "reproduced: rounds 0 to 3 give" in program("verify", "alone/final.h5")


# Round 0 is before any training: only what comes after it depends on the seed.
def another_seed(program):
    text = program("verify", LAST, "--set", "run.seed=7", "--from-start", ranks=2, expected=1)
    assert "is not reproduced: round 1 gives the digest" in text and "the job's run.seed" in text, text
    assert text.count("is not reproduced") == 1, text


def other_data(program):
    text = program("verify", LAST, "--set", "data.noise=1.5", "--from-start", expected=1)
    assert "the dataset's content" in text, text


# Another installation: the same program with one plugin that was built anew.
def another_plugin(program):
    other = program.directory / "other"
    (other / "bin").mkdir(parents=True)
    shutil.copy(program.fedmpi, other / "bin" / "fedmpi")
    # The program's own: other tests may have installations below.
    installed = min(pathlib.Path(program.fedmpi).parents[1].glob("**/fedavg.so"), key=lambda path: len(path.parts))
    shutil.copytree(installed.parent, other / "plugins")
    with open(other / "plugins" / "fedavg.so", "ab") as file:
        file.write(b"\0")
    elsewhere = program.installed_as(other / "bin" / "fedmpi")
    text = elsewhere("verify", LAST, "--set", "training.learning_rate=0.2", expected=1)
    assert "plugin.strategy (" in text and "the job's training.learning_rate" in text, text
    text = elsewhere("verify", LAST)
    assert "what differs from then: plugin.strategy (" in text, text


# A shard with another byte is not read at all; one that was made anew is another dataset.
def other_shards(program):
    write_model(program.directory / "model")
    write_reviews(program.directory / "aclImdb")
    write_vocabulary(program.directory / "vocab.txt", WORDS)
    prepare = ("prepare", "imdb", "--archive", "aclImdb", "--vocabulary", "vocab.txt", "--output", "shards")
    program(*prepare)
    (program.directory / "text.toml").write_text(TEXT_JOB, encoding="utf-8")
    program("run", "text.toml", "--output", "text", ranks=2)
    last = "text/checkpoints/round_0003.h5"
    assert "reproduced: rounds 0 to 3" in program("verify", last, "--from-start")
    shard = program.directory / "shards" / "train.h5"
    good = shard.read_bytes()
    changed = bytearray(good)
    changed[good.index(TOKENS_OF_A_REVIEW)] ^= 1
    shard.write_bytes(changed)
    text = program("verify", last, "--from-start", ranks=2, expected=2)
    assert "train.h5" in text, text
    shutil.rmtree(program.directory / "shards")
    program(*prepare, "--seed", "7")
    text = program("verify", last, "--from-start", expected=1)
    assert "is not reproduced: round 1" in text and "the dataset's content" in text, text


# Which clients are dropped depends on how fast things are; what they were is recorded.
def clients_dropped_at_a_deadline(program):
    slow = ("--set", "training.local_epochs=300", "--set", "checkpoint.keep=0")
    program("run", "job.toml", "--output", "slow", *slow)
    fit_seconds = [json.loads(line)["seconds"]["fit"] for line in lines(program.directory / "slow")[1:]]
    for attempt in range(5):
        output = f"dropped{attempt}"
        program("run", "job.toml", "--output", output, *slow, "--set", "federation.on_client_failure=drop",
                "--set", "federation.min_fit_clients=1", "--set", f"federation.round_deadline_seconds={max(fit_seconds) / 2}")
        failed = [one for line in lines(program.directory / output) for one in json.loads(line).get("failed", [])]
        if failed:
            break
    assert failed and all("round_deadline_seconds" in one["reason"] for one in failed), failed
    text = program("verify", f"{output}/checkpoints/round_0003.h5", "--from-start", ranks=2)
    assert "reproduced: rounds 0 to 3" in text, text


def clients_kept_on_nodes_apart(program):
    """What a client keeps between its rounds must be where the next rank to fit it finds it."""
    program("run", "job.toml", "--output", "kept", "--set", "strategy.name=scaffold", "--set", "training.optimizer=sgd")
    place, last = program.directory / "temporary", "kept/checkpoints/round_0003.h5"
    place.mkdir()
    verify = f"TMPDIR={place} exec {program.fedmpi} verify {last} --from-start"
    other_node = ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none {place} && {verify}"]
    if subprocess.run([*other_node[:-1], f"mount -t tmpfs none {place}"], capture_output=True, check=False).returncode != 0:
        return print("skipped: this system gives a process no mounts of its own")
    launch = launcher(program.mpirun, 1)
    done = subprocess.run([*launch, "sh", "-c", verify, ":", "-np", "2", *other_node], cwd=program.directory, env=environment(),
                          timeout=120, text=True, capture_output=True, check=False)
    assert done.returncode == 2 and f"{place} is not a directory that all nodes share" in done.stderr, done.stderr
    done = subprocess.run([*launch, "sh", "-c", verify, ":", "-np", "2", "sh", "-c", verify], cwd=program.directory,
                          env=environment(), timeout=120, text=True, capture_output=True, check=False)
    assert done.returncode == 0 and "reproduced" in done.stderr + done.stdout, done.stderr
    assert not list(place.iterdir()), "verify left something"


def broken_checkpoint(program):
    path = program.directory / "broken.h5"
    damaged = bytearray((program.directory / LAST).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    text = program("verify", "broken.h5", ranks=2, expected=2)
    assert "broken.h5" in text, text
    assert "job.toml" in program("verify", "job.toml", expected=2)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--mpirun", required=True)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    args = parser.parse_args()
    directory = args.workdir.resolve() / "verify"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / "job.toml").write_text(JOB, encoding="utf-8")
    program = Program(args, directory)
    program("run", "job.toml", ranks=8)
    run = content(directory / "run")
    for check in (other_numbers_of_ranks, alone_in_a_directory, another_seed, other_data, other_shards,
                  another_plugin, clients_dropped_at_a_deadline, clients_kept_on_nodes_apart, broken_checkpoint):
        check(program)
        print(f"{check.__name__}: as it should be", flush=True)
    assert content(directory / "run") == run, "verify changed the run's directory"


if __name__ == "__main__":
    main()
