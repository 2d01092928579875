"""fedmpi check: refuses what run refuses and in its words, says the same of a job on any number of ranks, predicts what does
not depend on speed, warns, and writes nothing."""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from launching import environment, launcher
from program import Program

JOB = """\
[run]
name = "made_up"
rounds = 3
threads = 1
[federation]
clients = 6
[model]
name = "logistic"
num_labels = 2
[data]
name = "synthetic"
train_examples = 601
test_examples = 200
[training]
batch_size = 16
optimizer = "sgd"
learning_rate = 0.1
precision = "float32"
"""

KEYS = {
    "job": {"file", "name", "output", "first_round", "last_round"},
    "plugins": {"strategy", "model", "dataset"},
    "model": {"parameters", "trained", "sent", "aggregation"},
    "data": {"train_examples", "test_examples", "labels", "longest_example", "share_of_longest"},
    "clients": {"number", "in_a_round", "train_examples", "test_examples", "without_test_examples", "central_examples"},
    "ranks": {"number", "nodes", "hosts", "threads", "cores_of_nodes", "balance", "useful", "measured"},
    "memory": {"host_bytes", "server_bytes", "node_bytes"},
    "disk": {"checkpoint_bytes", "checkpoints", "client_state_bytes", "temporary_bytes", "free_bytes"},
    "seconds": {"start", "first_evaluation", "broadcast", "fit", "aggregate", "evaluate", "checkpoint", "round", "total"},
}
OTHER_KEYS = {"bytes_sent", "nodes", "assumptions", "warnings"}
# What run says too; (settings, what is done before, fragment)
MISTAKES = [
    (["training.batchsize=3"], None, "did you mean 'batch_size'?"),
    (["strategy.name=fedavgg"], None, "there is no strategy plugin 'fedavgg'"),
    (["model.num_features=7"], None, "made for 7 features"),
    (["federation.clients=1000"], None, "1000 clients"),
    (["strategy.name=krum", "strategy.num_malicious_clients=3"], None, "krum"),
    (["model.name=transformer", "model.path=nowhere"], None, "nowhere"),
    ([], "run", "already holds a run"),
    ([], "file", "is a file"),
]
TOPICS = ["job", "strategy", "model", "data", "plugins", "clients", "ranks", "memory", "disk", "time"]


class Checks(Program):
    """A program that must leave its directory, and the one for temporary files, as they were."""

    def check(self, *arguments, ranks=1, expected=0, variables=()):
        before = content(self.directory)
        words = [word if isinstance(word, str) else str(word) for word in arguments]
        with tempfile.TemporaryDirectory(prefix="fedmpi-test-") as temporary:
            launch = [] if ranks == 1 else launcher(self.mpirun, ranks)
            done = subprocess.run([*launch, self.fedmpi, "check", "job.toml", *words], cwd=self.directory, timeout=300, text=True,
                                  env={**environment(), "TMPDIR": temporary, **dict(variables)}, capture_output=True, check=False)
            left = [name for name in os.listdir(temporary) if name.startswith("fedmpi")]
        assert done.returncode == expected, f"check {words}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        assert content(self.directory) == before, f"check {words} changed the directory"
        assert not left, f"check {words} left {left} in TMPDIR"
        return done

    def facts(self, *arguments, **more):
        return json.loads(self.check("--json", *arguments, **more).stdout)


def content(directory):
    return {path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in sorted(directory.rglob("*"))}


def settings(*words):
    return [part for word in words for part in ("--set", word)]


def complaint(done):
    return [line for line in done.stderr.splitlines() if line.startswith("fedmpi: ")]


def the_same_on_any_number_of_ranks(program):
    alone, three = program.facts(), program.facts(ranks=3)
    for facts in (alone, three):
        assert set(facts) == set(KEYS) | OTHER_KEYS, set(facts) ^ (set(KEYS) | OTHER_KEYS)
        for section, keys in KEYS.items():
            assert set(facts[section]) - {"left"} == keys, (section, set(facts[section]) ^ keys)
    for section in ("job", "plugins", "model", "data", "clients"):
        assert alone[section] == three[section], (section, alone[section], three[section])
    assert alone["model"] == {"parameters": 42, "trained": 42, "sent": 42, "aggregation": "sum"}, alone["model"]
    assert alone["clients"]["train_examples"] == {"least": 100, "median": 100, "most": 101, "sum": 601}, alone["clients"]
    assert alone["clients"]["test_examples"]["sum"] == 200 and alone["clients"]["central_examples"] == 200, alone["clients"]
    assert (alone["ranks"]["number"], alone["ranks"]["hosts"], three["ranks"]["number"], three["ranks"]["hosts"]) == (1, 1, 3, 2)
    assert three["ranks"]["measured"] == 3 and three["ranks"]["nodes"] == 1, three["ranks"]
    for plugin in alone["plugins"].values():
        assert pathlib.Path(plugin["path"]).is_file() and len(plugin["digest"]) >= 32 and plugin["version"], plugin


def for_people(program):
    lines = program.check().stdout.splitlines()
    topics = [line.split()[0] for line in lines if line and not line.startswith(" ") and line.split()[0] in TOPICS]
    assert topics == TOPICS, lines
    assert lines[-1] == "nothing stands in the way" or "see the warning" in lines[-1], lines
    assert "check" in program("--help").stdout and "--ranks" in program("check", "--help").stdout


def what_run_refuses(program):
    for changes, before, fragment in MISTAKES:
        shutil.rmtree(program.directory / "runs", ignore_errors=True)
        if before == "run":
            program("run", "job.toml")
        if before == "file":
            (program.directory / "runs").mkdir()
            (program.directory / "runs" / "made_up").write_text("", encoding="utf-8")
        said = complaint(program("run", "job.toml", *settings(*changes), expected=2))
        for ranks in (1, 3):
            done = program.check(*settings(*changes), ranks=ranks, expected=2)
            assert complaint(done) == said and fragment in said[0], (said, done.stderr)
            assert not done.stdout or ranks > 1, done.stdout
    shutil.rmtree(program.directory / "runs")
    assert "no checkpoint to resume from" in program.check("--resume", expected=2).stderr
    text = program.check("--ranks", 3, "--nodes", 4, expected=2).stderr
    assert "3 ranks cannot be on 4 nodes" in text, text


def clients_that_cannot_be_fitted(program):
    for ranks in (1, 3):
        text = program.check(*settings("training.learning_rate=1e38", "training.local_epochs=3"), ranks=ranks, expected=2).stderr
        assert "failed when its first examples were tried: the loss is not finite" in text, text
    # A job that drops such clients is no better where there is no other.
    program.check(*settings("training.learning_rate=1e38", "training.local_epochs=3", "federation.on_client_failure=drop"), expected=2)


def ranks_with_other_files(program):
    command = [program.mpirun, "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none"]
    for rank in (0, 1):
        where = program.directory / f"rank{rank}"
        where.mkdir()
        shutil.copy(program.directory / "job.toml", where)
        # The same client in another order is the same federation only where the files are the same.
        parts = [[client, client + 6][:: 1 if rank == 0 else -1] for client in range(6)]
        (where / "parts.json").write_text(json.dumps({"train": parts}), encoding="utf-8")
        command += ([":"] if rank else []) + ["-np", "1", "-wdir", where, program.fedmpi, "check", "job.toml", "--set",
                                              'data.partition={ name = "indices", file = "parts.json" }']
    before = content(program.directory)
    done = subprocess.run(command, cwd=program.directory, env=environment(), timeout=300, text=True, capture_output=True, check=False)
    assert done.returncode == 2 and "rank 1 has other plugins, another dataset or another model" in done.stderr, done
    assert content(program.directory) == before


def what_it_warns_of(program):
    facts = program.facts(*settings("federation.clients=2"), ranks=4)
    assert any("1 of 3 ranks that host clients have none" in warning for warning in facts["warnings"]), facts["warnings"]
    facts = program.facts(variables=[("SLURM_MEM_PER_NODE", "10")])
    assert any("need about" in warning and "SLURM_MEM_PER_NODE" in warning for warning in facts["warnings"]), facts["warnings"]
    assert facts["nodes"][0]["memory_bytes"] == 10 << 20, facts["nodes"]
    facts = program.facts(*settings("run.max_seconds=1e-3"))
    assert any("run.max_seconds" in warning for warning in facts["warnings"]) and facts["seconds"]["left"] < 1, facts
    text = program.check(*settings("run.max_seconds=1e-3")).stdout
    assert "warning: " in text and "nothing stands in the way" not in text, text


def other_ranks_and_nodes(program):
    facts = program.facts("--ranks", 64, "--nodes", 4, *settings("federation.clients=200"))
    ranks = facts["ranks"]
    assert (ranks["number"], ranks["nodes"], ranks["hosts"], ranks["measured"]) == (64, 4, 63, 1), ranks
    assert len(facts["memory"]["node_bytes"]) == 4 and len(facts["assumptions"]) == 3, facts
    apart = program.facts("--nodes", 3, ranks=3)
    assert (apart["ranks"]["number"], apart["ranks"]["nodes"], len(apart["nodes"])) == (3, 3, 1), apart
    more = program.facts("--ranks", 5, ranks=3)["ranks"]
    assert (more["number"], more["nodes"], more["measured"]) == (5, 2, 3), more


# Bytes, files and memory do not depend on how fast things are.
def what_the_run_then_takes(program):
    for strategy, compression, ranks in (("fedavg", "none", 1), ("fedavg", "none", 3), ("fedavg", "top_k", 3), ("scaffold", "none", 3),
                                         ("fedmedian", "none", 3)):
        changes = [f"strategy.name={strategy}", f"federation.compression={compression}", "run.rounds=6", "model.num_features=20",
                   "federation.clients=40"]
        facts = program.facts(*settings(*changes), ranks=ranks)
        output = f"{strategy}_{compression}{ranks}"
        program.run(output, *changes, ranks=ranks)
        rounds = program.rounds(output)[2:]
        sent = sum(line["bytes_sent"] for line in rounds) / len(rounds)
        assert abs(facts["bytes_sent"] - sent) <= 0.05 * sent, (strategy, ranks, facts["bytes_sent"], sent)
        peak = max(line["peak_rss_bytes"] for line in rounds)
        predicted = max(facts["memory"]["host_bytes"], facts["memory"]["server_bytes"])
        assert abs(predicted - peak) <= 0.25 * peak, (strategy, ranks, predicted, peak)
        checkpoints = list((program.directory / output / "checkpoints").glob("round_*.h5"))
        assert len(checkpoints) <= facts["disk"]["checkpoints"] <= len(checkpoints) + 1, (checkpoints, facts["disk"])
        size = max(path.stat().st_size for path in checkpoints)
        assert abs(facts["disk"]["checkpoint_bytes"] - size) <= 0.25 * size, (facts["disk"], size)
        kept = sum(path.stat().st_size for path in (program.directory / output / "checkpoints").glob("client_states/*"))
        keeps = strategy == "scaffold" or compression == "top_k"
        assert (kept > 0) == (facts["disk"]["client_state_bytes"] > 0) == keeps, (kept, facts["disk"])
        assert (facts["disk"]["temporary_bytes"] > 0) == (strategy == "fedmedian"), facts["disk"]


# Where ranks share memory small messages are all that they send, and the job says how large they are.
def what_a_run_then_sends(program):
    def labels(number):
        return [f"model.num_labels={number}", f"data.num_labels={number}"]

    mlp = ["model.name=mlp", "model.hidden=[600,600]"]  # large enough not to be sent
    for ranks, changes in ((2, labels(100)),
                           (4, [*labels(10), "federation.clients=60", "federation.fraction_fit=0.5", "evaluation.every=2"]),
                           (3, [*mlp, *labels(10), "evaluation.federated=false"]),
                           (3, [*mlp, "strategy.name=scaffold"]),
                           (3, [*mlp, "strategy.name=krum"]),
                           (3, [*labels(3000), "strategy.name=geometric_median"])):
        facts = program.facts(*settings(*changes), ranks=ranks)
        program.run("sends", *changes, ranks=ranks)
        rounds = program.rounds("sends")[1:]
        shutil.rmtree(program.directory / "sends")
        sent = sum(line["bytes_sent"] for line in rounds) / len(rounds)
        by_slices = any("krum" in change or "median" in change for change in changes)  # hosts may exchange clients
        assert abs(facts["bytes_sent"] - sent) <= (0.02 if by_slices else 0.001) * sent, (ranks, changes, facts["bytes_sent"], sent)


def a_run_that_goes_on(program):
    program.run("goes_on", "run.rounds=2")
    facts = program.facts("--resume", "--output", "goes_on", *settings("run.rounds=5"), ranks=3)
    assert (facts["job"]["first_round"], facts["job"]["last_round"]) == (3, 5), facts["job"]
    assert facts["seconds"]["first_evaluation"] == 0, facts["seconds"]
    text = program.check("--resume", "--output", "goes_on", *settings("run.rounds=2")).stdout
    assert "all rounds are done" in text, text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--mpirun", required=True)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    program = Checks(parser.parse_args(), "check")
    (program.directory / "job.toml").write_text(JOB, encoding="utf-8")
    for check in (the_same_on_any_number_of_ranks, for_people, what_run_refuses, clients_that_cannot_be_fitted,
                  ranks_with_other_files, what_it_warns_of, other_ranks_and_nodes, what_the_run_then_takes, what_a_run_then_sends,
                  a_run_that_goes_on):
        check(program)
        print(f"{check.__name__}: as it should be", flush=True)


if __name__ == "__main__":
    main()
