"""The program as tests run it in a directory of their own, and what they read of its runs."""
import json
import pathlib
import shutil
import subprocess

import h5py
import numpy as np

from launching import environment, launcher

# Of a line of metrics: what does not depend on who computed it, nor on how fast.
RESULTS = ("digest", "fit", "evaluate", "central")


class Program:
    def __init__(self, args, name):
        """In args.workdir/name, which is emptied."""
        self.fedmpi, self.mpirun = pathlib.Path(args.fedmpi).resolve(), args.mpirun
        self.directory = pathlib.Path(args.workdir).resolve() / name
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)

    def __call__(self, *arguments, ranks=1, expected=0):
        launch = [] if ranks == 1 else launcher(self.mpirun, ranks)
        done = subprocess.run([*launch, self.fedmpi, *map(str, arguments)], cwd=self.directory, env=environment(), timeout=300,
                              text=True, capture_output=True, check=False)
        assert done.returncode == expected, f"{arguments}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def run(self, output, *settings, job="job.toml", **more):
        return self("run", job, "--output", output, *as_options(settings), **more)

    def check_plugin(self, name, *settings):
        return self("plugins", "--check", self.fedmpi.parents[1] / "plugins" / f"{name}.so", *as_options(settings))

    def rounds(self, output):
        """The lines of metrics.jsonl, the first from before any training."""
        text = (self.directory / output / "metrics.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def results(self, output):
        return [{key: line.get(key) for key in RESULTS} for line in self.rounds(output)]

    def digests(self, output):
        return [line["digest"] for line in self.rounds(output)]

    def tensors(self, output, number):
        """A checkpoint's tensors by name, and their entries in its layout likewise."""
        with h5py.File(self.directory / output / "checkpoints" / f"round_{number:04}.h5") as file:
            parameters, layout = file["parameters"][:], json.loads(file.attrs["layout"])
        values = {}
        for entry in layout:
            end = entry["offset"] + int(np.prod(entry["shape"], dtype=np.int64))
            values[entry["name"]] = parameters[entry["offset"]:end].reshape(entry["shape"])
        return values, {entry["name"]: entry for entry in layout}


def as_options(settings):
    return [word for setting in settings for word in ("--set", setting)]


def damaged(directory, source, dataset, name):
    """A copy of an HDF5 file with one bit of that dataset's first number another."""
    with h5py.File(directory / source) as file:
        place = file[dataset].id.get_chunk_info(0).byte_offset
    content = bytearray((directory / source).read_bytes())
    content[place] ^= 4
    (directory / name).write_bytes(content)
