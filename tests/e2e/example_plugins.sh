#!/usr/bin/env bash
# Plugins of others against an installed tree: plugins/example/strategy as it stands, and what `fedmpi new` makes of the
# other two. Each is configured, built, tested and run. Then what find_package(fedmpi) says of a LibTorch that has gone.
# Usage: example_plugins.sh CMAKE INSTALLED_DIR EXAMPLES_DIR LIBTORCH_PREFIX SCRATCH_DIR
set -euo pipefail
cmake=$1 installed=$2 examples=$3 torch=$4 scratch=$5
rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch"
unset LD_LIBRARY_PATH FEDMPI_PLUGIN_PATH LibTorch_ROOT Torch_ROOT Torch_DIR CMAKE_PREFIX_PATH
# find_package looks beside the programs in PATH.
export PATH=$installed/bin:$PATH

fail() {
  echo "FAILED: $1"
  exit 1
}

# build_and_run SOURCE: in SOURCE/build, or ./build where SOURCE is not ours to write to
build_and_run() {
  "$cmake" -S "$1" -B build -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror" > configure.log || fail "$1: $(tail -n 20 configure.log)"
  "$cmake" --build build > build.log 2>&1 || fail "$1: $(tail -n 20 build.log)"
  ctest --test-dir build --no-tests=error --output-on-failure || fail "$1: its test failed"
  fedmpi run "$1/job.toml" --output run
  [[ $(wc -l < run/metrics.jsonl) == 6 ]] || fail "$1: the run has not five rounds and what was before"
}

mkdir example && cd example
build_and_run "$examples/strategy"
# Half of FedAvg's step: the option of the job is what it goes by.
fedmpi run "$examples/strategy/job.toml" --output whole --set strategy.server_learning_rate=1 > /dev/null
fedmpi run "$examples/strategy/job.toml" --output fedavg --set strategy.name=fedavg > /dev/null && fail "fedavg took an option that it has not"
sed -e 's/my_strategy/fedavg/' -e '/^server_learning_rate/d' -e '/^plugins/d' "$examples/strategy/job.toml" > fedavg.toml
fedmpi run fedavg.toml --output fedavg > /dev/null
digests() { sed -n 's/.*"digest": *"\([0-9a-f]*\)".*/\1/p' "$1/metrics.jsonl"; }
[[ $(digests whole) == "$(digests fedavg)" ]] || fail "with a server learning rate of 1 it is not FedAvg"
[[ $(digests run) != "$(digests whole)" ]] || fail "a server learning rate of 0.5 changes nothing"
"$cmake" --install build --prefix "$scratch/prefix" > install.log
[[ -f $scratch/prefix/lib/fedmpi/plugins/my_strategy.so ]] || fail "the plugin is not installed"
cd ..

for kind in model dataset; do
  fedmpi new "$kind" "plain_$kind"
  cd "plain_$kind"
  build_and_run .
  cd ..
  sed -e "s/my_$kind/plain_$kind/g" -e "s/My${kind^}/Plain${kind^}/g" "$examples/$kind/my_$kind.cpp" |
    cmp - "plain_$kind/plain_$kind.cpp" || fail "fedmpi new $kind: not the example with another name"
done

# refused WORDS [cmake arguments...]: configuring fails with one sentence that holds WORDS.
refused() {
  local words=$1 text
  shift
  rm -rf refused
  if "$cmake" -S "$examples/strategy" -B refused "$@" > refused.log 2>&1; then fail "accepted: $*"; fi
  text=$(tr -s ' \n' ' ' < refused.log)
  text=${text#*Reason given by package: }
  text=${text%%Call Stack*}
  text=${text%%-- Configuring incomplete*}
  [[ $text == *"$words"* ]] || fail "says '$text', expected '$words'"
  (($(grep -o '\. ' <<< "$text " | wc -l) == 1)) || fail "says more than one sentence: '$text'"
  echo "ok: $text"
}

# The same package, but for where its LibTorch was.
mkdir -p moved/lib/cmake
ln -s "$installed/bin" "$installed/include" moved/
ln -s "$installed/lib/libfedmpi_core.so" moved/lib/
cp -r "$installed/lib/cmake/fedmpi" moved/lib/cmake/
sed -i "s|$torch|$scratch/no-torch|g" moved/lib/cmake/fedmpi/fedmpiConfig.cmake
refused "in $scratch/no-torch, but $scratch/no-torch/include/ATen/ATen.h is not there any more" \
  "-Dfedmpi_DIR=$scratch/moved/lib/cmake/fedmpi"
refused "but there is no LibTorch in $scratch/nowhere" "-DLibTorch_ROOT=$scratch/nowhere"
mkdir -p other/include/torch
ln -s "$torch/include/ATen" other/include/ATen
ln -s "$torch/lib" other/lib
printf '#define TORCH_VERSION_%s\n' 'MAJOR 99' 'MINOR 1' 'PATCH 0' > other/include/torch/version.h
refused "LibTorch 99.1.0 in $scratch/other is not the one that the fedmpi in" "-DLibTorch_ROOT=$scratch/other"
"$cmake" -S "$examples/strategy" -B named -Dfedmpi_DIR="$scratch/moved/lib/cmake/fedmpi" "-DLibTorch_ROOT=$torch" > named.log 2>&1 ||
  fail "a LibTorch that is named is not taken: $(tail -n 5 named.log)"
echo "ok"
