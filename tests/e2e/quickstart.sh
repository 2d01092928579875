#!/usr/bin/env bash
# shellcheck disable=SC2016  # the stand-ins are scripts of their own
# What jobs/quickstart.sh decides: where the reviews come from, that sources never mix, that it can be started again.
# The build, the program and the network are stand-ins.
# Usage: quickstart.sh SOURCE_DIR SCRATCH_DIR
set -euo pipefail
source_dir=$1 scratch=$2
rm -rf "$scratch"
mkdir -p "$scratch/tree/build/release/bin" "$scratch/tree/data/minilm" "$scratch/bin"
scratch=$(readlink -f "$scratch")
tree=$scratch/tree
cp -r "$source_dir/jobs" "$tree/"
cp "$source_dir"/data/*.sh "$source_dir"/data/*.tsv "$tree/data/"
touch "$tree"/data/minilm/{config.json,model.safetensors,vocab.txt}
unset FEDMPI_IMDB

stand_in() {
  printf '#!/bin/sh\n%s\n' "$2" > "$1"
  chmod +x "$1"
}
echo "MPIEXEC_EXECUTABLE:FILEPATH=$scratch/bin/mpirun" > "$tree/build/release/CMakeCache.txt"
stand_in "$scratch/bin/cmake" 'true'
stand_in "$scratch/bin/curl" 'echo "no network" >&2; exit 6'
stand_in "$scratch/bin/mpirun" 'if [ "$1" = --version ]; then echo "mpirun (Open MPI) 5.0.11"; exit 0; fi
while [ "$1" != build/release/bin/fedmpi ]; do shift; done; exec "$@"'
stand_in "$tree/build/release/bin/fedmpi" 'echo "$@" >> calls
if [ "$1" = prepare ]; then mkdir -p "$8" && touch "$8/train.h5" "$8/test.h5"; exit 0; fi
mkdir -p "$4" && echo "round 3 of 3"'

failures=0
fail() {
  echo "FAILED: $1"
  failures=$((failures + 1))
}
# start NAME WANTED_CODE [arguments]: the quick start; its output in $output, the program's calls in $calls.
start() {
  local name=$1 wanted=$2 code=0
  shift 2
  rm -f "$tree/calls"
  output=$(PATH="$scratch/bin:$PATH" "$tree/jobs/quickstart.sh" --no-install --output "$scratch/run-$name" "$@" 2>&1) || code=$?
  calls=$(cat "$tree/calls" 2> /dev/null || true)
  ((code == wanted)) || fail "$name: exit $code, expected $wanted: $output"
}
says() { [[ $output == *"$1"* ]] || fail "it does not say '$1': $output"; }
calls() { [[ $calls == *"$1"* ]] || fail "the program is not called with '$1': $calls"; }
calls_not() { [[ $calls != *"$1"* ]] || fail "the program is called with '$1': $calls"; }

start sample 0
says "MADE-UP"
says "accuracy means nothing"
says "round 3 of 3"
says "Results: $scratch/run-sample"
calls "prepare imdb --archive build/sample/aclImdb --vocabulary data/minilm/vocab.txt --output data/imdb-sample"
calls "--set data.path=data/imdb-sample"

start sample-again 0
calls_not prepare
calls "--set data.path=data/imdb-sample"

echo reviews > "$scratch/archive.tar.gz"
start real 0 --archive "$scratch/archive.tar.gz"
calls "prepare imdb --archive $scratch/archive.tar.gz --vocabulary data/minilm/vocab.txt --output data/imdb"
calls_not data.path

start real-again 0 --archive "$scratch/archive.tar.gz" --ranks 3
calls_not prepare
start real-unnamed 0
calls_not prepare
calls_not data.path

echo other > "$scratch/other.tar.gz"
start other 1 --archive "$scratch/other.tar.gz"
says "were not prepared from $scratch/other.tar.gz"
start real 1
says "is there already"
start wrong-archive 1 --archive "$scratch/nothing"
says "there is no archive"

echo "$failures failed"
((failures == 0))
