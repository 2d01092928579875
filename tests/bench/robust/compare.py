"""Robust aggregation of many clients' updates beside NumPy that stacks them, in one run: seconds and memory.

    compare.py --robust BUILD/tests/bench/robust --plugins BUILD/plugins --mpirun MPIRUN [--size 5000000] [--clients 64]

The NumPy side is what Flower's strategies do: one array of all updates; distances pair by pair.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

NAMES = ("fedmedian", "krum", "bulyan")


def made_up_update(client, size):
    j = np.arange(size, dtype=np.int64)
    mixed = (client * 7919 + j * 104729 + (client * j) % 1009 * 31) % 65521
    return (mixed / 65521.0 - 0.5).astype(np.float32)


def scores(distances, candidates, malicious):
    part = distances[np.ix_(candidates, candidates)]
    nearest = max(1, len(candidates) - malicious - 2)
    return np.sort(part, axis=1)[:, 1:1 + nearest].sum(axis=1)


def pairwise(stack):
    n = len(stack)
    distances = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            distances[i, j] = distances[j, i] = np.linalg.norm(stack[i] - stack[j]) ** 2
    return distances


def krum(stack, malicious):
    return stack[np.argmin(scores(pairwise(stack), list(range(len(stack))), malicious))]


def bulyan(stack, malicious):
    distances, left, chosen = pairwise(stack), list(range(len(stack))), []
    while len(chosen) < len(stack) - 2 * malicious:
        chosen.append(left.pop(int(np.argmin(scores(distances, left, malicious)))))
    stack = stack[sorted(chosen)]
    beta = len(stack) - 2 * malicious
    nearest = np.argpartition(np.abs(stack - np.median(stack, axis=0)), beta - 1, axis=0)[:beta]
    return np.take_along_axis(stack, nearest, axis=0).mean(axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--robust", "--plugins", "--mpirun"):
        parser.add_argument(name, required=True)
    parser.add_argument("--size", type=int, default=5_000_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--malicious", type=int, default=8)
    parser.add_argument("--ranks", type=int, default=4)
    args = parser.parse_args()
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                       OMPI_MCA_mpi_yield_when_idle="1")
    ours = subprocess.run([args.mpirun, "-np", str(args.ranks), "--map-by", ":OVERSUBSCRIBE", "--bind-to", "none", args.robust,
                           args.plugins, str(args.size), str(args.clients), str(args.malicious), *NAMES],
                          env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    ours = {one["strategy"]: one for one in map(json.loads, ours.splitlines())}
    stack = np.stack([made_up_update(client, args.size) for client in range(args.clients)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - stack.nbytes
    theirs = {"fedmedian": lambda: np.median(stack, axis=0), "krum": lambda: krum(stack, args.malicious),
              "bulyan": lambda: bulyan(stack, args.malicious)}
    print(f"{args.clients} clients with {args.size} parameters, {args.ranks} ranks, {os.cpu_count()} cores")
    print(f"{'':10} {'fedmpi':>9} {'NumPy':>9} {'ratio':>7}  {'memory of a rank':>17} {'of NumPy':>10}")
    for name in NAMES:
        started = time.perf_counter()
        result = theirs[name]()
        seconds = time.perf_counter() - started
        models = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / (4 * args.size)
        expected = result[[0, args.size // 2, args.size - 1]]
        if not np.allclose(ours[name]["values"], expected, rtol=0, atol=1e-6):
            sys.exit(f"{name}: {ours[name]['values']}, but NumPy gives {expected}")
        print(f"{name:10} {ours[name]['seconds']:7.1f} s {seconds:7.1f} s {seconds / ours[name]['seconds']:6.1f}x  "
              f"{ours[name]['models']:10.1f} models {models:6.0f} models", flush=True)


if __name__ == "__main__":
    main()
