"""Arrays that h5py wrote are trained on, for classification and for regression.

The metrics are compared with what NumPy computes from the checkpoint's parameters and the arrays themselves, and with
those of other numbers of ranks and files. Then mistakes: each must be one sentence and exit status 2.
"""
import argparse
import json
import pathlib
import shutil
import sys

try:
    import h5py
    import numpy as np

    from program import Program
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

JOB = """\
[run]
name = "arrays"
rounds = 12
threads = 1
[federation]
clients = 4
[model]
name = "logistic"
num_features = 12
num_labels = 5
[data]
name = "hdf5_array"
path = "classes"
scale = 0.00392156862745098
[training]
batch_size = 16
optimizer = "sgd"
learning_rate = 1.0
precision = "float32"
[evaluation]
batch_size = 7
[checkpoint]
keep = 0
"""

REGRESSION = JOB.replace('"classes"', '"numbers"\ntask = "regression"').replace("scale = 0.00392156862745098\n", "").replace(
    'name = "logistic"\nnum_features = 12\nnum_labels = 5', 'name = "mlp"\nnum_features = 3\nhidden = []\nnum_labels = 1').replace("1.0", "0.025")


def write_classes(directory):
    """Five classes, of which the last is rare and the first two overlap."""
    random = np.random.default_rng(1)
    centres = random.integers(60, 200, (5, 2, 2, 3))
    centres[1] = centres[0] + 25
    directory.mkdir()
    for split, count in (("train", 400), ("test", 150)):
        labels = random.choice(5, count, p=[0.3, 0.3, 0.2, 0.18, 0.02])
        features = np.clip(centres[labels] + random.normal(0, 20, (count, 2, 2, 3)), 0, 255).astype("uint8")
        with h5py.File(directory / f"{split}.h5", "w") as file:
            file["features"], file["labels"] = features, labels


def write_numbers(directory):
    random = np.random.default_rng(2)
    directory.mkdir()
    for split, count in (("train", 300), ("test", 90)):
        features = random.normal(size=(count, 3)).astype("float32")
        with h5py.File(directory / f"{split}.h5", "w") as file:
            file["features"] = features
            file["labels"] = features @ [1.5, -2.0, 0.5] + 3.0 + random.normal(0, 0.3, count)


def in_three_files(source, directory):
    directory.mkdir()
    for split in ("train", "test"):
        with h5py.File(source / f"{split}.h5") as whole:
            features, labels = whole["features"][:], whole["labels"][:]
        for i, part in enumerate(np.array_split(np.arange(len(labels)), 3)):
            with h5py.File(directory / f"{split}-{i:05}.h5", "w") as file:
                file.create_dataset("features", data=features[part], compression="gzip", chunks=True)
                file.create_dataset("labels", data=labels[part].astype("uint8"), maxshape=(None,))


def split_of(program, directory, split):
    with h5py.File(program.directory / directory / f"{split}.h5") as file:
        return file["features"][:], file["labels"][:]


def macro_f1(truth, predicted, num_labels):
    scores = []
    for label in range(num_labels):
        tp = np.sum((truth == label) & (predicted == label))
        wrong = np.sum((truth == label) != (predicted == label))
        scores.append(2 * tp / (2 * tp + wrong) if tp + wrong > 0 else 0.0)
    return np.mean(scores)


def write_job(program, job):
    (program.directory / "job.toml").write_text(job, encoding="utf-8")


def run(program, job, output, *settings, **more):
    write_job(program, job)
    program.run(output, *settings, **more)
    return program.results(output)


def refused(program, job):
    write_job(program, job)
    sentence = program.run("refused", expected=2).stderr
    assert sentence.count("\n") == 1 and not (program.directory / "refused").exists(), sentence
    return sentence


def check_classification(program):
    lines = run(program, JOB, "one")
    features, truth = split_of(program, "classes", "test")
    for number, line in enumerate(lines):
        tensors, _ = program.tensors("one", number)
        weight, bias = tensors["weight"], tensors["bias"]
        logits = (features.reshape(len(truth), -1) / 255.0) @ weight.T + bias
        predicted = logits.argmax(axis=1)
        shifted = logits - logits.max(axis=1, keepdims=True)
        loss = np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(truth)), truth])
        confusion = np.zeros((5, 5), int)
        np.add.at(confusion, (truth, predicted), 1)
        central = line["central"]
        assert central["confusion"] == confusion.tolist(), (central, confusion)
        assert abs(central["f1"] - macro_f1(truth, predicted, 5)) < 1e-12, central
        assert abs(central["accuracy"] - np.mean(truth == predicted)) < 1e-12, central
        assert abs(central["loss"] - loss) < 1e-5, (central, loss)
        assert "confusion" not in line["evaluate"] and 0 < line["evaluate"]["f1"] <= 1, line
        # The test split is spread over the clients whole: what they have together is what is central.
        assert abs(line["evaluate"]["f1"] - central["f1"]) < 1e-12, line
    last = lines[-1]["central"]
    assert last["accuracy"] > 0.6 and last["f1"] < last["accuracy"] - 0.05, f"the rare class should cost F1: {last}"
    print(f"classification: accuracy {last['accuracy']:.4f}, F1 {last['f1']:.4f}, as NumPy computes them")
    for ranks in (2, 3):
        assert run(program, JOB, f"ranks{ranks}", ranks=ranks) == lines, f"{ranks} ranks give other numbers"
    in_three_files(program.directory / "classes", program.directory / "parts")
    assert run(program, JOB, "from_parts", 'data.path="parts"') == lines, "three files give other numbers than one"
    print("classification: the same on 1, 2 and 3 ranks and from three files, compressed and resizable")


def check_regression(program):
    write_job(program, REGRESSION)
    done = program.run("line")
    said, lines = done.stderr + done.stdout, program.results("line")
    features, truth = split_of(program, "numbers", "test")
    for number, line in enumerate(lines):
        tensors, _ = program.tensors("line", number)
        predicted = features @ tensors["layers.0.weight"][0] + tensors["layers.0.bias"]
        central = line["central"]
        assert sorted(central) == ["loss", "mean_absolute_error"] == sorted(line["evaluate"]), line
        assert abs(central["mean_absolute_error"] - np.mean(np.abs(predicted - truth))) < 1e-5, central
        assert abs(central["loss"] - np.mean((predicted - truth) ** 2)) < 1e-5, central
    last = lines[-1]["central"]["mean_absolute_error"]
    assert last < 0.35 < lines[0]["central"]["mean_absolute_error"], lines
    assert "abs. error" in said and "central error" in said, said
    assert run(program, REGRESSION, "line3", ranks=3) == lines, "3 ranks give other numbers"
    header = (program.directory / "line" / "metrics.csv").read_text(encoding="utf-8").splitlines()[0]
    assert "central.mean_absolute_error" in header, header
    print(f"regression: mean absolute error {last:.4f}, as NumPy computes it, the same on 3 ranks")


def check_keys(program):
    """A client for each key: whose examples are together is seen in partition.json."""
    random = np.random.default_rng(4)
    shutil.copytree(program.directory / "classes", program.directory / "keyed")
    sizes = {}
    for split in ("train", "test"):
        with h5py.File(program.directory / "keyed" / f"{split}.h5", "a") as file:
            keys = random.choice([3, 8, 11, 70], len(file["labels"]), p=[0.1, 0.2, 0.3, 0.4])
            file["keys"] = keys
            sizes[split] = [int(np.sum(keys == key)) for key in (3, 8, 11, 70)]
    write_job(program, JOB.replace('"classes"', '"keyed"\npartition = "natural_id"'))
    program.run("keyed_run", "run.rounds=1")
    with open(program.directory / "keyed_run" / "partition.json", encoding="utf-8") as file:
        clients = json.load(file)["clients"]
    assert [client["train_examples"] for client in clients] == sizes["train"], (clients, sizes)
    program.check_plugin("hdf5_array", "path=keyed")
    print(f"a client for each key: {sizes['train']} examples")


def change(directory, name, value):
    with h5py.File(directory / "train.h5", "a") as file:
        del file[name]
        if value is not None:
            file[name] = value


def check_mistakes(program):
    features, labels = split_of(program, "classes", "train")
    cases = [
        (REGRESSION.replace("num_labels = 1", "num_labels = 2"), None, None,
         "the dataset 'hdf5_array' is for regression (numbers), but the model 'mlp' for classification"),
        (JOB.replace('"logistic"\nnum_features = 12\nnum_labels = 5', '"mlp"\nnum_features = 12\nnum_labels = 1'), None, None,
         "'hdf5_array' is for classification (labels), but the model 'mlp' for regression"),
        (JOB.replace("num_labels = 5", "num_labels = 4"), None, None, "set model.num_labels = 5"),
        (JOB.replace("num_features = 12", "num_features = 6"), None, None, "set model.num_features = 12"),
        (JOB, "features", features.astype("float64"), "/features is neither float32 nor uint8"),
        (JOB, "features", features[:, 0, 0, 0], "write features[:, None]"),
        (JOB, "features", features[:100], "/labels has 400 values for the 100 of /features"),
        (JOB, "labels", labels.astype("float32"), "/labels are floating-point numbers"),
        (JOB, "labels", labels - 1, "/labels holds -1 for example"),
        (JOB, "labels", labels == 1, "element type"),
        (JOB, "labels", None, "holds no /labels"),
    ]
    for job, name, value, expected in cases:
        shutil.rmtree(program.directory / "broken", ignore_errors=True)
        shutil.copytree(program.directory / "classes", program.directory / "broken")
        if name is not None:
            change(program.directory / "broken", name, value)
            job = job.replace('"classes"', '"broken"')
        sentence = refused(program, job)
        assert expected in sentence, (expected, sentence)
        print(sentence.strip())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--mpirun", required=True)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    program = Program(arguments, "arrays")
    write_classes(program.directory / "classes")
    write_numbers(program.directory / "numbers")
    for settings in (["path=classes"], ["path=numbers", "task=regression"]):
        program.check_plugin("hdf5_array", *settings)
    check_classification(program)
    check_regression(program)
    check_keys(program)
    check_mistakes(program)


if __name__ == "__main__":
    main()
