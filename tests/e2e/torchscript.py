"""Modules that Python scripted are trained by the program, and what they learned loads back into Python.

torchscript.py --fedmpi PROGRAM --mpirun PROGRAM --probe dataset_probe --workdir DIR
Exit status 77 when torch or h5py is not installed.
"""
import argparse
import os
import pathlib
import subprocess
import sys
from typing import Optional

try:
    import h5py
    import numpy as np
    import torch
    from torch import nn

    from program import Program
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

from small_text import WORDS, write_reviews, write_vocabulary

JOB = """\
[run]
name = "scripted"
rounds = 2
threads = 1
output = "run"
[federation]
clients = 4
[model]
name = "torchscript"
path = "resnet.pt"
input_shape = [3, 16, 16]
num_labels = 4
head = ["fc"]
[data]
name = "synthetic"
num_features = 768
num_labels = 4
train_examples = 160
test_examples = 60
noise = 4.0
[training]
batch_size = 8
optimizer = "sgd"
learning_rate = 0.05
precision = "float32"
[evaluation]
batch_size = 25
"""
TEXT_JOB = """\
[run]
name = "scripted_text"
rounds = 3
threads = 1
output = "text"
[federation]
clients = 2
[model]
name = "torchscript"
path = "text.pt"
[data]
name = "hdf5_text"
path = "shards"
[training]
batch_size = 4
optimizer = "sgd"
learning_rate = 0.5
precision = "float32"
"""
NUMBERS_JOB = """\
[run]
name = "numbers"
rounds = 4
threads = 1
[federation]
clients = 3
[model]
name = "torchscript"
path = "numbers.pt"
num_labels = 1
[data]
name = "hdf5_array"
path = "numbers"
task = "regression"
[training]
batch_size = 8
optimizer = "sgd"
learning_rate = 0.05
precision = "float32"
"""
BOUND = 1e-5


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.blocks = nn.Sequential(Block(8, 8, 1), Block(8, 16, 2))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(16, 4)

    def forward(self, x):
        return self.fc(self.dropout(torch.nn.functional.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1).flatten(1)))


class WithLoss(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, labels):
        logits = self.net(x)
        return torch.nn.functional.cross_entropy(logits, labels), logits


class LossAlone(WithLoss):
    def forward(self, x, labels):
        return torch.nn.functional.cross_entropy(self.net(x), labels)


class Regressor(nn.Module):
    """Predicts a number. Asked with what it should have been, it gives its loss too."""
    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(3, 16), nn.Linear(16, 1)

    def forward(self, x, target: Optional[torch.Tensor] = None):
        predicted = self.out(torch.tanh(self.hidden(x)))
        if target is None:
            return predicted, torch.zeros(0)
        return torch.nn.functional.mse_loss(predicted[:, 0], target), predicted[:, 0]


class Predictor(Regressor):
    def forward(self, x):
        return self.out(torch.tanh(self.hidden(x)))


class BagOfWords(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(len(WORDS), 8)
        self.out = nn.Linear(8, 2)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask.unsqueeze(-1).to(torch.float32)
        return self.out((self.words(input_ids) * mask).sum(1) / mask.sum(1))


def made(module, seed=1):
    torch.manual_seed(seed)
    return module()


def state_of(program, output, number):
    """The tensors of a checkpoint by name."""
    values, _ = program.tensors(output, number)
    return {name: torch.from_numpy(value.copy()) for name, value in values.items()}


def dataset_of(program, probe):
    plugins = program.fedmpi.parents[1] / "plugins"
    subprocess.run([probe, "job.toml", "data"], cwd=program.directory, check=True,
                   env=dict(os.environ, FEDMPI_PLUGIN_PATH=str(plugins)))
    read = lambda name, kind: torch.from_numpy(np.fromfile(program.directory / f"data.{name}", kind))
    return {split: (read(f"{split}.features", np.float32).view(-1, 3, 16, 16), read(f"{split}.labels", np.int64))
            for split in ("train", "test")}


def load(module, state):
    """Everything but the integer buffers, which stay as they were."""
    missing, unexpected = module.load_state_dict(state, strict=False)
    assert not unexpected, unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing), missing
    return module


def loss_of(module, features, labels):
    module.eval()
    with torch.no_grad():
        return nn.functional.cross_entropy(module(features), labels).item()


def same_digests_everywhere(program, _):
    reference = None
    for ranks, threads in ((1, 1), (1, 2), (3, 1), (2, 4)):
        output = "run" if reference is None else f"run_{ranks}_{threads}"
        program.run(output, f"run.threads={threads}", ranks=ranks)
        rounds = program.results(output)
        assert len({line["digest"] for line in rounds}) == 3, rounds
        reference = reference or rounds
        assert rounds == reference, f"{ranks} ranks, {threads} threads:\n{rounds}\n{reference}"
    assert reference[-1]["central"]["loss"] < reference[0]["central"]["loss"], reference
    print("  central loss by round:", [round(line["central"]["loss"], 4) for line in reference])


def parameters_load_back(program, data):
    for number, line in enumerate(program.rounds("run")):
        state = state_of(program, "run", number)
        loss = loss_of(load(made(lambda: ResNet(0.1), seed=99), state), *data["test"])
        difference = abs(loss - line["central"]["loss"])
        print(f"  round {number}: central loss {line['central']['loss']:.6f}, in Python {loss:.6f}, differ by {difference:.1e}")
        assert difference <= BOUND, (number, loss, line)


def roles_and_kinds(program, _):
    _, entries = program.tensors("run", 2)
    assert entries["stem.1.running_mean"]["role"] == "statistic"
    assert entries["stem.1.weight"]["role"] == "shared"
    assert entries["stem.1.weight"]["kind"] == entries["stem.1.running_var"]["kind"] == "normalization"
    assert entries["fc.weight"]["kind"] == "head" and "kind" not in entries["stem.0.weight"]
    assert set(entries) == {name for name in ResNet(0.1).state_dict() if not name.endswith("num_batches_tracked")}


def one_step_is_pythons(program, data):
    """One client, one batch, no dropout: parameters and running statistics as torch.optim.SGD leaves them."""
    module = made(lambda: ResNet(0.0))
    torch.jit.script(module).save(program.directory / "plain.pt")
    program.run("one", "federation.clients=1", "model.path=plain.pt", "training.batch_size=160", "run.rounds=1",
                "evaluation.federated=false")
    module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    features, labels = data["train"]
    nn.functional.cross_entropy(module(features), labels).backward()
    optimizer.step()
    ours = state_of(program, "one", 1)
    theirs = {name: value for name, value in module.state_dict().items() if value.is_floating_point()}
    assert set(ours) == set(theirs)
    worst = max(theirs, key=lambda name: (ours[name] - theirs[name]).abs().max().item())
    difference = (ours[worst] - theirs[worst]).abs().max().item()
    print(f"  largest difference {difference:.1e} ({worst})")
    assert difference <= BOUND


def a_module_that_returns_its_loss(program, _):
    torch.jit.script(made(lambda: WithLoss(ResNet(0.1)))).save(program.directory / "loss.pt")
    program.run("loss", "model.path=loss.pt", 'model.loss="module"', 'model.head=["net.fc"]')
    for ours, theirs in zip(program.rounds("loss"), program.rounds("run"), strict=True):
        assert ours["digest"] == theirs["digest"] and ours["central"]["accuracy"] == theirs["central"]["accuracy"]
        assert abs(ours["central"]["loss"] - theirs["central"]["loss"]) <= BOUND, (ours, theirs)
    torch.jit.script(made(lambda: LossAlone(ResNet(0.1)))).save(program.directory / "loss_alone.pt")
    program.run("loss_alone", "model.path=loss_alone.pt", 'model.loss="module"', 'model.head=["net.fc"]')
    for ours, theirs in zip(program.rounds("loss_alone"), program.rounds("loss"), strict=True):
        assert ours["digest"] == theirs["digest"]
        assert ours["central"] == {"loss": theirs["central"]["loss"]}, "what it does not know is left out"


def numbers_to_predict(program, _):
    random = np.random.default_rng(3)
    splits = {}
    for split, count in (("train", 200), ("test", 50)):
        features = random.normal(size=(count, 3)).astype("float32")
        splits[split] = features, (features @ [1.0, -2.0, 0.5] + 1.0).astype("float32")
        (program.directory / "numbers").mkdir(exist_ok=True)
        with h5py.File(program.directory / "numbers" / f"{split}.h5", "w") as file:
            file["features"], file["labels"] = splits[split]
    (program.directory / "numbers.toml").write_text(NUMBERS_JOB, encoding="utf-8")
    features, truth = (torch.from_numpy(values) for values in splits["test"])
    for name, module, settings in (("standard", Predictor, []), ("own_loss", Regressor, ['model.loss="module"'])):
        torch.jit.script(made(module)).save(program.directory / "numbers.pt")
        program.run(name, *settings, job="numbers.toml")
        predicted = load(made(Predictor, seed=99), state_of(program, name, 4))(features).detach()[:, 0]
        rounds = [line["central"] for line in program.rounds(name)]
        assert abs(rounds[-1]["loss"] - nn.functional.mse_loss(predicted, truth).item()) <= BOUND, rounds
        assert abs(rounds[-1]["mean_absolute_error"] - (predicted - truth).abs().mean().item()) <= BOUND, rounds
        assert rounds[-1]["loss"] < 0.3 * rounds[0]["loss"], rounds
    assert program.rounds("standard")[-1]["digest"] == program.rounds("own_loss")[-1]["digest"]


def a_traced_module(program, _):
    torch.jit.trace(made(lambda: ResNet(0.0)).eval(), torch.randn(4, 3, 16, 16)).save(program.directory / "traced.pt")
    program.run("traced", "model.path=traced.pt")
    assert program.rounds("traced")[-1]["central"]["loss"] < program.rounds("traced")[0]["central"]["loss"]


def text(program, _):
    write_reviews(program.directory / "aclImdb")
    write_vocabulary(program.directory / "vocab.txt", WORDS)
    program("prepare", "imdb", "--archive", "aclImdb", "--vocabulary", "vocab.txt", "--output", "shards")
    torch.jit.script(made(BagOfWords)).save(program.directory / "text.pt")
    program.run("text", job="text.toml", ranks=2)
    with h5py.File(program.directory / "shards" / "test.h5") as shard:
        tokens, offsets, labels = (shard[name][:].astype(np.int64) for name in ("tokens", "offsets", "labels"))
    rows = [torch.from_numpy(tokens[a:b]) for a, b in zip(offsets, offsets[1:])]
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    module = load(made(BagOfWords, seed=99), state_of(program, "text", 3)).eval()
    with torch.no_grad():
        loss = nn.functional.cross_entropy(module(ids, mask), torch.from_numpy(labels)).item()
    last = program.rounds("text")[-1]["central"]
    assert abs(loss - last["loss"]) <= BOUND, (loss, last)
    assert last["loss"] < program.rounds("text")[0]["central"]["loss"]


def mistakes(program, _):
    frozen = torch.jit.freeze(torch.jit.script(made(lambda: ResNet(0.1)).eval()))
    frozen.save(program.directory / "frozen.pt")
    torch.save(ResNet(0.1).state_dict(), program.directory / "state.pt")
    (program.directory / "noise.pt").write_bytes(bytes(range(256)) * 40)
    torch.jit.script(ResNet(0.1).double()).save(program.directory / "double.pt")
    torch.jit.trace(ResNet(0.0).train(), torch.randn(4, 3, 16, 16)).save(program.directory / "traced_training.pt")
    cases = [(["model.path=nowhere.pt"], ["nowhere.pt", "No such file"]),
             (["model.path=."], ["is a directory"]),
             (["model.path=state.pt"], ["state.pt is no TorchScript module", "torch.jit.script(module).save(path)"]),
             (["model.path=noise.pt"], ["noise.pt is no TorchScript module"]),
             (["model.path=frozen.pt"], ["frozen.pt has no parameters to train", "torch.jit.freeze"]),
             (["model.path=traced_training.pt"], ["changes its buffer 'stem.1.running_mean'", "traced in training mode"]),
             (["model.path=double.pt"], ["is Double", ".float()"]),
             (["model.input_shape=[3,16,15]"], ["model.input_shape is [3, 16, 15]", "[768]"]),
             (["model.input_shape=[12,8,8]"], ["cannot be used on this data", "12 channels"]),
             (["model.num_labels=5"], ["returns 4 logits", "set model.num_labels = 4"]),
             (['model.head=["head"]'], ["model.head names 'head'"]),
             (['model.loss="module"'], ["cannot be used on this data", "argument"])]
    for settings, fragments in cases:
        done = program.run("mistake", *settings, expected=2)
        assert len(done.stderr.splitlines()) == 1, done.stderr
        for fragment in fragments:
            assert fragment in done.stderr, (fragment, done.stderr)
        assert not (program.directory / "mistake").exists()
        print(f"  {done.stderr.strip()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--fedmpi", "--mpirun", "--probe"):
        parser.add_argument(name, required=True)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    args = parser.parse_args()
    program = Program(args, "torchscript")
    directory = program.directory
    (directory / "job.toml").write_text(JOB, encoding="utf-8")
    (directory / "text.toml").write_text(TEXT_JOB, encoding="utf-8")
    torch.jit.script(made(lambda: ResNet(0.1))).save(directory / "resnet.pt")
    program.check_plugin("torchscript", "path=resnet.pt", "input_shape=[3, 16, 16]", "num_labels=4", 'head=["fc"]')
    data = dataset_of(program, pathlib.Path(args.probe).resolve())
    for check in (same_digests_everywhere, parameters_load_back, roles_and_kinds, one_step_is_pythons,
                  a_module_that_returns_its_loss, a_traced_module,
                  numbers_to_predict, text, mistakes):
        print(check.__name__, flush=True)
        check(program, data)


if __name__ == "__main__":
    main()
