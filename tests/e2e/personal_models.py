"""What stays with a client, beside the same federation in PyTorch: FedBN, FedPer, FedRep and Ditto.

personal_models.py --fedmpi PROGRAM --mpirun PROGRAM --workdir DIR
Clients take full batches with plain SGD, so that nothing depends on the order of examples. After each round the shared
parameters in the checkpoint, and the loss of each client's own model on its own test examples, must be those of the loop
below. Exit status 77 when torch or h5py is not installed.
"""
import argparse
import copy
import json
import pathlib
import sys

try:
    import h5py
    import numpy as np
    import torch
    from torch import nn

    from program import Program
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

FEATURES, LABELS, ROUNDS, RATE = 6, 3, 4, 0.2
SIZES = [(10, 6), (24, 5), (16, 9), (12, 4), (30, 8)]
JOB = f"""\
[run]
name = "personal"
rounds = {ROUNDS}
threads = 1
[federation]
clients = {len(SIZES)}
fraction_fit = 1.0
[model]
name = "torchscript"
path = "module.pt"
num_labels = {LABELS}
head = ["head"]
[data]
name = "hdf5_array"
path = "data"
partition = {{ name = "indices", file = "data/partition.json" }}
[training]
batch_size = 1000
local_epochs = 2
optimizer = "sgd"
learning_rate = {RATE}
precision = "float32"
[evaluation]
central = false
[checkpoint]
keep = 0
"""
BOUND = 2e-5


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(FEATURES, 8)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, LABELS)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.body(x))))


def make_data(directory):
    random = np.random.default_rng(5)
    centres = random.normal(size=(LABELS, FEATURES))
    clients, indices = [], {"train": [], "test": []}
    columns = {"train": ([], []), "test": ([], [])}
    for k, sizes in enumerate(SIZES):
        own = {}
        for split, size in zip(("train", "test"), sizes):
            labels = random.choice(LABELS, size=size, p=random.dirichlet(np.full(LABELS, 0.7)))
            features = (centres[labels] * (1 + 0.3 * k) + random.normal(size=(size, FEATURES)) + 0.2 * k).astype("float32")
            begin = len(columns[split][1])
            indices[split].append(list(range(begin, begin + size)))
            columns[split][0].extend(features)
            columns[split][1].extend(labels)
            own[split] = torch.from_numpy(features).double(), torch.from_numpy(labels)
        clients.append(own)
    directory.mkdir()
    for split, (features, labels) in columns.items():
        with h5py.File(directory / f"{split}.h5", "w") as file:
            file["features"], file["labels"] = np.array(features), np.array(labels)
    (directory / "partition.json").write_text(json.dumps(indices), encoding="utf-8")
    return clients


def start():
    torch.manual_seed(1)
    return Net()


def is_norm(name):
    return name.startswith("norm.")


def is_head(name):
    return name.startswith("head.")


def nothing(_):
    return False


def passes(module, data, names, count, drawn_to=None, strength=0.0):
    """`count` steps of gradient descent that move the parameters called `names`."""
    module.train()
    for _ in range(count):
        module.zero_grad()
        nn.functional.cross_entropy(module(data[0]), data[1]).backward()
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                if not names(name):
                    continue
                step = parameter.grad + (strength * (parameter - drawn_to[name]) if drawn_to else 0.0)
                parameter -= RATE * step


def values(module):
    return {name: value.clone() for name, value in module.state_dict().items() if value.is_floating_point()}


def mean_test_loss(modules, clients):
    total, count = 0.0, 0
    for module, own in zip(modules, clients):
        module.eval()
        with torch.no_grad():
            total += nn.functional.cross_entropy(module(own["test"][0]), own["test"][1], reduction="sum").item()
        count += len(own["test"][1])
    return total / count


def federation(clients, local, fit, personal=None):
    """After each round the shared values, and the mean loss of the clients' own models."""
    base = start().double()
    shared = {name: value for name, value in values(base).items() if not local(name)}
    modules = [copy.deepcopy(base) for _ in clients]
    own_models = [copy.deepcopy(base) for _ in clients]
    for _ in range(ROUNDS):
        sums, weight = {name: torch.zeros_like(value) for name, value in shared.items()}, 0
        for module, own_model, own in zip(modules, own_models, clients):
            if personal:
                personal(own_model, own["train"], shared)
            module.load_state_dict(shared, strict=False)
            fit(module, own["train"])
            after, size = values(module), len(own["train"][1])
            for name, value in sums.items():
                value += size * after[name]
            weight += size
        shared = {name: value / weight for name, value in sums.items()}
        for module in modules:
            module.load_state_dict(shared, strict=False)
        if personal:
            # A personal model's running statistics are the round's.
            statistics = {name: value for name, value in shared.items() if "running" in name}
            for own_model in own_models:
                own_model.load_state_dict(statistics, strict=False)
        yield shared, mean_test_loss(own_models if personal else modules, clients)


def everything(_):
    return True


CASES = {
    "fedavg": ({}, lambda clients: federation(clients, nothing, lambda m, d: passes(m, d, everything, 2))),
    "fedbn": ({}, lambda clients: federation(clients, is_norm, lambda m, d: passes(m, d, everything, 2))),
    "fedper": ({}, lambda clients: federation(clients, is_head, lambda m, d: passes(m, d, everything, 2))),
    "fedrep": ({"head_epochs": 3}, lambda clients: federation(
        clients, is_head, lambda m, d: (passes(m, d, is_head, 3), passes(m, d, lambda name: not is_head(name), 2)))),
    "ditto": ({"lambda": 0.5}, lambda clients: federation(
        clients, nothing, lambda m, d: passes(m, d, everything, 2),
        lambda m, d, shared: passes(m, d, everything, 2, shared, 0.5))),
}


def shared_in(program, output, number):
    values, entries = program.tensors(output, number)
    return {name: torch.from_numpy(value.astype(np.float64)) for name, value in values.items()
            if entries[name]["role"] in ("shared", "statistic")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--fedmpi", "--mpirun"):
        parser.add_argument(name, required=True)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    args = parser.parse_args()
    program = Program(args, "personal_models")
    (program.directory / "job.toml").write_text(JOB, encoding="utf-8")
    torch.jit.script(start()).save(program.directory / "module.pt")
    clients = make_data(program.directory / "data")
    wrong = []
    for case, (options, reference) in CASES.items():
        for ranks in (1, 3):
            settings = [f"strategy.{key}={value}" for key, value in options.items()]
            program.run(f"{case}_{ranks}", f'strategy.name="{case}"', *settings, ranks=ranks)
        rounds = program.results(f"{case}_3")
        assert rounds == program.results(f"{case}_1"), case
        worst = 0.0
        for number, (shared, loss) in enumerate(reference(clients), 1):
            ours = shared_in(program, f"{case}_3", number)
            assert set(ours) >= set(shared), (case, set(shared) - set(ours))
            for name, value in shared.items():
                worst = max(worst, (ours[name] - value).abs().max().item())
            worst = max(worst, abs(rounds[number]["evaluate"]["loss"] - loss))
        print(f"{case:8} largest difference {worst:.1e}, loss {rounds[0]['evaluate']['loss']:.4f} to {loss:.4f}", flush=True)
        if worst > BOUND:
            wrong.append(case)
    if wrong:
        sys.exit(f"not as PyTorch has it: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
