#!/usr/bin/env bash
# Usage: data/expand_sample.sh DIRECTORY
# Expands sample_reviews.tsv, made-up reviews, into DIRECTORY/aclImdb in the layout of the publisher's archive:
# {train,test}/{pos,neg}/<id>_<rating>.txt. Does nothing when DIRECTORY/aclImdb is newer than the table.
set -euo pipefail
table=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/sample_reviews.tsv
directory=${1:?"which directory? (usage: data/expand_sample.sh DIRECTORY)"}
if [[ $directory/aclImdb -nt $table ]]; then exit 0; fi

mkdir -p "$directory"
scratch=$(mktemp -d "$directory/.expand-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch"/{train,test}/{pos,neg}
awk -F '\t' -v directory="$scratch" 'NR > 1 {
  file = directory "/" $1 "/" $2 "/" count[$1, $2]++ "_" $3 ".txt"
  printf "%s", $4 > file
  close(file)
}' "$table"
rm -rf "$directory/aclImdb"
mv "$scratch" "$directory/aclImdb"
