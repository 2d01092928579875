#!/usr/bin/env bash
# `cmake --install` gives a program that runs from another prefix: it finds its library, LibTorch, MPI and its plugins.
# Usage: installed_program.sh CMAKE BUILD_DIR JOB SCRATCH_DIR
set -euo pipefail
cmake=$1 build_dir=$2 job=$3 scratch=$4
rm -rf "$scratch"
mkdir -p "$scratch"
"$cmake" --install "$build_dir" --prefix "$scratch/installed" > "$scratch/install.log"
mv "$scratch/installed" "$scratch/moved"
unset LD_LIBRARY_PATH FEDMPI_PLUGIN_PATH

used=$(ldd "$scratch/moved/bin/fedmpi" | sed -n 's/.*libfedmpi_core.so => \([^ ]*\).*/\1/p')
if [[ $(readlink -f "$used") != "$(readlink -f "$scratch/moved/lib/libfedmpi_core.so")" ]]; then
  echo "FAILED: it uses the library '$used', not the one installed with it"
  exit 1
fi
"$scratch/moved/bin/fedmpi" run "$job" --output "$scratch/run"
if [[ $(wc -l < "$scratch/run/metrics.jsonl") -lt 2 ]]; then
  echo "FAILED: the run wrote no rounds"
  exit 1
fi
test -f "$scratch/moved/include/fedmpi/plugin.hpp"
echo "ok"
