"""A beginner's mistakes with the whole program.

Each must end with exit status 2 and one sentence that says what, where and what to do, and leave the disk as it was.
Every mistake is tried twice: as one process, where stderr must be that sentence and nothing else, and under mpirun with
two ranks, where the launcher may add words of its own.
"""

import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

from small_text import WORDS, write_model, write_reviews, write_vocabulary

JOB = """\
[run]
name = "made_up"
rounds = 1
threads = 1

[federation]
clients = 4

[strategy]
name = "fedavg"

[model]
name = "logistic"

[data]
name = "synthetic"

[training]
batch_size = 16
optimizer = "sgd"
learning_rate = 0.1
precision = "float32"
"""

TEXT_JOB = JOB.replace('name = "logistic"', 'name = "transformer"\npath = "model"').replace(
    'name = "synthetic"', 'name = "hdf5_text"\npath = "shards"')

ARRAY_JOB = JOB.replace('name = "synthetic"', 'name = "hdf5_array"\npath = "shards"')

TABLE = ["prepare", "csv", "--text", "text", "--vocabulary", "vocab.txt", "--output", "shards"]


def edit(old, new, text=JOB):
    assert text.count(old) == 1, old
    return text.replace(old, new)


def with_data(line):
    """JOB with that as line 17, in [data]."""
    return edit('"synthetic"', f'"synthetic"\n{line}')


INDEXED = with_data('partition = { name = "indices", file = "parts.json" }')

# What is started without a launcher.
ALONE = (["prepare"], ["plugins"], ["report"])

# (name, job text, arguments after `fedmpi`, fragments of the sentence, what is prepared beforehand)
CASES = [
    ("no_such_job", JOB, ["run", "jbo.toml"], ["jbo.toml"], None),
    ("job_is_a_directory", JOB, ["run", "."], ["job file"], None),
    ("not_toml", edit("rounds = 1", "rounds ="), ["run", "job.toml"], ["job.toml:3:"], None),
    ("text_without_quotes", edit('"made_up"', "made_up"), ["run", "job.toml"],
     ["job.toml:2:8: 'made_up' is no value: text stands in quotes, \"made_up\""], None),
    ("misspelt_key", edit("batch_size", "batchsize"), ["run", "job.toml"],
     ["job.toml:19:1: [training] has no key 'batchsize'", "did you mean 'batch_size'?"], None),
    ("misspelt_section", edit("[training]", "[trainig]"), ["run", "job.toml"],
     ["job.toml:18:2: there is no section [trainig]", "did you mean [training]?"], None),
    ("misspelt_plugin_key", edit('"synthetic"', '"synthetic"\ntrain_exampels = 100'), ["run", "job.toml"],
     ["job.toml:17:1: [data] has no key 'train_exampels'", "did you mean 'train_examples'?"], None),
    ("misspelt_override", JOB, ["run", "job.toml", "--set", "training.learning_rat=1"],
     ["--set", "did you mean 'learning_rate'?"], None),
    ("wrong_type", edit("batch_size = 16", 'batch_size = "16"'), ["run", "job.toml"],
     ["job.toml:19:1: 'batch_size' in [training] must be an integer", 'the string "16"'], None),
    ("out_of_range", JOB, ["run", "job.toml", "--set", "federation.fraction_fit=1.5"],
     ["'fraction_fit' in [federation] must be between 0 and 1, not 1.5"], None),
    ("more_clients_than_examples", edit("clients = 4", "clients = 100000"), ["run", "job.toml"],
     ["100000 clients", "examples"], None),
    ("no_such_plugin", edit('"fedavg"', '"fedavgg"'), ["run", "job.toml"],
     ["there is no strategy plugin 'fedavgg'", "did you mean 'fedavg'?", "fedavgg.so"], None),
    ("plugin_of_another_kind", edit('"logistic"', '"synthetic"'), ["run", "job.toml"],
     ["is a dataset plugin, and [model] asks for a model"], None),
    ("output_holds_a_run", JOB, ["run", "job.toml"], ["runs/made_up already holds a run", "--output"], "run"),
    ("output_is_a_file", JOB, ["run", "job.toml", "--output", "job.toml"], ["job.toml is a file"], None),
    ("output_that_cannot_be_made", JOB, ["run", "job.toml", "--output", "/proc/made_up"],
     ["the output directory /proc/made_up cannot be made", "choose another with --output"], None),
    ("nothing_to_resume", JOB, ["run", "job.toml", "--resume"], ["runs/made_up", "resume"], None),
    ("no_shard_directory", TEXT_JOB, ["run", "job.toml"], ["shards", "fedmpi prepare"], "model"),
    ("no_shard", TEXT_JOB, ["run", "job.toml"], ["shards", "test.h5", "fedmpi prepare"], "no_test_shard"),
    ("no_model", TEXT_JOB, ["run", "job.toml", "--set", "model.path=nodir"],
     ["nodir is not a directory that is there", "config.json, model.safetensors and vocab.txt", "save_pretrained", "data/get_minilm.sh"],
     "shards"),
    ("half_a_model", TEXT_JOB, ["run", "job.toml"], ["model holds no model.safetensors", "save_pretrained"], "half_a_model"),
    ("shard_cut_short", TEXT_JOB, ["run", "job.toml"],
     ["shards/train.h5: is cut short or damaged (it could not be opened): make it again, or copy it again"], "cut_shard"),
    ("shard_of_another_kind", TEXT_JOB, ["run", "job.toml"], ["shards/train.h5: is no HDF5 file: name another, or make it again"],
     "text_as_shard"),
    ("two_preparations", TEXT_JOB, ["run", "job.toml"], ["comes from another preparation"], "two_preparations"),
    ("another_vocabulary", TEXT_JOB, ["run", "job.toml"], ["another vocabulary", "fedmpi prepare"], "two_vocabularies"),
    ("other_features", edit('"logistic"', '"logistic"\nnum_features = 7'), ["run", "job.toml"],
     ["made for 7 features", "the dataset has 20", "model.num_features = 20"], None),
    ("text_for_a_model_of_features", edit('"synthetic"', '"hdf5_text"\npath = "shards"'), ["run", "job.toml"],
     ["'logistic' needs a dataset with features"], "shards"),
    ("features_for_a_model_of_text", edit('"logistic"', '"transformer"\npath = "model"'), ["run", "job.toml"],
     ["'transformer' needs text"], "model"),
    ("text_too_long_for_the_model", TEXT_JOB, ["run", "job.toml"], ["takes 1 to 8", "truncate when preparing"],
     "short_model"),
    ("nobody_trains", JOB, ["run", "job.toml", "--set", "federation.fraction_fit=0"],
     ["'fraction_fit' in [federation] is 0"], None),
    ("resumed_with_another_key", JOB, ["run", "job.toml", "--resume", "--set", "training.learning_rate=0.2"],
     ["runs/made_up cannot be resumed", "training.learning_rate"], "run"),
    ("resumed_with_other_data", JOB, ["run", "job.toml", "--resume", "--set", "data.train_examples=300"],
     ["runs/made_up cannot be resumed", "data.train_examples"], "run"),
    ("resumed_with_another_partition", JOB, ["run", "job.toml", "--resume", "--set", "data.partition=linear"],
     ["runs/made_up cannot be resumed", "data.partition.name"], "run"),
    ("resumed_with_changed_indices", INDEXED, ["run", "job.toml", "--resume"],
     ["runs/made_up cannot be resumed", "the file of data.partition has changed"], "changed_indices"),
    ("resumed_with_fewer_rounds", JOB, ["run", "job.toml", "--resume"],
     ["runs/made_up cannot be resumed", "it has done 2 rounds, and run.rounds is 1"], "two_rounds"),
    ("resumed_with_a_changed_model", TEXT_JOB, ["run", "job.toml", "--resume"],
     ["runs/made_up cannot be resumed", "the model's configuration has changed"], "changed_model"),
    ("resumed_with_changed_shards", TEXT_JOB, ["run", "job.toml", "--resume"],
     ["runs/made_up cannot be resumed", "the dataset's content has changed"], "changed_shards"),
    ("misspelt_partition", with_data('partition = "dirichle"'), ["run", "job.toml"],
     ["job.toml:17:1: 'partition' in [data] must be one of", 'did you mean "dirichlet"?'], None),
    ("partition_without_its_key", with_data('partition = "dirichlet"'), ["run", "job.toml"],
     ["job.toml:17:1: [data.partition] needs 'alpha'"], None),
    ("key_of_another_partition", with_data('partition = { name = "iid", alpha = 0.5 }'), ["run", "job.toml"],
     ["job.toml:17:29: [data.partition] has no key 'alpha'", 'it belongs to the rule "dirichlet"'], None),
    ("draws_that_never_fit", with_data('partition = { name = "dirichlet", alpha = 1e-4 }'), ["run", "job.toml"],
     ["job.toml:17:15: none of 11 draws", "raise 'alpha' in [data.partition]"], None),
    ("no_natural_ids", with_data('partition = "natural_id"'), ["run", "job.toml"],
     ["job.toml:17:1: ", "'synthetic' has no natural ids"], None),
    ("number_of_natural_ids", with_data('partition = "natural_id"\nnum_keys = 6'), ["run", "job.toml"],
     ["job.toml:17:1: ", "6 natural ids", "set federation.clients = 6, not 4"], None),
    ("no_file_of_indices", INDEXED, ["run", "job.toml"], ["job.toml:17:33: ", "parts.json is not there"], None),
    ("index_that_is_not_there", INDEXED, ["run", "job.toml", "--set", "data.train_examples=3"],
     ["parts.json: the train examples of client 3: 3 is outside 0..2"], "indices"),
    ("trace_with_too_few_clients", JOB,
     ["run", "job.toml", "--set", 'federation.sampling={ name = "trace", file = "trace.json" }', "--set", "run.rounds=2"],
     ["trace.json: has 1 client in round 2, but federation.min_fit_clients is 2"], "trace"),
    ("fixed_client_that_is_not_there", JOB,
     ["run", "job.toml", "--set", 'federation.sampling={ name = "fixed", clients = [4] }'],
     ["'clients' in [federation.sampling] has 4, but the clients are 0 to 3"], None),
    ("no_array_directory", ARRAY_JOB, ["run", "job.toml"], ["shards", "write them with h5py"], None),
    ("text_read_as_arrays", ARRAY_JOB, ["run", "job.toml"], ["holds tokenized text", 'data.name = "hdf5_text"'],
     "shards"),
    ("misspelt_column", JOB, [*TABLE, "--label", "lable", "table.csv"],
     ["table.csv:1: has no column 'lable'", "did you mean 'label'?"], "table"),
    ("no_such_table", JOB, [*TABLE, "--label", "label", "tabel.csv"], ["tabel.csv: there is no such file"], "table"),
    ("a_row_too_short", JOB, [*TABLE, "--label", "label", "short.csv"],
     ["short.csv:3: has 1 field where the first row has 2"], "table"),
    ("a_quote_not_closed", JOB, [*TABLE, "--label", "label", "quote.csv"],
     ["quote.csv:2: has a field whose closing quote is missing", "--no-quotes"], "table"),
    ("a_label_of_the_test_file_only", JOB, [*TABLE, "--label", "label", "table.csv", "--test", "same.csv"],
     ["same.csv:2: has the label 'odd', which none of the files to train on has"], "table"),
    ("two_sources_of_the_test_split", JOB,
     [*TABLE, "--label", "label", "table.csv", "--test", "table.csv", "--test-fraction", "0.5"],
     ["excludes", "--test-fraction"], "table"),
    ("no_json", JOB, ["prepare", "jsonl", *TABLE[2:], "--label", "label", "table.csv"], ["table.csv:1: is not JSON"],
     "table"),
    ("no_verb", JOB, [], ["--help"], None),
    ("unknown_verb", JOB, ["rum", "job.toml"], ["rum"], None),
    ("unknown_dataset", JOB, ["prepare", "imbd"],
     ["'prepare' takes one of imdb, csv, tsv, jsonl, not 'imbd'", "did you mean 'imdb'?", "see fedmpi prepare --help"], None),
    ("unknown_kind_of_plugin", JOB, ["new", "strategi", "mine"],
     ["'new' takes one of strategy, model, dataset, not 'strategi'", "did you mean 'strategy'?", "see fedmpi new --help"], None),
    ("no_plugin_to_check", JOB, ["plugins", "--check", "nofile.so"], ["the plugin nofile.so cannot be read", "build it, or name another file"], None),
    ("no_directory_for_the_report", JOB, ["report", "runs/made_up", "-o", "nodir/x.html"],
     ["nodir/x.html: could not be written, there is no directory nodir: make it, or give another place with -o"], "run"),
    ("unknown_action_on_signal", JOB, ["run", "job.toml", "--on-signal", "finnish"],
     ["--on-signal: takes abandon or finish, not 'finnish'"], None),
    ("number_of_action_on_signal", JOB, ["run", "job.toml", "--on-signal", "1"],
     ["--on-signal: takes abandon or finish, not '1'"], None),
    ("unknown_flag", JOB, ["run", "job.toml", "--resum"], ["--resum"], None),
    ("no_job", JOB, ["run"], ["job"], None),
]


class Tools:
    def __init__(self, fedmpi, mpirun):
        self.fedmpi = fedmpi
        self.mpirun = [mpirun, "-np", "2", "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none"]
        self.environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        self.environment.pop("FEDMPI_PLUGIN_PATH", None)

    def run(self, arguments, directory, launcher=()):
        return subprocess.run([*launcher, self.fedmpi, *arguments], cwd=directory, env=self.environment, timeout=120,
                              capture_output=True, text=True, check=False)

    def must(self, arguments, directory):
        done = self.run(arguments, directory)
        assert done.returncode == 0, f"fedmpi {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}"


def write_shards(tools, directory, words):
    write_reviews(directory / "aclImdb")
    write_vocabulary(directory / "vocab.txt", words)
    tools.must(["prepare", "imdb", "--archive", "aclImdb", "--vocabulary", "vocab.txt", "--output", "shards"], directory)


def prepare(tools, what, directory):
    if what == "run":
        tools.must(["run", "job.toml"], directory)
    if what in ("indices", "changed_indices"):
        (directory / "parts.json").write_text('{"train": [[0], [1], [2], [3]]}', encoding="utf-8")
    if what == "changed_indices":
        tools.must(["run", "job.toml"], directory)
        (directory / "parts.json").write_text('{"train": [[0], [1], [2], [4]]}', encoding="utf-8")
    if what == "trace":
        (directory / "trace.json").write_text('{"rounds": [[0, 1], [2]]}', encoding="utf-8")
    if what == "table":
        write_vocabulary(directory / "vocab.txt", WORDS)
        for name, rows in (("table", "good,a\nbad,b\n"), ("short", "good,a\nbad\n"), ("quote", 'good,"a\nbad,b\n'),
                           ("same", "good,odd\nbad,odd\n")):
            (directory / f"{name}.csv").write_text("text,label\n" + rows, encoding="utf-8")
    if what == "two_rounds":
        tools.must(["run", "job.toml", "--set", "run.rounds=2"], directory)
    if what in ("model", "no_test_shard", "two_vocabularies", "changed_model", "changed_shards"):
        write_model(directory / "model")
    if what == "two_preparations":
        write_model(directory / "model")
        write_shards(tools, directory, WORDS)
        tools.must(["prepare", "imdb", "--archive", "aclImdb", "--vocabulary", "vocab.txt", "--output", "other", "--seed",
                    "7"], directory)
        shutil.move(directory / "other" / "test.h5", directory / "shards" / "test.h5")
    if what == "short_model":
        write_model(directory / "model", positions=8)
    if what in ("half_a_model", "cut_shard", "text_as_shard"):
        write_model(directory / "model")
    if what == "half_a_model":
        (directory / "model" / "model.safetensors").unlink()
    if what in ("shards", "no_test_shard", "short_model", "changed_model", "changed_shards", "half_a_model", "cut_shard",
                "text_as_shard"):
        write_shards(tools, directory, WORDS)
    if what in ("changed_model", "changed_shards"):
        tools.must(["run", "job.toml"], directory)
    if what == "cut_shard":
        shard = directory / "shards" / "train.h5"
        shard.write_bytes(shard.read_bytes()[:1000])
    if what == "text_as_shard":
        (directory / "shards" / "train.h5").write_text("text,label\ngood,a\n", encoding="utf-8")
    if what == "changed_model":
        config = directory / "model" / "config.json"
        config.write_text(edit('"n_heads": 2', '"n_heads": 4', config.read_text(encoding="utf-8")), encoding="utf-8")
    if what == "changed_shards":
        shutil.rmtree(directory / "shards")
        tools.must(["prepare", "imdb", "--archive", "aclImdb", "--vocabulary", "vocab.txt", "--output", "shards",
                    "--seed", "7"], directory)
    if what == "two_vocabularies":
        write_shards(tools, directory, [*WORDS[:-2], "never", WORDS[-1]])
    if what == "no_test_shard":
        for path in (directory / "shards").glob("test*.h5"):
            path.unlink()


def content(directory):
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            for path in sorted(directory.rglob("*"))}


def complaints(done, before, directory, fragments, launched):
    """What is wrong with how the program refused."""
    lines = done.stderr.splitlines()
    ours = [line for line in lines if line.startswith("fedmpi: ")]
    if done.returncode != 2:
        yield f"exit status {done.returncode}, not 2"
    if len(ours) != 1:
        yield f"{len(ours)} lines on stderr begin with 'fedmpi: ', not 1"
    if not launched and len(lines) != len(ours):
        yield "stderr holds more than the sentence"
    if done.stdout and not launched:
        yield "stdout is not empty"
    for fragment in fragments:
        if ours and fragment not in ours[0]:
            yield f"the sentence does not contain {fragment!r}"
    after = content(directory)
    if after != before:
        changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        yield f"changed on disk: {', '.join(changed)}"


def check(tools, case, workdir):
    name, job, arguments, fragments, what = case
    directory = workdir / name
    directory.mkdir()
    (directory / "job.toml").write_text(job, encoding="utf-8")
    prepare(tools, what, directory)
    before = content(directory)
    faults = []
    for launcher in ((),) if arguments[:1] in ALONE else ((), tools.mpirun):
        done = tools.run(arguments, directory, launcher)
        found = list(complaints(done, before, directory, fragments, bool(launcher)))
        how = "under mpirun" if launcher else "alone"
        faults += [f"{how}: {fault}" for fault in found]
        if found:
            faults.append(f"{how}, stdout and stderr:\n{done.stdout}{done.stderr}")
        elif not launcher:
            print(f"{name}: {done.stderr.strip()}")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--mpirun", required=True)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    parser.add_argument("cases", nargs="*", help="only these")
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - {case[0] for case in CASES}
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    workdir = arguments.workdir.resolve() / "beginner_errors"
    shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir(parents=True)
    tools = Tools(str(pathlib.Path(arguments.fedmpi).resolve()), arguments.mpirun)
    num_failed = 0
    for case in CASES:
        if arguments.cases and case[0] not in arguments.cases:
            continue
        try:
            faults = check(tools, case, workdir)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            faults = [str(error)]
        for fault in faults:
            print(f"{case[0]}: FAILED {fault}")
        num_failed += bool(faults)
    if num_failed:
        sys.exit(f"{num_failed} cases failed")


if __name__ == "__main__":
    main()
