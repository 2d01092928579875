#!/usr/bin/env bash
# Builds every fuzz target and runs each on its own seeds for so many seconds (600). Exit code 0 only when none had a
# finding; what a finding needs to be seen again lies in build/fuzz/findings.
#   tests/fuzz/run.sh [SECONDS] [TARGET...]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

die() {
  echo "tests/fuzz/run.sh: $1" >&2
  exit 1
}

# Older ones cannot read the library's headers as C++20.
find_clang() {
  local name version
  for name in clang++ clang++-{22..16}; do
    command -v "$name" > /dev/null || continue
    version=$("$name" -dumpversion)
    if ((${version%%.*} >= 16)); then echo "$name" && return; fi
  done
  die "clang 16 or newer is needed: apt-get install --no-install-recommends clang-19 libclang-rt-19-dev libomp-19-dev"
}

seconds=${1:-600}
[[ $seconds =~ ^[0-9]+$ ]] || die "'$seconds' is not a number of seconds"
targets=("${@:2}")
if ((${#targets[@]} == 0)); then
  targets=(archive array_shard checkpoint config job partial_round records rule_file safetensors shard table vocabulary)
fi

cxx=$(find_clang)
cmake --preset fuzz -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_C_COMPILER="${cxx/++/}" > /dev/null
cmake --build --preset fuzz

# A small quarantine: the readers of HDF5 fork, which takes long where there is much memory.
export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:quarantine_size_mb=4
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export LSAN_OPTIONS=suppressions=$root/tests/leaks_of_libraries.txt:print_suppressions=0
if [[ -d /dev/shm ]]; then export TMPDIR=/dev/shm; fi
cd build/fuzz
rm -rf seeds
tests/fuzz/make_seeds seeds
cp "$root"/jobs/*.toml seeds/job
mkdir -p findings logs
touch logs/started

failed=0
for target in "${targets[@]}"; do
  corpus=corpus/$target
  mkdir -p "$corpus"
  rc=0
  tests/fuzz/fuzz_"$target" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=2048 -malloc_limit_mb=256 \
    -print_final_stats=1 -artifact_prefix="findings/$target-" "$corpus" "seeds/$target" > "logs/$target" 2>&1 || rc=$?
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "logs/$target")
  if ((rc == 0)); then
    # Of children that read in the parent's place and died of it, as they are there to.
    find findings -name "$target-*" -newer logs/started -delete
    echo "$target: ${executions} executions in $seconds s, no finding"
  else
    failed=1
    echo "$target: FINDING after ${executions:-?} executions: $(grep -m1 -E 'ERROR|SUMMARY' "logs/$target" || tail -n 1 "logs/$target")"
  fi
done
exit "$failed"
