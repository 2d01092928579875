"""`fedmpi plugins --check`: every plugin that ships passes, and a plugin that crashes or is refused is a sentence.

What makes each check fail is in tests/unit/conformance_test.cpp.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

from small_text import WORDS, write_model, write_reviews, write_vocabulary

# What some need to be made at all: files that prepare() writes, and other options besides the defaults.
SETTINGS = {
    "transformer": [["path=model"], ["path=model", "data.name=hdf5_text", "data.path=shards"]],
    "hdf5_text": [["path=shards"]],
    "krum": [[], ["num_malicious_clients=2"]],
    "bulyan": [[], ["num_malicious_clients=1"]],
    "fedavgm": [[], ["server_momentum=0.9"]],
    "fedadam": [[], ["compat=flower"], ["bias_correction=true"]],
    "logistic": [[], ["num_features=7", "num_labels=4"]],
    "cnn": [["input_shape=[1, 12, 12]", "num_labels=3"]],
}
# Made of files that only other programs write: checked where those are tested.
ELSEWHERE = {"torchscript", "hdf5_array"}


class Checker:
    def __init__(self, fedmpi, directory):
        self.fedmpi, self.directory = fedmpi, directory

    def run(self, *arguments):
        return subprocess.run([self.fedmpi, *arguments], cwd=self.directory, capture_output=True, text=True, timeout=300,
                              check=False)

    def check(self, path, settings=(), *more):
        return self.run("plugins", "--check", str(path), *(word for one in settings for word in ("--set", one)), *more)


def prepare(checker, directory):
    write_model(directory / "model")
    write_reviews(directory / "aclImdb")
    write_vocabulary(directory / "vocab.txt", WORDS)
    done = checker.run("prepare", "imdb", "--archive", "aclImdb", "--vocabulary", "vocab.txt", "--output", "shards")
    assert done.returncode == 0, done.stderr


def shipped_faults(checker, plugins):
    paths = sorted(plugins.glob("*.so"))
    if len(paths) < 5:
        yield f"{plugins} holds {len(paths)} plugins"
    for path in paths:
        if path.stem in ELSEWHERE:
            continue
        for settings in SETTINGS.get(path.stem, [[]]):
            done = checker.check(path, settings)
            print(f"{path.stem} {' '.join(settings)}\n{done.stdout}{done.stderr}")
            lines = done.stdout.splitlines()
            if done.returncode != 0 or done.stderr or not lines[-1].endswith(f"passed all {len(lines) - 1} checks"):
                yield f"{path.stem} {' '.join(settings)} does not pass"


def refusal_faults(checker, bad):
    for path, settings, fragment in (
            (bad / "idle.so", ["crash=true"], "crashed (Segmentation fault) in the check 'finite results'"),
            (bad / "idle.so", ["throw=true"], "could not be made: the constructor did not like it"),
            (bad / "idle.so", ["throw_in_round=2"], "aggregate did not like it"),
            (bad / "idle.so", ["rat=1"], "[strategy] has no key 'rat'; did you mean 'rate'?"),
            (bad / "idle.so", ["rate"], "not of the form section.key=value"),
            (bad / "bad_default.so", [], "the default of option 'rate' must be between 0 and 1"),
            (bad / "not_a_library.so", [], "cannot be loaded: invalid ELF header"),
            (bad / "wrong_abi.so", [], "was built for plugin ABI"),
            (bad / "not_there.so", [], "not_there.so cannot be read")):
        done = checker.check(path, settings)
        sentence = done.stderr.splitlines()
        if done.returncode != 2 or len(sentence) != 1 or not sentence[0].startswith("fedmpi: "):
            yield f"{path.stem} {settings}: exit status {done.returncode}: {done.stdout}{done.stderr}"
        elif fragment not in sentence[0]:
            yield f"{path.stem} {settings}: '{sentence[0]}' does not contain '{fragment}'"
        elif sentence[0].removeprefix("fedmpi: ") in done.stdout:
            yield f"{path.stem} {settings}: says it twice: {done.stdout}"
        else:
            print(sentence[0])


def json_faults(checker, plugins, bad):
    good = json.loads(checker.check(plugins / "fedavg.so", [], "--json").stdout)
    if not good["passed"] or not all(check["passed"] for check in good["checks"]) or good["checks"][0]["check"] != "loads":
        yield f"--json of a good plugin: {good}"
    done = checker.check(bad / "idle.so", ["crash=true"], "--json")
    facts = json.loads(done.stdout)
    failed = [check for check in facts["checks"] if not check["passed"]]
    if done.returncode != 2 or facts["passed"] or "crashed" not in failed[-1]["failure"]:
        yield f"--json of a bad plugin: exit status {done.returncode}, {facts}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--plugins", required=True, type=pathlib.Path)
    parser.add_argument("--bad-plugins", required=True, type=pathlib.Path)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    workdir = arguments.workdir.resolve() / "conformance"
    shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir(parents=True)
    checker = Checker(str(pathlib.Path(arguments.fedmpi).resolve()), workdir)
    prepare(checker, workdir)
    plugins, bad = arguments.plugins.resolve(), arguments.bad_plugins.resolve()
    faults = [*shipped_faults(checker, plugins), *refusal_faults(checker, bad), *json_faults(checker, plugins, bad)]
    for fault in faults:
        print(f"FAILED {fault}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
