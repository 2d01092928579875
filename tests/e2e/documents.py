"""The commands that README.md and jobs/README.md show, as they stand, and the job of jobs/coming_from_flower.md.

They run in a directory of their own, in the order of the page, on a small model and a few made-up reviews in place of the
real ones. A command that is run by another test is named in ELSEWHERE; any other must run here.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

from launching import environment
from small_text import WORDS, write_model, write_reviews, write_vocabulary

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ("README.md", "jobs/README.md")
PROGRAMS = ("bash", "cd", "cmake", "ctest", "export", "fedmpi", "git", "mpirun", "pip", "python", "sbatch", "source", "srun")
# The beginning of a command, and the test that runs it.
ELSEWHERE = {
    "jobs/quickstart.sh": "quickstart", "tests/run.sh": "tests/run.sh itself", "sbatch slurm/": "slurm",
    "cmake --preset release": "quickstart", "cmake --install": "write_a_strategy", "export PATH=~/fedmpi": "write_a_strategy",
    "fedmpi new": "write_a_strategy", "cd mine": "write_a_strategy", "cmake -B build": "write_a_strategy",
    "cmake --build build": "write_a_strategy", "ctest --test-dir build": "write_a_strategy",
    "mpirun -np 3 fedmpi run job.toml": "write_a_strategy", "fedmpi plugins --check build/plugins/mine.so": "write_a_strategy",
    "data/get_minilm.sh": "tests/run.sh itself"}
# As the real jobs, with less of everything: the small model has one layer.
LESS = {"train_examples_per_client": 2, "test_examples_per_client": 1, "central_examples": 4, "max_tokens": 16, "train_layers": 1}


def blocks(page, language=""):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, flags=re.M | re.S)
    return [text for tag, text in found if tag == language]


def command_lines(page):
    """Without what explains them: after a '#', or after some blanks."""
    for block in blocks(page):
        for line in block.splitlines():
            command = re.split(r"\s+#|\s{3,}", line)[0].strip()
            if command.split(" ")[0] in PROGRAMS or re.match(r"\w+/\w+\.sh", command):
                yield command


def smaller(job):
    for key, value in LESS.items():
        job = re.sub(rf"^{key} = \d+", f"{key} = {value}", job, flags=re.M)
    return job


def prepare(directory, fedmpi, mpirun):
    """What the pages suppose: jobs, weights, an archive, programs on the path, and runs to compare."""
    (directory / "jobs").mkdir()
    for path in (ROOT / "jobs").glob("*.toml"):
        (directory / "jobs" / path.name).write_text(smaller(path.read_text(encoding="utf-8")), encoding="utf-8")
    write_reviews(directory / "aclImdb")
    with tarfile.open(directory / "aclImdb_v1.tar.gz", "w:gz") as archive:
        archive.add(directory / "aclImdb", arcname="aclImdb")
    (directory / "data").mkdir()
    write_model(directory / "data" / "minilm")
    write_vocabulary(directory / "data" / "minilm" / "vocab.txt", WORDS)
    (directory / "bin").mkdir()
    (directory / "bin" / "fedmpi").symlink_to(fedmpi)
    (directory / "bin" / "mpirun").symlink_to(mpirun)


def run(directory, command):
    where = dict(environment(), PATH=f"{directory}/bin:{os.environ['PATH']}", HOME=str(directory),
                 PRTE_MCA_rmaps_default_mapping_policy=":oversubscribe", PRTE_MCA_hwloc_default_binding_policy="none")
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=directory, env=where, timeout=300, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def every_command(directory):
    run(directory, "fedmpi prepare imdb --archive aclImdb_v1.tar.gz --vocabulary data/minilm/vocab.txt --output data/imdb")
    for seed in (1, 2):
        run(directory, f"fedmpi run jobs/smoke.toml --set seed={seed} --output runs/sweep-{seed}")
    ran = 0
    for name in PAGES:
        for command in command_lines((ROOT / name).read_text(encoding="utf-8")):
            if any(command.startswith(beginning) for beginning in ELSEWHERE):
                continue
            command = command.replace("runs/NAME", "runs/quickstart")
            for output in re.findall(r"(?:--output |export \S+ )(\S+)", command):  # of an earlier command
                shutil.rmtree(directory / output, ignore_errors=True)
            if "fedmpi check" in command:  # before the run, which was made for the commands after it
                command += " --output runs/later"
            if "--sweep" in command:
                command += " --set rounds=2"
            run(directory, command)
            print(f"{name}: {command}", flush=True)
            ran += 1
    assert ran >= 10, f"only {ran} commands were found"


def the_job_beside_flower(directory):
    (job,) = blocks((ROOT / "jobs" / "coming_from_flower.md").read_text(encoding="utf-8"), "toml")
    (directory / "flower.toml").write_text(smaller(job), encoding="utf-8")
    run(directory, "mpirun -np 3 fedmpi run flower.toml --output runs/flower")


def links_lead_somewhere(_):
    for name in (*PAGES, "jobs/coming_from_flower.md", "jobs/keys.md", "slurm/README.md", "data/README.md", "CONTRIBUTING.md"):
        page = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)", page):
            if "://" not in target:
                assert ((ROOT / name).parent / target).exists(), f"{name} links to {target}, which is not there"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--fedmpi", "--mpirun", "--workdir"):
        parser.add_argument(name, required=True)
    args = parser.parse_args()
    directory = pathlib.Path(args.workdir).resolve() / "documents"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    prepare(directory, pathlib.Path(args.fedmpi).resolve(), pathlib.Path(args.mpirun).absolute())
    for check in (every_command, the_job_beside_flower, links_lead_somewhere):
        check(directory)
        print(f"{check.__name__}: passed", flush=True)


if __name__ == "__main__":
    main()
