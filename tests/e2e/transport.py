"""A run whose parameters a transport plugin carries gives what it gives over MPI, and says clearly what is missing for it.

    transport.py --fedmpi PROGRAM --mpirun MPIRUN --plugins DIR --workdir DIR

DIR holds "stand_in", the transport "nccl" over a stand-in for NCCL that needs no GPU.
"""
import argparse
import json
import os
import pathlib

from program import Program, as_options

JOB = """
[run]
name = "transport"
rounds = 3
threads = 1
[federation]
clients = 7
[model]
name = "mlp"
hidden = [300]
[data]
name = "synthetic"
train_examples = 280
test_examples = 70
partition = { name = "dirichlet", alpha = 1.0, min_partition_size = 5 }
[training]
batch_size = 8
optimizer = "sgd"
learning_rate = 0.05
[checkpoint]
keep = 0
"""
OTHER_TRANSPORT = "federation.transport=stand_in"
OVER_MPI = "federation.transport=mpi"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fedmpi", required=True)
    parser.add_argument("--mpirun", required=True)
    parser.add_argument("--plugins", required=True, type=pathlib.Path)
    parser.add_argument("--workdir", required=True)
    args = parser.parse_args()
    program = Program(args, "transport")
    (program.directory / "job.toml").write_text(JOB, encoding="utf-8")
    with_plugin = ("--plugins", args.plugins.resolve())

    def carried(output, *settings, ranks, **more):
        words = as_options((OTHER_TRANSPORT, *settings))
        return program("run", "job.toml", "--output", output, *with_plugin, *words, ranks=ranks, **more)

    for strategy in ("fedavg", "scaffold", "fedadam", "krum"):
        chosen = f"strategy.name={strategy}"
        program.run(f"{strategy}_mpi", chosen, ranks=2)
        for ranks in (1, 2, 5):
            carried(f"{strategy}_{ranks}", chosen, ranks=ranks)
            assert program.results(f"{strategy}_{ranks}") == program.results(f"{strategy}_mpi"), (strategy, ranks)

    # A run may go on with another transport, and be verified with any.
    carried("two", "run.rounds=2", ranks=3)
    program("run", "job.toml", "--output", "two", "--resume", ranks=2)
    assert program.digests("two") == program.digests("fedavg_mpi")
    last = "fedavg_5/checkpoints/round_0003.h5"
    assert "reproduced: round 3" in program("verify", last, *with_plugin, ranks=2).stderr
    assert "reproduced: round 3" in program("verify", last, "--set", OVER_MPI).stderr
    # A model that the ranks of a node would not send each other, but a transport does.
    large = ("model.hidden=[600,600]", "run.rounds=2")
    facts = json.loads(program("check", "job.toml", "--json", *with_plugin, *as_options((OTHER_TRANSPORT, *large)), ranks=3).stdout)
    carried("large", *large, ranks=3)
    sent = program.rounds("large")[2]["bytes_sent"]
    assert abs(facts["bytes_sent"] - sent) < 0.05 * sent and sent > 8_000_000, (facts["bytes_sent"], sent)

    def refused(sentence, *settings, fault="", output="refused", **more):
        os.environ["FEDMPI_STAND_IN"] = fault
        done = carried(output, *settings, expected=2, **more)
        del os.environ["FEDMPI_STAND_IN"]
        assert sentence in done.stderr, done.stderr
        assert not (program.directory / output).exists(), f"{output} was written"

    refused("ranks 0 and 1 would both use GPU 0, and this transport takes one for each rank", fault="same_gpu", ranks=3)
    refused("told to find no GPU", fault="no_gpu", ranks=2)
    refused("there is no transport plugin 'stand_on'; did you mean 'stand_in'", "federation.transport=stand_on", ranks=2)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # no GPU, or a LibTorch that knows none
    refused("run.device = \"cuda\"", "run.device=cuda", ranks=2)
    del os.environ["CUDA_VISIBLE_DEVICES"]

    # A failure of the transport's own ends the job; what was done before is there, to be gone on with.
    os.environ.update(FEDMPI_STAND_IN="fails", FEDMPI_STAND_IN_RANK="1")
    done = carried("failed", ranks=3, expected=1)
    assert "NCCL could not" in done.stderr and "told to fail" in done.stderr, done.stderr
    os.environ.update(FEDMPI_STAND_IN="never_joins")
    done = carried("alone", "federation.transport_join_seconds=1", ranks=3, expected=1)
    assert "NCCL: not all 3 ranks came together within 1 s" in done.stderr, done.stderr
    assert not (program.directory / "alone").exists()
    del os.environ["FEDMPI_STAND_IN"], os.environ["FEDMPI_STAND_IN_RANK"]
    print("ok")


if __name__ == "__main__":
    main()
