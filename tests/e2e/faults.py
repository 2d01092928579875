"""Whatever is done to a run at a random moment, it goes on to the same digests.

    faults.py --fedmpi PROGRAM --mpirun MPIRUN --workdir DIR [--seed 1] [--count 5] [--only stop kill ...]
              [--job exchange] [--plugins DIR --transport NAME]

Runs a small job undisturbed once, then disturbs it `count` times in each way, goes on with it on another number of ranks
and compares every round's digest. With a transport plugin the runs that are disturbed have it, and the undisturbed one has MPI. A failure names its number: the same seed and --only and a --count past it repeat it.
"""
import argparse
import json
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time

from launching import descendants, environment, launcher, rank_of, send

GUARD_SECONDS = 60
STOPPED = 3  # the exit status of a run that was stopped in order
HEAD = """\
[run]
name = "faults"
rounds = 12
threads = 1
[federation]
clients = 5
frozen_rank_seconds = 1.5
[model]
"""
FITTING = HEAD + """\
name = "logistic"
num_features = 400
[data]
name = "synthetic"
num_features = 400
train_examples = 10000
test_examples = 200
[training]
local_epochs = 3
batch_size = 4
learning_rate = 0.01
learning_rate_schedule = "linear"
[checkpoint]
every = 2
"""
# Fitting takes a moment and the model is large enough for node memory: what happens hits the collectives.
EXCHANGE = HEAD + """\
name = "mlp"
hidden = [1500, 1500]
[data]
name = "synthetic"
train_examples = 60
test_examples = 20
[checkpoint]
every = 6
"""
JOBS = {"fitting": FITTING, "exchange": EXCHANGE}


class Failure(Exception):
    pass


class Tools:
    def __init__(self, args):
        self.fedmpi, self.mpirun = str(pathlib.Path(args.fedmpi).resolve()), args.mpirun
        self.tcp_share = args.tcp_share
        self.transport = ["--plugins", args.plugins.resolve(), "--set", f"federation.transport={args.transport}"] if args.plugins else []
        self.expected = []
        self.noticed = 0  # losses of ranks that a run had to do something about
        self.restored = 0  # runs that went on with parts of rounds
        self.directory = args.workdir.resolve() / f"faults_{args.job}{'_transport' if args.plugins else ''}"

    def start(self, ranks, output, *arguments, launcher_options=(), **more):
        """0 ranks: one, without a launcher."""
        launch = [*launcher(self.mpirun, ranks), *launcher_options] if ranks > 0 else []
        command = [*launch, self.fedmpi, "run", str(self.directory / "job.toml"), "--output", output, *self.transport, *arguments]
        with self.said(output).open("ab") as said:
            return subprocess.Popen(command, env=environment(), cwd=self.directory, stdout=said, stderr=said, **more)

    @staticmethod
    def said(output):
        """What the runs with this run directory print."""
        return output.with_name(f"{output.name}.txt")

    def wait(self, process):
        try:
            return process.wait(GUARD_SECONDS)
        except subprocess.TimeoutExpired:
            send(signal.SIGKILL, descendants(process.pid))
            process.wait()
            raise Failure(f"it did not end within {GUARD_SECONDS} s") from None

    def go_on(self, ranks, output):
        """To the end: resumes where there is something to resume."""
        resume = ["--resume"] if list((output / "checkpoints").glob("round_????.h5")) else []
        status = self.wait(self.start(ranks, output, *resume))
        if status != 0:
            raise Failure(f"going on with {resume} gave exit status {status}")


def digests(output):
    lines = (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["digest"] for line in lines]


def account(*files):
    """The last lines of files that are there."""
    return "".join(f"{file.name}:\n" + "".join(file.read_text(encoding="utf-8", errors="replace").splitlines(True)[-30:])
                   for file in files if file.exists())


def ranks_of(process, fedmpi):
    """The processes of the program itself, by their ranks."""
    ranks = {rank_of(pid, fedmpi): pid for pid in descendants(process.pid)}
    ranks.pop(None, None)
    return ranks


def stop(tools, dice, output, seconds):
    """A signal to the launcher or to a rank. mpirun forwards SIGUSR1; SIGTERM and SIGINT it takes for the job's end, and
    kills the ranks a quarter of a second after it told them."""
    number = dice.choice([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
    to_launcher = dice.random() < 0.5
    when = dice.choice(["abandon", "finish"])
    process = tools.start(dice.randint(1, 4), output, "--on-signal", when)
    time.sleep(dice.uniform(0, seconds))
    ranks = ranks_of(process, tools.fedmpi)
    begun = (output / "checkpoints").exists() and bool(list((output / "checkpoints").glob("round_????.h5")))
    send(number, [process.pid] if to_launcher else [dice.choice(list(ranks.values()))] if ranks else [])
    status = tools.wait(process)
    what = f"{number.name} to {'mpirun' if to_launcher else 'a rank'}, --on-signal {when}: exit status {status}"
    if begun:
        ended_by_launcher = to_launcher and number != signal.SIGUSR1
        if status not in ((0, 1, STOPPED) if ended_by_launcher else (0, STOPPED)):
            raise Failure(what)
        left = [path.name for path in output.rglob("*") if ".tmp." in path.name]
        if left:
            raise Failure(f"{what}, half-written: {left}")
    return what


def kill(tools, dice, output, seconds, *arguments):
    """Everything at once, the launcher too."""
    process = tools.start(dice.randint(1, 4), output, *arguments)
    time.sleep(dice.uniform(0, seconds))
    send(signal.SIGKILL, descendants(process.pid))
    process.wait()
    return "killed"


def kill_within(tools, dice, output, seconds):
    """A run that keeps what it has of a round. Only round 0 has a checkpoint, so that most kills leave such a part."""
    kill(tools, dice, output, seconds, "--set", "checkpoint.within_round_seconds=0.001", "--set", "checkpoint.every=0")
    return f"killed, parts of rounds kept: {len(list(output.glob('checkpoints/partial_round_*.h5')))}"


def full_disk(tools, dice, output, seconds):
    """No file may grow beyond a random size. Without a launcher, which would not stand that itself."""
    limit = dice.randint(0, 25_000)
    process = tools.start(0, output, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    status = tools.wait(process)
    if status not in (0, 1) or (status == 0 and digests(output) != tools.expected):
        raise Failure(f"with files of at most {limit} bytes: exit status {status}")
    return f"files of at most {limit} bytes: exit status {status}"


def corrupt(tools, dice, output, seconds):
    """Some bytes of the newest checkpoint change after the run was killed."""
    kill(tools, dice, output, seconds)
    checkpoints = sorted((output / "checkpoints").glob("round_????.h5"))
    if len(checkpoints) < 2:
        return "nothing to corrupt yet"
    content = bytearray(checkpoints[-1].read_bytes())
    for _ in range(dice.randint(1, 4)):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    checkpoints[-1].write_bytes(content)
    return f"changed {checkpoints[-1].name}"


def start_to_lose(tools, dice, output, seconds):
    """Four ranks that may be lost, at a random moment of their run. Also the options for the transport."""
    transport = ["--mca", "btl", "self,tcp"] if dice.random() < tools.tcp_share else []
    process = tools.start(4, output, launcher_options=["--with-ft", "ulfm", *transport])
    # Before the run has begun MPI itself may still be starting, and cannot do without anybody.
    while not (output / "metrics.jsonl").exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(dice.uniform(0, 0.7 * seconds))
    return process, transport


def lose(tools, dice, output, seconds, victims, number=signal.SIGKILL, pause=0.0):
    """Ranks are killed, with so much time between them, and the others go on to the end without being started again."""
    process, transport = start_to_lose(tools, dice, output, seconds)
    ranks = ranks_of(process, tools.fedmpi)
    hit = [ranks[victim] for victim in victims if victim in ranks]
    for i, pid in enumerate(hit):
        time.sleep(pause if i > 0 else 0)
        send(number, [pid])
    if number == signal.SIGKILL:  # what a message to the dead may bring the others, at a moment of its own
        send(signal.SIGPIPE, set(ranks.values()) - set(hit))
    # The server ends last: once its work is done nobody is left who would end it.
    if number == signal.SIGSTOP and 0 in victims and len(digests(output)) == len(tools.expected):
        send(signal.SIGCONT, hit)
    status = tools.wait(process)
    what = f"{number.name} to rank {' and '.join(map(str, victims))}{' over TCP' if transport else ''}"
    if status != 0:
        raise Failure(f"{what}: exit status {status}")
    if digests(output) != tools.expected:
        raise Failure(f"{what}: other digests")
    noticed = any("lost" in log.read_text(encoding="utf-8") for log in (output / "log").iterdir())
    tools.noticed += noticed
    return what if noticed else f"{what}, after its work was done"


def lose_a_host(tools, dice, output, seconds):
    return lose(tools, dice, output, seconds, [dice.randint(1, 3)])


def lose_two_hosts(tools, dice, output, seconds):
    return lose(tools, dice, output, seconds, dice.sample([1, 2, 3], 2))


def lose_the_server(tools, dice, output, seconds):
    return lose(tools, dice, output, seconds, [0])


def lose_two_servers(tools, dice, output, seconds):
    """The second while the ranks go on from a checkpoint without the first, more often than not."""
    return lose(tools, dice, output, seconds, [0, 1], pause=dice.uniform(0, 0.3))


def lose_and_stop(tools, dice, output, seconds):
    """A rank is killed and a signal stops the run, one shortly after the other."""
    process, transport = start_to_lose(tools, dice, output, seconds)
    ranks = ranks_of(process, tools.fedmpi)
    victim = dice.randint(0, 3)
    both = [(signal.SIGKILL, [ranks[victim]] if victim in ranks else []), (signal.SIGUSR1, [process.pid])]
    dice.shuffle(both)
    for number, pids in both:
        send(number, pids)
        time.sleep(dice.uniform(0, 0.1))
    status = tools.wait(process)
    what = f"SIGKILL to rank {victim} and SIGUSR1 to all{' over TCP' if transport else ''}: exit status {status}"
    if status not in (0, STOPPED):
        raise Failure(what)
    return what


def freeze(tools, dice, output, seconds):
    """A rank is stopped for good: the others end it and go on."""
    return lose(tools, dice, output, seconds, [dice.randint(0, 3)], signal.SIGSTOP)


FAULTS = {fault.__name__: fault
          for fault in (stop, kill, kill_within, full_disk, corrupt, lose_a_host, lose_two_hosts, lose_the_server, lose_two_servers,
                        lose_and_stop, freeze)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--mpirun", required=True)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--tcp-share", type=float, default=0.2, help="of the runs that lose ranks, over TCP")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--plugins", type=pathlib.Path, help="directory of a transport plugin")
    parser.add_argument("--transport", default="stand_in", help="its name")
    parser.add_argument("--job", choices=JOBS, default="fitting", help="what most of its time is spent on")
    args = parser.parse_args()
    tools = Tools(args)
    shutil.rmtree(tools.directory, ignore_errors=True)
    tools.directory.mkdir(parents=True)
    (tools.directory / "job.toml").write_text(JOBS[args.job], encoding="utf-8")
    started = time.time()
    transport, tools.transport = tools.transport, []
    tools.go_on(3, tools.directory / "undisturbed")
    tools.transport = transport
    seconds = time.time() - started
    tools.expected = digests(tools.directory / "undisturbed")
    print(f"undisturbed: {len(tools.expected) - 1} rounds in {seconds:.1f} s, {tools.expected[-1][:12]}", flush=True)
    failures = 0
    for name in args.only:
        for i in range(args.count):
            dice = random.Random(f"{args.seed} {name} {i}")
            output = tools.directory / f"{name}{i}"
            what = ""
            try:
                what = FAULTS[name](tools, dice, output, seconds)
                tools.go_on(dice.randint(1, 4), output)
                if digests(output) != tools.expected:
                    raise Failure("other digests")
                left = [path.name for path in output.glob("checkpoints/partial_round_*")]
                if left:
                    raise Failure(f"parts of rounds left: {left}")
                tools.restored += "were fitted before" in tools.said(output).read_text(encoding="utf-8")
                shutil.rmtree(output)
                tools.said(output).unlink()
            except Failure as failure:
                failures += 1
                print(f"{name} {i}: FAILED: {what} {failure} (left in {output})", flush=True)
                print(textwrap.indent(account(tools.said(output), *sorted(output.glob("log/*"))), "    "), flush=True)
            else:
                print(f"{name} {i}: {what}, went on to the same digests", flush=True)
    if args.count > 4 and {"lose_a_host", "lose_two_hosts", "lose_the_server", "lose_two_servers"} & set(args.only) and tools.noticed == 0:
        sys.exit("every rank was killed too late to be missed")
    if args.count > 4 and "kill_within" in args.only and tools.restored == 0:
        sys.exit("no part of a round was ever gone on with")
    print(f"{failures} failures")
    sys.exit(failures != 0)


if __name__ == "__main__":
    main()
