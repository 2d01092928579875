"""Plugins that the program must refuse, as users meet them: in a job.

Each must end with exit status 2 and one sentence that names what is wrong, and leave the disk as it was: alone and under
mpirun. Last, a plugin that only fails once the run has begun: exit status 1, and still one sentence.
"""

import argparse
import pathlib
import shutil
import stat
import subprocess
import sys

from beginner_errors import JOB, Tools, complaints, content

FILES = None  # of tests/plugins: set by main


def copy(directory, name="idle", extra=b"", length=None):
    """A good plugin, with bytes after its end or without some of its last ones."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.so"
    path.write_bytes((FILES / "files" / "idle.so").read_bytes()[:length] + extra)
    return path


def nothing(directory):
    pass


def two_that_differ(directory):
    copy(directory / "one")
    copy(directory / "two", extra=b"another build")


def cut_short(directory):
    copy(directory / "plugins", length=5000)


def open_to_all(directory):
    path = copy(directory / "plugins")
    path.chmod(path.stat().st_mode | stat.S_IWOTH)


def a_link_to_nowhere(directory):
    (directory / "plugins").mkdir()
    (directory / "plugins" / "idle.so").symlink_to("gone.so")


def strategy(name, *settings):
    return [f"strategy.name={name}", *(f"strategy.{setting}" for setting in settings)]


# (name, what is prepared, directories that are searched, --set, fragments of the sentence); "files" and "incomplete" are
# those of tests/plugins
CASES = [
    ("not_a_library", nothing, ["files"], strategy("not_a_library"), ["cannot be loaded: invalid ELF header"]),
    ("cut_short", cut_short, ["plugins"], strategy("idle"), ["idle.so is cut short: copy it again"]),
    ("no_symbol", nothing, ["files"], strategy("no_symbol"), ["has no symbol 'fedmpi_plugin'"]),
    ("other_abi", nothing, ["files"], strategy("wrong_abi"), ["was built for plugin ABI", "build it again"]),
    ("other_torch", nothing, ["files"], strategy("wrong_stamp"), ["was built with torch=1.0 and this program with torch="]),
    ("other_name", nothing, ["files"], strategy("wrong_name"), ["the file must be called another.so"]),
    ("wrong_kind", nothing, ["files"], ["model.name=idle"], ["is a strategy plugin, and [model] asks for a model"]),
    ("throws_in_its_factory", nothing, ["files"], strategy("idle", "throw=true"),
     ["the strategy plugin 'idle' (", "could not be made: the constructor did not like it"]),
    ("throws_in_aggregate", nothing, ["files"], strategy("idle", "throw_in_round=1"),
     ["the strategy plugin 'idle' (", "made-up updates of 4 clients: aggregate did not like it"]),
    ("too_few_clients", nothing, [], strategy("bulyan", "num_malicious_clients=1"),
     ["job.toml: the strategy 'bulyan' with num_malicious_clients = 1 needs 7 clients in a round, but there are 4"]),
    ("misspelt_option", nothing, ["files"], strategy("idle", "rat=1"),
     ["[strategy] has no key 'rat'; did you mean 'rate'?"]),
    ("option_out_of_range", nothing, ["files"], strategy("idle", "rate=2"), ["'rate' in [strategy] must be between 0 and 1"]),
    ("broken_table", nothing, ["files"], strategy("bad_default"), ["the default of option 'rate' must be between 0 and 1"]),
    ("two_of_one_name", two_that_differ, ["one", "two"], strategy("idle"),
     ["there are two strategy plugins 'idle' that are not the same, one/idle.so and two/idle.so"]),
    ("missing_library", nothing, ["incomplete"], strategy("missing_dependency"),
     ["needs the library libfedmpi_test_absent.so, which is not there"]),
    ("missing_function", nothing, ["files"], strategy("unresolved"), ["undefined symbol: fedmpi_test_missing_function"]),
    ("not_there", nothing, ["files"], strategy("idel"), ["there is no strategy plugin 'idel'; did you mean 'idle'?"]),
    ("no_directory", nothing, ["nowhere"], strategy("idle"), ["the plugin directory nowhere", "does not exist"]),
    ("open_to_all", open_to_all, ["plugins"], strategy("idle"), ["the file may be written to by all", "--trust-plugins"]),
    ("a_link_to_nowhere", a_link_to_nowhere, ["plugins"], strategy("idle"), ["idle.so cannot be read"]),
]


def begin(workdir, name, prepare):
    directory = workdir / name
    directory.mkdir()
    (directory / "job.toml").write_text(JOB, encoding="utf-8")
    prepare(directory)
    return directory


def arguments_of(searched, settings):
    arguments = ["run", "job.toml"]
    for path in searched:
        arguments += ["--plugins", str(FILES / path) if path in ("files", "incomplete") else path]
    for setting in settings:
        arguments += ["--set", setting]
    return arguments


def refused(tools, directory, arguments, fragments, launcher):
    before = content(directory)
    done = tools.run(arguments, directory, launcher)
    faults = list(complaints(done, before, directory, fragments, bool(launcher)))
    if faults:
        faults.append(f"stdout and stderr:\n{done.stdout}{done.stderr}")
    elif not launcher:
        print(done.stderr.strip())
    return faults


def check(tools, case, workdir):
    name, prepare, searched, settings, fragments = case
    directory = begin(workdir, name, prepare)
    arguments = arguments_of(searched, settings)
    return [f"{how}: {fault}" for how, launcher in (("alone", ()), ("under mpirun", tools.mpirun))
            for fault in refused(tools, directory, arguments, fragments, launcher)]


def check_other_bytes_on_a_rank(tools, workdir):
    """Every rank finds a plugin of this name, but not the same one."""
    directory = begin(workdir, "other_bytes", two_that_differ)
    ranks = []
    for number, place in enumerate(("one", "two", "one")):
        ranks += [":"] if number else []
        ranks += ["-np", "1", "env", f"FEDMPI_PLUGIN_PATH={place}", tools.fedmpi, *arguments_of([], strategy("idle"))]
    before = content(directory)
    done = subprocess.run([tools.mpirun[0], *tools.mpirun[3:], *ranks], cwd=directory, env=tools.environment, timeout=120, capture_output=True,
                          text=True, check=False)
    faults = list(complaints(done, before, directory, ["rank 1 has other plugins"], True))
    return faults + ([f"stdout and stderr:\n{done.stdout}{done.stderr}"] if faults else [])


def check_twice_the_same(tools, workdir):
    """Two files of one name with the same bytes are one plugin."""
    directory = begin(workdir, "twice_the_same", lambda place: (copy(place / "one"), copy(place / "two")))
    done = tools.run(arguments_of(["one", "two"], strategy("idle")), directory)
    return [] if done.returncode == 0 else [f"exit status {done.returncode}\n{done.stderr}"]


def check_throws_later(tools, workdir):
    """Nobody can know that beforehand. What was done before stays."""
    directory = begin(workdir, "throws_later", nothing)
    arguments = arguments_of(["files"], ["run.rounds=3", *strategy("idle", "throw_in_round=2")])
    faults = []
    for how, launcher in (("alone", ()), ("under mpirun", tools.mpirun)):
        done = tools.run([*arguments, "--output", how.replace(" ", "_")], directory, launcher)
        ours = [line for line in done.stderr.splitlines() if line.startswith("fedmpi: ")]
        if done.returncode != 1 or len(ours) != 1 or "aggregate did not like it" not in ours[0]:
            faults.append(f"{how}: exit status {done.returncode}\n{done.stderr}")
        if not (directory / how.replace(" ", "_") / "checkpoints" / "round_0001.h5").exists():
            faults.append(f"{how}: the first round's checkpoint is not there")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--mpirun", required=True)
    parser.add_argument("--plugins", required=True, type=pathlib.Path, help="where tests/plugins was built")
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    global FILES
    FILES = arguments.plugins.resolve()
    workdir = arguments.workdir.resolve() / "bad_plugins"
    shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir(parents=True)
    tools = Tools(str(pathlib.Path(arguments.fedmpi).resolve()), arguments.mpirun)
    checks = {case[0]: lambda case=case: check(tools, case, workdir) for case in CASES}
    for other in (check_other_bytes_on_a_rank, check_twice_the_same, check_throws_later):
        checks[other.__name__.removeprefix("check_")] = lambda other=other: other(tools, workdir)
    num_failed = 0
    for name, run in checks.items():
        faults = run()
        for fault in faults:
            print(f"{name}: FAILED {fault}")
        num_failed += bool(faults)
    print(f"{len(checks) - num_failed} of {len(checks)} refused as they should be")
    sys.exit(num_failed != 0)


if __name__ == "__main__":
    main()
