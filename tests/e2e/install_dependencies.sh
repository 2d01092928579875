#!/usr/bin/env bash
# cmake/install_dependencies.sh on a machine that lacks packages, seen through stand-ins for id, dpkg-query, apt-get
# and sudo: what it asks for, and that it stops without an administrator.
# Usage: install_dependencies.sh SOURCE_DIR SCRATCH_DIR
set -euo pipefail
source_dir=$1 scratch=$2
rm -rf "$scratch"
mkdir -p "$scratch/tree/tests" "$scratch/bin"
cp -r "$source_dir/cmake" "$scratch/tree/"
cp "$source_dir"/tests/*.txt "$scratch/tree/tests/"

failures=0
fail() {
  echo "FAILED: $1"
  failures=$((failures + 1))
}
stand_in() {
  printf '#!/bin/sh\n%s\n' "$2" > "$scratch/bin/$1"
  chmod +x "$scratch/bin/$1"
}
# run_script [arguments]: the script with the stand-ins; its output in $output, its exit code in $code.
run_script() {
  code=0
  output=$(PATH="$scratch/bin:$PATH" "$scratch/tree/cmake/install_dependencies.sh" "$@" 2>&1) || code=$?
}

stand_in id 'echo 1000'
stand_in dpkg-query 'printf "ii  libhdf5-dev\\nii  libfmt-dev:amd64\\nrc  libicu-dev:amd64\\n"'
stand_in apt-get "echo \"\$@\" >> $scratch/apt.log; exit 3"
stand_in sudo 'exit 1'
run_script --tests
((code == 1)) || fail "without an administrator it exits $code, not 1"
[[ $output == *"apt-get install --no-install-recommends"* ]] || fail "it does not name the command: $output"
for package in libspdlog-dev libicu-dev libgtest-dev; do
  [[ $output == *" $package"* ]] || fail "it does not ask for $package: $output"
done
for package in libhdf5-dev libfmt-dev ' g++'; do
  [[ $output != *"$package"* ]] || fail "it asks for $package, which is there: $output"
done
[[ ! -e $scratch/apt.log ]] || fail "it called apt-get without an administrator"
[[ ! -e $scratch/tree/build ]] || fail "it wrote into build/ before the packages were there"

stand_in sudo 'shift; exec "$@"'
run_script
((code == 1)) || fail "it exits $code, not 1, when apt-get fails"
[[ $output == *"apt-get failed"* ]] || fail "it does not say that apt-get failed: $output"

run_script --no-such-argument
((code == 1)) || fail "a wrong argument exits $code, not 1"
[[ $output == *"unknown argument '--no-such-argument'"* ]] || fail "a wrong argument is not named: $output"

echo "$failures failed"
((failures == 0))
