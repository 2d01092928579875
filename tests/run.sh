#!/usr/bin/env bash
# Every test, on a bare or a prepared machine: installs what is missing, checks the formatting, builds with warnings as
# errors, runs the unit tests under the sanitizers and then everything. Exit code 0 only when all of it passed.
#   FEDMPI_IMDB   the publisher's archive aclImdb_v1.tar.gz; tests on real reviews are skipped without it
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
archive=${FEDMPI_IMDB:-}
if [[ -n $archive ]]; then archive=$(realpath "$archive"); fi
cd "$root"

die() {
  echo "tests/run.sh: $1" >&2
  exit 1
}
section() { printf '\n==> %s (%d s so far)\n' "$1" "$SECONDS"; }
quietly() {
  local log=build/tests.log
  "$@" > "$log" 2>&1 || { tail -n 60 "$log" >&2 && die "this failed, its last lines are above: $*"; }
}

needed=12  # GB, for 'build' and what the tests write there
built=0
if [[ -d build ]]; then built=$(du -sk build | cut -f1); fi
free=$(df -Pk . | awk 'NR == 2 { print $4 }')
if ((free + built < needed * 1000000)); then
  die "the build and the tests take $needed GB in $root, where $((free / 1000000)) GB are free: make room or clone elsewhere"
fi

section "Installing what is missing"
cmake/install_dependencies.sh --tests
data/get_minilm.sh data/minilm
references=("-DFEDMPI_TEST_PYTHON=$root/build/venv/bin/python" "-DFEDMPI_TEST_MINILM=$root/data/minilm"
  "-DFEDMPI_TEST_IMDB=$archive")

section "Formatting"
find core data jobs plugins tests \( -name '*.cpp' -o -name '*.hpp' -o -name '*.inl' \) -print0 |
  xargs -0 build/venv/bin/clang-format --dry-run -Werror ||
  die "the files named above are not formatted: run build/venv/bin/clang-format -i on them"

section "Building (build/dev)"
quietly cmake --preset dev "${references[@]}"
quietly cmake --build --preset dev
section "Building the unit tests with sanitizers (build/asan)"
quietly cmake --preset asan
quietly cmake --build --preset asan --target unit_tests
section "Unit tests with sanitizers"
quietly ctest --preset asan
tail -n 3 build/tests.log

section "All tests"
ctest --preset dev
