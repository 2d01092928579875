#!/usr/bin/env bash
# Two copies of a runtime in one process are two pools of threads or two worlds of MPI: exactly one of each is loaded.
#   one_of_each.sh PROGRAM_OR_LIBRARY...
set -euo pipefail

failed=0
for file in "$@"; do
  for library in libgomp libmpi libtorch_cpu libc10; do
    count=$(ldd "$file" | grep -c "^[[:space:]]*$library[-.]" || true)
    if [ "$count" -ne 1 ]; then
      echo "$file loads $count copies of $library"
      ldd "$file" | grep "$library" || true
      failed=1
    fi
  done
  if ldd "$file" | grep -E 'libiomp|libomp\.so|not found'; then
    echo "$file loads another OpenMP, or misses a library"
    failed=1
  fi
done
[ "$failed" -eq 0 ] && echo "one of each in $# files"
exit "$failed"
