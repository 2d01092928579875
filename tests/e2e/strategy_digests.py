"""Every strategy that ships trains, to the same digests on one, three and five ranks and after a stop and a resume on
another number of ranks; `verify` reproduces its last round from the checkpoint before.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys

from launching import environment, launcher

JOB = """
[run]
name = "strategies"
rounds = 4
threads = 1
[federation]
clients = 9
fraction_fit = 0.8
[strategy]
name = "fedavg"
[model]
name = "mlp"
hidden = [8]
[data]
name = "synthetic"
train_examples = 400
test_examples = 100
partition = { name = "dirichlet", alpha = 1.0, min_partition_size = 5 }
[training]
batch_size = 8
optimizer = "sgd"
learning_rate = 0.05
[evaluation]
central = true
[checkpoint]
keep = 0
"""
STRATEGIES = {"fedavg": {}, "fedavgm": {"server_momentum": 0.5}, "fedprox": {"proximal_mu": 0.1}, "fednova": {},
              "qfedavg": {"q": 0.5}, "fedadagrad": {}, "fedadam": {}, "fedyogi": {}, "scaffold": {}, "feddyn": {},
              "mimelite": {}, "fedmedian": {}, "fedtrimmedavg": {}, "krum": {}, "multikrum": {"num_nodes_to_select": 3},
              "bulyan": {"num_malicious_clients": 1}, "geometric_median": {}, "centered_clipping": {}, "fedper": {},
              "fedrep": {"head_epochs": 2}, "ditto": {}}


def fedmpi(args, ranks, *words):
    command = [*launcher(args.mpirun, ranks), args.fedmpi, *words]
    return subprocess.run(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=120)


def rounds(output):
    with open(os.path.join(output, "metrics.jsonl"), encoding="utf-8") as lines:
        return [{key: line.get(key) for key in ("round", "digest", "fit", "evaluate", "central")}
                for line in map(json.loads, lines)]


def check(args, job, workdir, name, options):
    settings = ["--set", f"strategy.name={name}"]
    for key, value in options.items():
        settings += ["--set", f"strategy.{key}={json.dumps(value)}"]

    def run(ranks, output, *more):
        done = fedmpi(args, ranks, "run", job, "--output", output, *settings, *more)
        if done.returncode != 0:
            sys.exit(f"{name} on {ranks} ranks: exit status {done.returncode}\n{done.stdout}")
        return rounds(output)

    whole = run(1, os.path.join(workdir, f"{name}_1"))
    if len({line["digest"] for line in whole}) != len(whole):
        sys.exit(f"{name}: a round changed nothing")
    for ranks in (3, 5):
        if run(ranks, os.path.join(workdir, f"{name}_{ranks}")) != whole:
            sys.exit(f"{name}: other results on {ranks} ranks")
    stopped = os.path.join(workdir, f"{name}_stopped")
    run(3, stopped, "--set", "run.rounds=2")
    if run(2, stopped, "--resume") != whole:
        sys.exit(f"{name}: other results after a resume")
    verified = fedmpi(args, 2, "verify", os.path.join(workdir, f"{name}_3", "checkpoints", "round_0004.h5"))
    if verified.returncode != 0 or "reproduced" not in verified.stdout:
        sys.exit(f"{name}: not verified: {verified.stdout}")
    print(f"{name}: the same on 1, 3 and 5 ranks, resumed on 2, verified on 2", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--fedmpi", "--mpirun", "--workdir"):
        parser.add_argument(name, required=True)
    parser.add_argument("--only", nargs="+", default=list(STRATEGIES))
    args = parser.parse_args()
    workdir = os.path.join(os.path.abspath(args.workdir), "strategy_digests")
    shutil.rmtree(workdir, ignore_errors=True)
    os.makedirs(workdir)
    job = os.path.join(workdir, "job.toml")
    with open(job, "w", encoding="utf-8") as file:
        file.write(JOB)
    for name in args.only:
        check(args, job, workdir, name, STRATEGIES[name])
    refused = fedmpi(args, 1, "run", job, "--output", os.path.join(workdir, "refused"), "--set", "strategy.name=fedbn")
    if refused.returncode != 2 or "the model trains none" not in refused.stdout:
        sys.exit(f"fedbn without normalisation layers: exit status {refused.returncode}\n{refused.stdout}")


if __name__ == "__main__":
    main()
