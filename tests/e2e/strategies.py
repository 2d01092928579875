"""Every strategy beside its formula in NumPy: whole runs of the program on data made here, on one, three and five ranks.

Clients take full batches with plain SGD, so that nothing depends on the order of examples. After every round the
parameters in the checkpoint must be those that the formulas below give in double precision, and the digests must be the
same whatever the number of ranks. Formulas and their papers: the comments in plugins/strategies.
"""
import argparse
import json
import sys

try:
    import h5py
    import numpy as np

    from program import Program
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

FEATURES, LABELS, CLIENTS, ROUNDS = 6, 3, 7, 3
LEARNING_RATE, EPOCHS = 0.5, 3
SIZES = [8, 12, 20, 16, 9, 25, 10]
BETA_1, BETA_2, TAU = 0.9, 0.99, 1e-3

JOB = f"""\
[run]
name = "strategies"
rounds = {ROUNDS}
threads = 1
[federation]
clients = {CLIENTS}
fraction_fit = 1.0
[model]
name = "logistic"
num_features = {FEATURES}
num_labels = {LABELS}
[data]
name = "hdf5_array"
path = "data"
partition = {{ name = "indices", file = "data/partition.json" }}
[training]
batch_size = 1000000
local_epochs = {EPOCHS}
optimizer = "sgd"
learning_rate = {LEARNING_RATE}
[evaluation]
federated = false
[checkpoint]
keep = 0
"""


def make_data(directory):
    random = np.random.default_rng(7)
    centres = random.normal(size=(LABELS, FEATURES))
    clients, x, y = [], [], []
    for k, size in enumerate(SIZES):
        labels = random.choice(LABELS, size=size, p=random.dirichlet(np.full(LABELS, 0.5)))
        clients.append(list(range(len(y), len(y) + size)))
        x += list(centres[labels] + random.normal(size=(size, FEATURES)) + 0.1 * k)
        y += list(labels)
    x, y = np.array(x, dtype=np.float32), np.array(y, dtype=np.int64)
    directory.mkdir()
    for split in ("train", "test"):
        with h5py.File(directory / f"{split}.h5", "w") as file:
            file["features"], file["labels"] = x, y
    (directory / "partition.json").write_text(json.dumps({"train": clients}), encoding="utf-8")
    return [(x[own].astype(np.float64), y[own]) for own in clients]


def loss_and_gradient(w, data):
    """Softmax regression; w: weight [LABELS, FEATURES] and bias [LABELS], one after another."""
    x, y = data
    weight, bias = w[:LABELS * FEATURES].reshape(LABELS, FEATURES), w[LABELS * FEATURES:]
    logits = x @ weight.T + bias
    logits -= logits.max(axis=1, keepdims=True)
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y]).mean()
    p[np.arange(len(y)), y] -= 1.0
    p /= len(y)
    return loss, np.concatenate([(p.T @ x).ravel(), p.sum(axis=0)])


def steps(w, data, adjust=lambda g, w: g, epochs=EPOCHS):
    losses = []
    for _ in range(epochs):
        loss, gradient = loss_and_gradient(w, data)
        losses.append(loss)
        w = w - LEARNING_RATE * adjust(gradient, w)
    return w, float(np.mean(losses))


def examples():
    return np.array(SIZES, dtype=np.float64)


def mean(updates, weights):
    return (weights[:, None] * updates).sum(axis=0) / weights.sum()


def updates_of(w, clients, adjust=lambda g, v: g):
    return np.array([steps(w, data, adjust)[0] - w for data in clients])


# Each is a generator: given the clients it yields the parameters after each round.
def averaged(server, adjust=lambda w: (lambda g, v: g)):
    def run(clients):
        w, state = np.zeros(LABELS * (FEATURES + 1)), {}
        for number in range(1, ROUNDS + 1):
            w = server(w, mean(updates_of(w, clients, adjust(w)), examples()), number, state)
            yield w
    return run


def momentum(w, d, _, state):
    state["v"] = 0.9 * state.get("v", 0.0) + d
    return w + 0.7 * state["v"]


def adaptive(second_moment, flower=False, beta_1=BETA_1, eta=0.1):
    def server(w, d, number, state):
        state["m"] = beta_1 * state.get("m", 0.0) + (1 - beta_1) * d
        state["v"] = second_moment(state.get("v", 0.0 if flower else TAU**2), d)
        rate = eta
        if flower == "adam":
            rate *= np.sqrt(1 - BETA_2**(number + 1)) / (1 - BETA_1**(number + 1))
        return w + rate * state["m"] / (np.sqrt(state["v"]) + TAU)
    return averaged(server)


def fair(flower):
    def run(clients):
        q, w, inverse = 0.5, np.zeros(LABELS * (FEATURES + 1)), 1.0 / LEARNING_RATE
        for _ in range(ROUNDS):
            top, bottom = 0.0, 0.0
            for data in clients:
                after, during = steps(w, data)
                f = (during if flower else loss_and_gradient(w, data)[0]) + 1e-10
                g = inverse * (w - after)
                top = top + f**q * g
                bottom += q * f**(q - 1) * (g @ g) + inverse * f**q
            w = w - top / bottom
            yield w
    return run


def robust(combine):
    def run(clients):
        w, state = np.zeros(LABELS * (FEATURES + 1)), {}
        for _ in range(ROUNDS):
            w = w + combine(updates_of(w, clients), state)
            yield w
    return run


def trimmed(u, _):
    cut = int(0.3 * len(u))
    return np.sort(u, axis=0)[cut:len(u) - cut].mean(axis=0)


def krum_scores(u, f=1):
    distance = ((u[:, None] - u[None]) ** 2).sum(axis=2)
    return np.array([np.sort(np.delete(row, i))[:max(1, len(u) - f - 2)].sum() for i, row in enumerate(distance)])


def krum(u, _):
    return u[np.argmin(krum_scores(u))]


def multikrum(u, _):
    best = np.argsort(krum_scores(u), kind="stable")[:3]
    return mean(u[best], examples()[best])


def bulyan(flower):
    def combine(u, _):
        if flower:
            chosen = u[np.argsort(krum_scores(u), kind="stable")[:len(u) - 2]]
        else:
            left, chosen = list(range(len(u))), []
            while len(chosen) < len(u) - 2:
                chosen.append(left.pop(int(np.argmin(krum_scores(u[left])))))
            chosen = u[chosen]
        nearest = np.argsort(np.abs(chosen - np.median(chosen, axis=0)), axis=0, kind="stable")[:len(chosen) - 2]
        return np.take_along_axis(chosen, nearest, axis=0).mean(axis=0)
    return combine


def geometric_median(u, _):
    v = mean(u, examples())
    for _ in range(3):
        v = mean(u, examples() / np.maximum(1e-6, np.linalg.norm(u - v, axis=1)))
    return v


def centered_clipping(u, state):
    v = state.get("v", np.zeros(u.shape[1]))
    for _ in range(2):
        distance = np.linalg.norm(u - v, axis=1)
        v = v + ((u - v) * np.minimum(1.0, 0.3 / distance)[:, None]).mean(axis=0)
    state["v"] = v
    return v


def scaffold(clients):
    size = LABELS * (FEATURES + 1)
    w, c, own = np.zeros(size), np.zeros(size), np.zeros((CLIENTS, size))
    for _ in range(ROUNDS):
        after = np.array([steps(w, data, lambda g, v, k=k: g - own[k] + c)[0] for k, data in enumerate(clients)])
        new = own - c + (w - after) / (EPOCHS * LEARNING_RATE)
        w, c, own = w + 0.8 * (after - w).mean(axis=0), c + (new - own).mean(axis=0), new
        yield w


def fednova(clients):
    w, a = np.zeros(LABELS * (FEATURES + 1)), float(EPOCHS)
    for _ in range(ROUNDS):
        w = w + a * mean(updates_of(w, clients) / a, examples())
        yield w


def fednova_momentum(clients):
    rho = 0.6
    w, a = np.zeros(LABELS * (FEATURES + 1)), sum((1 - rho**(EPOCHS - i)) / (1 - rho) for i in range(EPOCHS))
    for _ in range(ROUNDS):
        updates = []
        for data in clients:
            v, velocity = w, 0.0
            for _ in range(EPOCHS):
                velocity = rho * velocity + loss_and_gradient(v, data)[1]
                v = v - LEARNING_RATE * velocity
            updates.append((v - w) / a)
        w = w + a * mean(np.array(updates), examples())
        yield w


def feddyn(clients):
    alpha, size = 0.1, LABELS * (FEATURES + 1)
    w, h, own = np.zeros(size), np.zeros(size), np.zeros((CLIENTS, size))
    for _ in range(ROUNDS):
        after = np.array([steps(w, data, lambda g, v, k=k: g - own[k] + alpha * (v - w))[0]
                          for k, data in enumerate(clients)])
        own = own - alpha * (after - w)
        h = h - alpha * (after - w).mean(axis=0)
        w = after.mean(axis=0) - h / alpha
        yield w


def mimelite(clients):
    beta, size = 0.8, LABELS * (FEATURES + 1)
    w, m = np.zeros(size), np.zeros(size)
    for _ in range(ROUNDS):
        whole = np.array([loss_and_gradient(w, data)[1] for data in clients])
        updates = updates_of(w, clients, lambda g, v, m=m: (1 - beta) * g + beta * m)
        w, m = w + updates.mean(axis=0), beta * m + (1 - beta) * whole.mean(axis=0)
        yield w


def square(v, d):
    return BETA_2 * v + (1 - BETA_2) * d**2


CASES = {
    "fedavg": ({}, averaged(lambda w, d, *_: w + d)),
    "fedavgm": ({"server_momentum": 0.9, "server_learning_rate": 0.7}, averaged(momentum)),
    "fedadagrad": ({}, adaptive(lambda v, d: v + d**2, beta_1=0.0)),
    "fedadam": ({}, adaptive(square)),
    "fedadam flower": ({"compat": "flower"}, adaptive(square, "adam")),
    "fedyogi": ({"eta": 0.1}, adaptive(lambda v, d: v - (1 - BETA_2) * d**2 * np.sign(v - d**2))),
    "fedyogi flower": ({"eta": 0.1, "compat": "flower"}, adaptive(lambda v, d: v - (1 - BETA_2) * d**2 * np.sign(v - d**2), True)),
    "fedprox": ({"proximal_mu": 0.5}, averaged(lambda w, d, *_: w + d, lambda w: (lambda g, v: g + 0.5 * (v - w)))),
    "qfedavg": ({"q": 0.5}, fair(False)),
    "qfedavg flower": ({"q": 0.5, "compat": "flower"}, fair(True)),
    "fedmedian": ({}, robust(lambda u, _: np.median(u, axis=0))),
    "fedtrimmedavg": ({"beta": 0.3}, robust(trimmed)),
    "krum": ({"num_malicious_clients": 1}, robust(krum)),
    "multikrum": ({"num_malicious_clients": 1, "num_nodes_to_select": 3}, robust(multikrum)),
    "bulyan": ({"num_malicious_clients": 1}, robust(bulyan(False))),
    "bulyan flower": ({"num_malicious_clients": 1, "compat": "flower"}, robust(bulyan(True))),
    "geometric_median": ({}, robust(geometric_median)),
    "centered_clipping": ({"tau": 0.3, "iterations": 2}, robust(centered_clipping)),
    "scaffold": ({"server_learning_rate": 0.8}, scaffold),
    "fednova": ({}, fednova),
    "fednova momentum": ({"training.momentum": 0.6}, fednova_momentum),
    "feddyn": ({"alpha": 0.1}, feddyn),
    "mimelite": ({"beta": 0.8}, mimelite),
    "ditto": ({"lambda": 0.3}, averaged(lambda w, d, *_: w + d)),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--fedmpi", "--mpirun", "--workdir"):
        parser.add_argument(name, required=True)
    parser.add_argument("--only", nargs="+", default=list(CASES))
    args = parser.parse_args()
    program = Program(args, "strategies")
    clients = make_data(program.directory / "data")
    (program.directory / "job.toml").write_text(JOB, encoding="utf-8")
    failed = []
    for case in args.only:
        options, formula = CASES[case]
        settings = {"strategy.name": case.split()[0]}
        settings |= {key if "." in key else f"strategy.{key}": value for key, value in options.items()}
        outputs = {ranks: f"{case.replace(' ', '_')}_{ranks}" for ranks in (1, 3, 5)}
        for ranks, output in outputs.items():
            program.run(output, *(f"{key}={json.dumps(value)}" for key, value in settings.items()), ranks=ranks)
        worst = 0.0
        for number, expected in enumerate(formula(clients), 1):
            tensors, _ = program.tensors(outputs[3], number)
            got = np.concatenate([tensors["weight"].ravel(), tensors["bias"]])
            worst = max(worst, float(np.abs(got - expected).max()))
        same = len({tuple(program.digests(output)) for output in outputs.values()}) == 1
        good = worst < 2e-5 and same and np.abs(expected).max() > 1e-2
        print(f"{case:20} largest difference {worst:.1e}, digests {'the same' if same else 'differ'}"
              f"{'' if good else '  FAILED'}", flush=True)
        if not good:
            failed.append(case)
    if failed:
        sys.exit(f"not as the formula: {', '.join(failed)}")


if __name__ == "__main__":
    main()
