"""What fedmpi check predicts of one job on more ranks and nodes than there are: an extrapolation from one process here."""
import argparse
import json
import pathlib
import subprocess


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--shards", required=True, type=pathlib.Path, help="of movie reviews")
    parser.add_argument("--minilm", required=True, type=pathlib.Path)
    parser.add_argument("--ranks", default="8,64,256,1000")
    parser.add_argument("--ranks-a-node", type=int, default=2)
    parser.add_argument("--turns", type=int, default=2, help="each is checked so often, and the fastest counts")
    args = parser.parse_args()
    job = pathlib.Path(__file__).resolve().parents[3] / "jobs" / "imdb.toml"
    # The reviews of the train split over a thousand clients.
    settings = [f"data.path={args.shards}", f"model.path={args.minilm}", "federation.clients=1000", "data.train_examples_per_client=24",
                "data.test_examples_per_client=24"]
    counts = [int(ranks) for ranks in args.ranks.split(",")]
    best = {}
    for _ in range(args.turns):
        for ranks in counts:
            nodes = -(-ranks // args.ranks_a_node)
            command = [args.fedmpi, "check", job, "--json", "--output", "never", "--ranks", str(ranks), "--nodes", str(nodes)]
            command += [word for setting in settings for word in ("--set", setting)]
            facts = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            if ranks not in best or facts["seconds"]["round"] < best[ranks]["seconds"]["round"]:
                best[ranks] = facts
    print(" ranks  nodes      fit  evaluate  the rest    round   efficiency   sent a round   memory of a rank")
    first = best[counts[0]]
    for ranks in counts:
        facts, seconds = best[ranks], best[ranks]["seconds"]
        rest = seconds["round"] - seconds["fit"] - seconds["evaluate"]
        efficiency = first["seconds"]["round"] * first["ranks"]["hosts"] / (seconds["round"] * facts["ranks"]["hosts"])
        print(f"{ranks:6} {facts['ranks']['nodes']:6} {seconds['fit']:6.1f} s {seconds['evaluate']:7.1f} s {rest:7.2f} s "
              f"{seconds['round']:6.1f} s {100 * efficiency:10.0f} % {facts['bytes_sent'] / 1e9:11.1f} GB "
              f"{facts['memory']['host_bytes'] / 1e9:15.2f} GB")


if __name__ == "__main__":
    main()
