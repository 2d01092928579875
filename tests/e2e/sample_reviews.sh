#!/usr/bin/env bash
# The sample corpus: expanded in the archive's layout, enough for seven clients, balanced, and whole.
# Usage: sample_reviews.sh SOURCE_DIR SCRATCH_DIR
set -euo pipefail
table=$1/data/sample_reviews.tsv
expanded=$2/aclImdb
rm -rf "$2"
"$1/data/expand_sample.sh" "$2"

fail() {
  echo "FAILED: $1"
  exit 1
}
count() { find "$expanded/$1" -name '*_*.txt' | wc -l; }
for split in train test; do
  (($(count $split/pos) == $(count $split/neg))) || fail "$split is not balanced"
done
(($(count train) >= 7 * 100)) || fail "fewer than 100 training reviews for each of 7 clients"
(($(count test) >= 400)) || fail "fewer than 400 test reviews"
(($(wc -c < "$table") <= 400 * 1024)) || fail "the table is larger than 400 KiB"
diff <(find "$expanded" -type f -exec sh -c 'cat "$1"; echo' _ {} \; | LC_ALL=C sort) \
  <(tail -n +2 "$table" | cut -f 4 | LC_ALL=C sort) || fail "the expanded texts are not those of the table"
echo "ok"
