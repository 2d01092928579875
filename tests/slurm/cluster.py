"""A real Slurm on this one machine: a controller and several nodes, each with a host name and shared memory of its own."""
import getpass
import os
import pathlib
import shutil
import socket
import subprocess
import time

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "unshare", "ip")
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
GUARD_SECONDS = 60
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=27000
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# cred_expire also is how long a requeued job waits.
AuthInfo=socket={directory}/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/%n/spool
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/%n/slurmd.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/%n/slurmd.log
TmpFS={directory}/%n/tmp
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
SchedulerParameters=bf_interval=1,sched_interval=2
ReturnToService=0
KillWait=5
SlurmdParameters=config_overrides
TreeWidth=65533
PropagateResourceLimits=NONE
SlurmdTimeout=60
GresTypes=gpu
NodeName={nodes} Gres=gpu:4 NodeAddr=127.0.0.1 Port=[27001-{last_port}] CPUs={cpus} RealMemory=100000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing():
    """Those of the programs that this machine lacks."""
    return [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]


class Cluster:
    """In namespaces of the test's own (see isolation.py), which end what is not ended here."""

    def __init__(self, directory, num_nodes, cpus):
        self.directory = pathlib.Path(directory)
        self.nodes = [f"n{i + 1}" for i in range(num_nodes)]
        self.cpus = cpus
        # TMPDIR: Open MPI's launcher names a directory there by its process number, of which others were left elsewhere.
        self.environment = dict(os.environ, PATH=PATH, SLURM_CONF=str(self.directory / "slurm.conf"), TMPDIR=str(self.directory / "tmp"))
        self.daemons = {}

    def __enter__(self):
        for part in ("state", "tmp", *(f"{node}/{kind}" for node in self.nodes for kind in ("spool", "tmp"))):
            (self.directory / part).mkdir(parents=True)
        (self.directory / "slurm.conf").write_text(CONFIGURATION.format(
            host=socket.gethostname(), user=getpass.getuser(), directory=self.directory, nodes=f"n[1-{len(self.nodes)}]",
            last_port=27000 + len(self.nodes), cpus=self.cpus), encoding="utf-8")
        # To be asked for. Slurm wants a device for each, whatever it is.
        devices = "".join(f"Name=gpu File=/dev/{device}\n" for device in ("null", "zero", "full", "random"))
        (self.directory / "gres.conf").write_text(devices, encoding="utf-8")
        key = self.directory / "munge.key"
        key.touch(0o400)
        key.chmod(0o600)
        key.write_bytes(os.urandom(128))
        files = (f"--{kind}-file={self.directory}/munge.{kind}" for kind in ("key", "pid", "log", "seed"))
        self._start("munged", "munged", "--foreground", "--force", *files, f"--socket={self.directory}/munge.sock")
        self._wait("munged's socket", (self.directory / "munge.sock").exists)
        self._start("slurmctld", "slurmctld", "-D", "-c")
        for node in self.nodes:
            self.start_node(node)
        self._wait("all nodes to be idle", lambda: self("sinfo", "-h", "-o", "%T %D").split() == ["idle", str(len(self.nodes))])
        return self

    def start_node(self, node):
        self._start(node, "unshare", "--uts", "--mount", "--propagation", "private", "sh", "-c",
                    f"hostname {node} && mount -t tmpfs none /dev/shm && exec slurmd -D -N {node}")

    def __call__(self, *command, cwd=None, variables=None):
        """What a command prints."""
        done = subprocess.run(command, env={**self.environment, **(variables or {})}, cwd=cwd, text=True, capture_output=True,
                              timeout=GUARD_SECONDS, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def version(self):
        return tuple(int(number) for number in self("srun", "--version").split()[1].split(".")[:2])

    def account(self):
        """The last lines of every daemon's log."""
        logs = sorted(self.directory.glob("**/slurm*.log"))
        return "".join(f"{log.name} of {log.parent.name}:\n" + "".join(log.read_text(encoding="utf-8").splitlines(True)[-15:]) for log in logs)

    def __exit__(self, *_):
        for daemon in self.daemons.values():
            daemon.kill()
            daemon.wait()

    def _start(self, name, *command):
        with (self.directory / f"{name}.out").open("wb") as out:
            self.daemons[name] = subprocess.Popen(command, env=self.environment, stdout=out, stderr=out)

    def _wait(self, what, condition):
        deadline = time.monotonic() + GUARD_SECONDS
        while not condition():
            for name, daemon in self.daemons.items():
                assert daemon.poll() is None, f"{name} ended:\n" + (self.directory / f"{name}.out").read_text(encoding="utf-8")
            assert time.monotonic() < deadline, f"waited {GUARD_SECONDS} s for {what}"
            time.sleep(0.05)
