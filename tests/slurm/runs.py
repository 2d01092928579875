"""Jobs of the program on the test's cluster, and what they leave."""
import json
import pathlib
import re
import subprocess
import time

GUARD_SECONDS = 600


class Failure(Exception):
    pass


def smaller(script):
    """With fewer ranks, of one processor each."""
    for option, value in (("ntasks", "4"), ("ntasks-per-node", "1"), ("cpus-per-task", "1"), ("mem-per-cpu", "10M")):
        script = re.sub(rf"^(#SBATCH .*--{option})=\w+", rf"\1={value}", script, flags=re.MULTILINE)
    return script


class Runs:
    def __init__(self, cluster, fedmpi, mpirun, stand_in, source, workdir):
        self.cluster, self.fedmpi, self.mpirun, self.stand_in = cluster, fedmpi, mpirun, stand_in
        self.source, self.workdir = source, workdir
        self.references = {}
        (workdir / "jobs").symlink_to(source / "jobs")
        (workdir / "slurm").mkdir()
        for script in (source / "slurm").glob("*.sbatch"):
            (workdir / "slurm" / script.name).write_text(smaller(script.read_text(encoding="utf-8")), encoding="utf-8")
        # Open MPI does not see that all nodes share a few cores: idle ranks and threads must yield.
        cluster.environment.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_mpi_yield_when_idle="1",
                                   OMP_WAIT_POLICY="passive", FEDMPI=str(fedmpi), MPIRUN=mpirun, JOB=str(workdir / "job.toml"))

    def situation(self):
        """Where commands are typed, and a launcher that they need not name."""
        return {"cwd": self.workdir, "variables": {"LAUNCHER": self.mpirun}}

    def submit(self, script, name, *options, launcher=None, settings=()):
        """A script of slurm/ as it stands, with sbatch's options; the run is in `name`. Returns the job's number."""
        words = [word for setting in settings for word in ("--set", setting)]
        variables = {"OUTPUT": name, **({"LAUNCHER": launcher} if launcher else {})}
        return self.cluster("sbatch", "--parsable", *options, f"slurm/{script}", *words, cwd=self.workdir,
                            variables=variables).strip()

    def finish(self, job, state="COMPLETED", tasks=1):
        """Waits for a job, of an array for all its tasks."""
        self.wait(f"job {job} to end", lambda: not self.cluster("squeue", "--noheader", "--jobs", job, "--states=all").strip()
                  or not self.cluster("squeue", "--noheader", "--jobs", job).strip())
        states = re.findall(r" JobState=(\w+)", self._show(job))
        if states != [state] * len(states) or len(states) < tasks:
            raise Failure(f"job {job} is {states}, not {state}:\n{self.printed(job)[-3000:]}")

    def restarts(self, job):
        return int(re.search(r" Restarts=(\d+)", self._show(job)).group(1))

    def _show(self, job):
        return self.cluster("scontrol", "show", "job", "--oneliner", job)

    def printed(self, job):
        """What a job printed so far."""
        return "".join(log.read_text(encoding="utf-8", errors="replace") for log in self.workdir.glob(f"*-{job}*.log"))

    def log(self, name):
        return (self.workdir / name / "log" / "rank_00.log").read_text(encoding="utf-8")

    def metrics(self, name):
        path = self.workdir / name / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def compare(self, name, *settings):
        """With the digests of one process alone, of which no launcher and no Slurm knows."""
        if settings not in self.references:
            output = f"reference-{len(self.references)}"
            words = [word for setting in settings for word in ("--set", setting)]
            subprocess.run([self.fedmpi, "run", "job.toml", "--output", output, *words], cwd=self.workdir, check=True,
                           capture_output=True, timeout=GUARD_SECONDS)
            self.references[settings] = [line["digest"] for line in self.metrics(output)]
        found = [line["digest"] for line in self.metrics(name)]
        assert found == self.references[settings], f"{name}: {len(found)} rounds, other digests than undisturbed"

    def wait_for_rounds(self, name, number):
        self.wait(f"{number} rounds of {name}", lambda: len(self.metrics(name)) >= number)

    def wait(self, what, condition):
        deadline = time.monotonic() + GUARD_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise Failure(f"waited {GUARD_SECONDS} s for {what}\n{self.cluster('squeue')}")
            time.sleep(0.2)

    def ranks(self):
        """The processes of the program under mpirun, by their ranks."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "exe").resolve() == self.fedmpi:
                    variables = dict(pair.partition(b"=")[::2] for pair in (entry / "environ").read_bytes().split(b"\0"))
                    found[int(variables[b"OMPI_COMM_WORLD_RANK"])] = int(entry.name)
            except (OSError, KeyError):
                continue
        return found
