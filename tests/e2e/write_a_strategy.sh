#!/usr/bin/env bash
# README's "Write a strategy", command for command: from an empty folder to a federated run with a strategy of one's own.
# Usage: write_a_strategy.sh README BUILD_DIR MPIRUN SCRATCH_DIR
set -euo pipefail
readme=$1 build_dir=$2 mpirun=$3 scratch=$4
rm -rf "$scratch"
mkdir -p "$scratch/home" "$scratch/empty/build"
cd "$scratch/empty"
unset LD_LIBRARY_PATH FEDMPI_PLUGIN_PATH LibTorch_ROOT Torch_ROOT Torch_DIR CMAKE_PREFIX_PATH
# What README has built by then, and more ranks than cores.
ln -s "$build_dir" build/release
export HOME=$scratch/home PATH=${mpirun%/*}:$PATH PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
export PRTE_MCA_hwloc_default_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

# The code blocks of the section.
sed -n '/^## Write a strategy$/,/^## /{/^```$/,/^```$/{/^```$/!p}}' "$readme" > commands
if ! grep -q '^fedmpi new strategy mine' commands || ! grep -q '^mpirun .*fedmpi run' commands; then
  echo "FAILED: README does not show the way any more:"
  cat commands
  exit 1
fi
start=$SECONDS
bash -euxo pipefail commands
cd mine
if [[ $(wc -l < runs/mine/metrics.jsonl) != 6 ]]; then
  echo "FAILED: the run has not five rounds and what was before"
  exit 1
fi
grep -q '^name = "mine"' runs/mine/job.toml
echo "ok: from an empty folder to a finished run in $((SECONDS - start)) s"
