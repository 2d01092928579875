"""`fedmpi new`: what it refuses, with one sentence and exit status 2, and that it then leaves nothing behind."""

import argparse
import pathlib
import resource
import shutil
import subprocess
import sys

EXPECTED = {"strategy": ["CMakeLists.txt", "README.md", "job.toml", "mine.cpp"],
            "model": ["CMakeLists.txt", "README.md", "job.toml", "mine.cpp"],
            "dataset": ["CMakeLists.txt", "README.md", "job.toml", "mine.cpp"]}

# (arguments after `fedmpi new`, fragments of the sentence)
REFUSED = [
    (["strategy", "Mine"], ["'Mine' cannot be the name of a new strategy", "lower-case letters"]),
    (["strategy", "2fast"], ["'2fast' cannot be the name"]),
    (["strategy", "my-own"], ["'my-own' cannot be the name"]),
    (["strategy", "a/b"], ["'a/b' cannot be the name"]),
    (["strategy", ".."], ["'..' cannot be the name"]),
    (["strategy", "_own"], ["'_own' cannot be the name"]),
    (["strategy", ""], ["'' cannot be the name"]),
    (["strategy", "m" * 65], ["at most 64 letters"]),
    (["model", "test"], ["'test' cannot be the name of a new model", "CMake"]),
    (["strategy", "fedavg"], ["'fedavg' cannot be the name", "fedavg.so has it already"]),
    (["dataset", "synthetic"], ["synthetic.so has it already"]),
    (["model", "taken"], ["taken is there already"]),
    (["strategy"], ["name"]),
    (["strategi", "mine"], ["takes one of strategy, model, dataset, not 'strategi'", "did you mean 'strategy'?"]),
    ([], ["'new' needs one of strategy, model, dataset"]),
]


def new(fedmpi, arguments, directory, **options):
    return subprocess.run([fedmpi, "new", *arguments], cwd=directory, capture_output=True, text=True, timeout=60,
                          check=False, **options)


def complaints(done, fragments):
    if done.returncode != 2:
        yield f"exit status {done.returncode}, not 2"
    if not done.stderr.startswith("fedmpi: ") or done.stderr.count("\n") != 1 or done.stdout:
        yield "not one sentence"
    for fragment in fragments:
        if fragment not in done.stderr:
            yield f"the sentence does not contain {fragment!r}"


def check_refusals(fedmpi, directory):
    (directory / "taken").mkdir()
    for arguments, fragments in REFUSED:
        done = new(fedmpi, arguments, directory)
        faults = list(complaints(done, fragments))
        if sorted(path.name for path in directory.iterdir()) != ["taken"] or any((directory / "taken").iterdir()):
            faults.append("something was written")
        for fault in faults:
            yield f"new {' '.join(arguments)}: {fault}: {done.stdout}{done.stderr}"
        if not faults:
            print(done.stderr.strip())


def check_places(fedmpi, directory):
    """Where nothing can be made, and where nothing can be written."""
    done = new(fedmpi, ["strategy", "mine"], "/proc")
    yield from complaints(done, ["the directory mine cannot be made here"])

    def no_bytes():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    done = new(fedmpi, ["strategy", "mine"], directory, preexec_fn=no_bytes)
    yield from complaints(done, ["cannot be written"])
    if (directory / "mine").exists():
        yield "a folder without its files was left behind"


def check_contents(fedmpi, directory):
    for kind, expected in EXPECTED.items():
        place = directory / kind
        place.mkdir()
        done = new(fedmpi, [kind, "mine"], place)
        if done.returncode != 0:
            yield f"new {kind}: exit status {done.returncode}: {done.stderr}"
            continue
        files = sorted((place / "mine").iterdir())
        if [path.name for path in files] != expected:
            yield f"new {kind}: wrote {[path.name for path in files]}"
        for path in files:
            text = path.read_text(encoding="utf-8")
            if f"my_{kind}" in text or f"My{kind.capitalize()}" in text:
                yield f"{path}: the template's name is left"
            if path.suffix in (".cpp", ".toml", ".txt") and "mine" not in text:
                yield f"{path}: not the new name"
        if len((place / "mine" / "README.md").read_text(encoding="utf-8").splitlines()) != 3:
            yield f"new {kind}: its README has not three lines"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    fedmpi = str(pathlib.Path(arguments.fedmpi).resolve())
    workdir = arguments.workdir.resolve() / "new_plugin"
    shutil.rmtree(workdir, ignore_errors=True)
    faults = []
    for check in (check_refusals, check_places, check_contents):
        directory = workdir / check.__name__
        directory.mkdir(parents=True)
        faults += check(fedmpi, directory)
    for fault in faults:
        print(f"FAILED {fault}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
