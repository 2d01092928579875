#!/usr/bin/env bash
# `cmake --install` gives a program that runs from another prefix: it finds its library, LibTorch, MPI and its plugins.
# What it leaves in SCRATCH_DIR/moved others go on from.
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
if ldd "$scratch"/moved/bin/fedmpi "$scratch"/moved/lib/*.so "$scratch"/moved/lib/fedmpi/plugins/*.so |
  grep -vF "$scratch/moved" | grep -F -e 'not found' -e "$build_dir/"; then
  echo "FAILED: a library is missing, or is one of the build tree"
  exit 1
fi
"$scratch/moved/bin/fedmpi" run "$job" --output "$scratch/run"
if [[ $(wc -l < "$scratch/run/metrics.jsonl") -lt 2 ]]; then
  echo "FAILED: the run wrote no rounds"
  exit 1
fi
test -f "$scratch/moved/include/fedmpi/plugin.hpp"
test -f "$scratch/moved/share/fedmpi/templates/strategy/my_strategy.cpp"
grep -q '^\.SH NAME' "$scratch/moved/share/man/man1/fedmpi.1"
grep -q '^complete .* fedmpi$' "$scratch/moved/share/bash-completion/completions/fedmpi"
# The places it was built and installed in may be gone; LibTorch may lie under the former, in build/venv.
if grep -rF -e "$build_dir" -e "$scratch/installed" "$scratch/moved/lib/cmake"; then
  echo "FAILED: the package names the build tree or the place it was installed in"
  exit 1
fi
echo "ok"
