"""How these tests start the program under mpirun, and what they know of its processes."""
import os
import pathlib
import tempfile

SESSIONS = tempfile.TemporaryDirectory(prefix="fedmpi-sessions-")


def environment():
    """Of one start. A launcher names its directory by its process number and cannot start where one that was killed has
    left its own under the same number: each start has a place of its own.
    """
    # More ranks than cores: idle ranks must yield, and a rank per core must not be asked for.
    return dict(os.environ, TMPDIR=tempfile.mkdtemp(dir=SESSIONS.name), OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                OMPI_MCA_mpi_yield_when_idle="1")


def launcher(mpirun, ranks):
    return [mpirun, "-np", str(ranks), "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none"]


def descendants(pid):
    """`pid`, the processes that it started, and theirs: a launcher's ranks are not in its process group."""
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8") as stat:
                parents[int(entry)] = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def rank_of(pid, fedmpi):
    """None when it is not a process of the program that a launcher has started."""
    try:
        if pathlib.Path(f"/proc/{pid}/exe").resolve() != pathlib.Path(fedmpi):
            return None
        variables = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return int(dict(variable.partition(b"=")[::2] for variable in variables if variable)[b"OMPI_COMM_WORLD_RANK"])
    except (OSError, KeyError):
        return None


def send(signal, pids):
    for pid in pids:
        try:
            os.kill(pid, signal)
        except ProcessLookupError:
            continue
