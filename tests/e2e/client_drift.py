"""What control variates and dynamic regularisation are for: fewer rounds than FedAvg needs when clients differ.

Ten clients of a hundred examples each, whose shares of three classes follow a Dirichlet(0.1) distribution, take many local
steps. Their optima differ, so FedAvg's clients drift apart between rounds. SCAFFOLD (Karimireddy et al. 2020, figure 2 and
table 3) reaches a loss in fewer rounds, and FedDyn (Acar et al. 2021, table 1) in fewer still. Loss here is over all
training examples, which are those of the test split too.
"""
import argparse
import sys

try:
    import h5py
    import numpy as np

    from program import Program
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

ROUNDS = 30
JOB = f"""\
[run]
name = "client_drift"
rounds = {ROUNDS}
[federation]
clients = 10
fraction_fit = 1.0
[model]
name = "logistic"
num_features = 10
num_labels = 3
[data]
name = "hdf5_array"
path = "data"
partition = {{ name = "inner_dirichlet", alpha = 0.1, partition_sizes = {[100] * 10} }}
[training]
batch_size = 20
local_epochs = 10
optimizer = "sgd"
learning_rate = 0.1
[evaluation]
federated = false
[checkpoint]
every = 0
"""
STRATEGIES = {"fedavg": [], "scaffold": [], "feddyn": ["strategy.alpha=0.1"]}


def make_data(directory):
    random = np.random.default_rng(3)
    centres = random.normal(size=(3, 10))
    labels = random.integers(3, size=1000)
    features = (centres[labels] + 1.5 * random.normal(size=(1000, 10))).astype(np.float32)
    directory.mkdir()
    for split in ("train", "test"):
        with h5py.File(directory / f"{split}.h5", "w") as file:
            file["features"], file["labels"] = features, labels
    return features.astype(np.float64), labels


def smallest_loss(features, labels):
    """Of softmax regression on all examples together, by gradient descent long enough."""
    weight, bias = np.zeros((3, 10)), np.zeros(3)
    for _ in range(4000):
        logits = features @ weight.T + bias
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(len(labels)), labels]).mean()
        p[np.arange(len(labels)), labels] -= 1
        p /= len(labels)
        weight -= 0.5 * (p.T @ features)
        bias -= 0.5 * p.sum(axis=0)
    return loss


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--fedmpi", "--mpirun", "--workdir"):
        parser.add_argument(name, required=True)
    args = parser.parse_args()
    program = Program(args, "client_drift")
    (program.directory / "job.toml").write_text(JOB, encoding="utf-8")
    best = smallest_loss(*make_data(program.directory / "data"))
    target = best * 1.05
    print(f"the smallest loss there is: {best:.4f}; rounds to {target:.4f}:")
    worse = []
    for seed in (1, 2):
        rounds = {}
        for strategy, options in STRATEGIES.items():
            output = f"{strategy}_{seed}"
            program.run(output, f"run.seed={seed}", f'strategy.name="{strategy}"', *options)
            got = [line["central"]["loss"] for line in program.rounds(output)]
            rounds[strategy] = next((i for i, loss in enumerate(got) if loss <= target), ROUNDS + 1)
            reached = rounds[strategy] if rounds[strategy] <= ROUNDS else f"not in {ROUNDS}"
            print(f"seed {seed}, {strategy:9} {reached} (at last {got[-1]:.4f})", flush=True)
        worse += [f"{strategy} beside {other}, seed {seed}" for strategy, other in (("scaffold", "fedavg"), ("feddyn", "scaffold"))
                  if rounds[strategy] > ROUNDS or rounds[strategy] >= rounds[other]]
    if worse:
        sys.exit(f"no fewer rounds: {', '.join(worse)}")


if __name__ == "__main__":
    main()
