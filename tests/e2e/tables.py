"""Labelled texts in tables become shards, and a transformer learns their four labels.

The tables are written by Python's own csv and json modules, with everything in them that needs quoting; what is in the
shards is compared with what those modules read.
"""
import argparse
import csv
import json
import pathlib
import random
import re
import sys

from small_text import WORDS, write_model

try:
    import h5py

    from program import Program
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

LABELS = ["good", "bad", "film", "not, \"really\""]
JOB = """\
[run]
name = "tables"
rounds = 8
threads = 1
[federation]
clients = 4
[model]
name = "transformer"
path = "model"
num_labels = 4
pooling = "mean"
[data]
name = "hdf5_text"
path = "shards"
[training]
batch_size = 8
local_epochs = 2
learning_rate = 2e-2
precision = "float32"
"""


def write_tables(directory):
    """The label of a text is the word that it is made of most; the last one's is "not"."""
    chosen = random.Random(5)
    rows = []
    for i in range(240):
        label = chosen.choice(LABELS)
        words = [label.split(",")[0]] * 5 + chosen.choices(["a", "very", "."], k=chosen.randrange(6))
        chosen.shuffle(words)
        text = "".join(word + chosen.choice([" ", " ", "\n", ", ", " \"x\" ", "\t", "\r\n"]) for word in words)
        rows.append({"id": i, "text": text, "user": f"u{i % 7}", "label": label})
    for name, dialect in (("excel.csv", "excel"), ("unix.csv", "unix"), ("table.tsv", "excel-tab")):
        with open(directory / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], dialect=dialect)
            writer.writeheader()
            writer.writerows(rows)
    with open(directory / "lines.jsonl", "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")
    return rows


def token_ids(text):
    pieces = re.findall(r"\w+|[^\w\s]", text)
    return (WORDS.index("[CLS]"), *(WORDS.index(piece) if piece in WORDS else WORDS.index("[UNK]") for piece in pieces),
            WORDS.index("[SEP]"))


def shard_rows(path):
    with h5py.File(path) as shard:
        offsets = shard["offsets"][:]
        tokens = [tuple(shard["tokens"][a:b].tolist()) for a, b in zip(offsets, offsets[1:])]
        return list(zip(tokens, shard["labels"][:].tolist(), shard["keys"][:].tolist())), dict(shard.attrs)


def prepare(program, kind, file, output, *more, **expected):
    return program("prepare", kind, file, "--text", "text", "--label", "label", "--key", "user", "--vocabulary",
                   "model/vocab.txt", "--output", output, *more, **expected)


def check_shards(program, rows):
    labels, users = sorted(LABELS), sorted({row["user"] for row in rows})
    expected = sorted((token_ids(row["text"]), labels.index(row["label"]), users.index(row["user"])) for row in rows)
    splits = None
    for kind, file, output in (("csv", "excel.csv", "shards"), ("csv", "unix.csv", "unix"), ("tsv", "table.tsv", "tsv"),
                               ("jsonl", "lines.jsonl", "jsonl")):
        said = prepare(program, kind, file, output, "--test-fraction", "0.25").stdout
        train, attributes = shard_rows(program.directory / output / "train.h5")
        test, _ = shard_rows(program.directory / output / "test.h5")
        assert sorted(train + test) == expected, f"{file}: other examples than Python reads"
        assert len(test) == 60 and "180 examples" in said, said
        assert json.loads(attributes["label_names"]) == labels and json.loads(attributes["key_names"]) == users
        assert attributes["num_labels"] == 4 and attributes["source"].decode() == file
        splits = splits or (train, test)
        assert (train, test) == splits, f"{file}: another order than from {'excel.csv'}"
    print(f"{len(rows)} rows from csv in two dialects, tsv and jsonl: what Python reads")
    said = prepare(program, "csv", "excel.csv", "shards", expected=2).stderr
    assert "holds" in said and said.count("\n") == 1, said


def check_learning(program):
    program.run("one")
    lines = program.results("one")
    for line in lines:
        confusion = line["central"]["confusion"]
        assert len(confusion) == 4 and all(len(row) == 4 for row in confusion) and sum(map(sum, confusion)) == 60
        assert abs(sum(confusion[i][i] for i in range(4)) / 60 - line["central"]["accuracy"]) < 1e-12
        f1 = [2 * confusion[i][i] / max(1, sum(confusion[i]) + sum(row[i] for row in confusion)) for i in range(4)]
        assert abs(sum(f1) / 4 - line["central"]["f1"]) < 1e-12
    first, last = lines[0]["central"], lines[-1]["central"]
    print(f"four labels: accuracy {first['accuracy']:.3f} before, {last['accuracy']:.3f} after training, F1 {last['f1']:.3f}")
    assert last["accuracy"] > 0.8 and last["f1"] > 0.8 and first["accuracy"] < 0.5, lines
    program.run("three", ranks=3)
    assert program.results("three") == lines, "3 ranks give other numbers"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--mpirun", required=True)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    program = Program(arguments, "tables")
    write_model(program.directory / "model", positions=128)
    (program.directory / "job.toml").write_text(JOB, encoding="utf-8")
    check_shards(program, write_tables(program.directory))
    check_learning(program)


if __name__ == "__main__":
    main()
