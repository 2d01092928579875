"""One job gives the same digests whatever runs it.

Runs a job with 1, 2, 3 and 8 ranks and with 1 and 2 threads a rank, then kills a run in the middle and resumes it on
another number of ranks, and compares the digests and the losses of every round.
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from launching import descendants, environment, launcher, send

GUARD_SECONDS = 600


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--mpirun", required=True)
    parser.add_argument("--job", required=True)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--minilm", default="", help="directory of the model, for a job that needs one")
    parser.add_argument("--archive", default="", help="aclImdb_v1.tar.gz, for a job that needs it")
    parser.add_argument("--set", action="append", default=[], help="passed on to fedmpi run")
    return parser.parse_args()


def command(args, ranks, threads, output, *more):
    settings = [f"run.threads={threads}"] + args.set
    flat = [word for setting in settings for word in ("--set", setting)]
    return [*launcher(args.mpirun, ranks), args.fedmpi, "run", args.job, "--output", output, *flat, *more]


def run(args, ranks, threads, output, *more):
    started = time.time()
    done = subprocess.run(command(args, ranks, threads, output, *more), env=environment(), timeout=GUARD_SECONDS,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{ranks} ranks, {threads} threads: exit status {done.returncode}\n{done.stdout}")
    return time.time() - started


def rounds(output):
    with open(os.path.join(output, "metrics.jsonl")) as lines:
        return [json.loads(line) for line in lines]


def results(output):
    """What must not depend on who computed it: all but times, bytes and memory."""
    return [{key: line.get(key) for key in ("round", "digest", "clients", "failures", "fit", "evaluate", "central")}
            for line in rounds(output)]


def kill_after_first_round(args, ranks, output):
    """Whether the run was still going on when it was killed."""
    process = subprocess.Popen(command(args, ranks, 1, output), env=environment(), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    deadline = time.time() + GUARD_SECONDS
    while process.poll() is None and time.time() < deadline:
        if os.path.exists(os.path.join(output, "checkpoints", "round_0001.h5")):
            break
        time.sleep(0.002)
    send(signal.SIGKILL, descendants(process.pid))
    process.wait()
    return process.returncode != 0


def main():
    args = arguments()
    if args.archive or args.minilm:
        if not (os.path.exists(args.archive) and os.path.isdir(args.minilm)):
            print("skipped: this job needs the review archive and MiniLM")
            sys.exit(77)
    shutil.rmtree(args.workdir, ignore_errors=True)
    os.makedirs(args.workdir)
    if args.archive:
        data = os.path.join(args.workdir, "imdb")
        subprocess.run([args.fedmpi, "prepare", "imdb", "--archive", args.archive, "--vocabulary",
                        os.path.join(args.minilm, "vocab.txt"), "--output", data], check=True)
        args.set += [f"data.path={data}", f"model.path={args.minilm}"]
    reference = None
    for ranks, threads in ((1, 1), (1, 2), (2, 2), (3, 1), (8, 1)):
        output = os.path.join(args.workdir, f"ranks{ranks}_threads{threads}")
        seconds = run(args, ranks, threads, output)
        digests = [line["digest"][:12] for line in rounds(output)]
        print(f"{ranks} ranks, {threads} threads: {' '.join(digests)}  ({seconds:.1f} s)", flush=True)
        if len(set(digests)) != len(digests):
            sys.exit("two rounds have one digest: nothing was learned")
        reference = reference or results(output)
        if results(output) != reference:
            sys.exit(f"not the same:\n{reference}\n{results(output)}")
    for attempt in range(5):
        output = os.path.join(args.workdir, f"killed{attempt}")
        if kill_after_first_round(args, 3, output):
            break
    else:
        sys.exit("the run ended before it could be killed: give it more rounds")
    run(args, 2, 2, output, "--resume")
    print(f"killed after round 1, resumed on 2 ranks: {' '.join(line['digest'][:12] for line in rounds(output))}")
    if results(output) != reference:
        sys.exit(f"not the same after resuming:\n{reference}\n{results(output)}")
    print("the same digests and losses everywhere")


if __name__ == "__main__":
    main()
