"""Namespaces of its own for a test: whatever it starts ends with it, even by SIGKILL, and its ports are nobody else's."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

ADDRESS = "10.0.0.1"
SKIPPED = 77  # the exit status by which ctest knows


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def enter():
    """Runs this program again in namespaces, root or not, and ends with its exit status. Within, returns a new directory,
    which goes at the end."""
    if inside := os.environ.get("FEDMPI_TEST_INSIDE"):
        _network_up()
        return inside
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net", "--uts", "--ipc"]
    if os.getuid() != 0:
        command += ["--user", "--map-current-user", "--keep-caps"]
    tried = subprocess.run([*command, "true"], text=True, capture_output=True, check=False)
    if tried.returncode != 0:
        skip(f"this machine gives no namespaces of one's own ({tried.stderr.strip()}): run the test as root or where users may make them")
    directory = tempfile.mkdtemp(prefix="slurm-")  # short: sockets lie in it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of `finally`
    process = subprocess.Popen([*command, sys.executable, *sys.argv], env=dict(os.environ, FEDMPI_TEST_INSIDE=directory))
    try:
        sys.exit(process.wait())
    finally:
        process.kill()
        process.wait()
        while os.path.exists(directory):  # what was in it may still be about to end
            shutil.rmtree(directory, ignore_errors=True)


def _network_up():
    """Loopback, and what looks like a network card: Open MPI's daemons do not speak over loopback."""
    for command in ("link add net0 type veth peer name net1", f"address add {ADDRESS}/24 dev net0", "link set net1 up",
                    "link set net0 up", "link set lo up"):
        subprocess.run(["ip", *command.split()], check=True)
