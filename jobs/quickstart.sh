#!/usr/bin/env bash
# The main job from nothing: installs what is missing, builds, fetches weights and reviews, and fine-tunes a
# pre-trained transformer across MPI ranks.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
download_url=https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz

usage() {
  cat <<EOF
Usage: jobs/quickstart.sh [--archive FILE] [--ranks N] [--output DIR] [--no-install]
  --archive FILE  aclImdb_v1.tar.gz, or the directory it unpacks to (default: \$FEDMPI_IMDB, else data prepared
                  before, else the publisher's download, else the sample of made-up reviews in data/)
  --ranks N       MPI ranks (default 8: the server and one for each of the 7 clients; any number gives the same result)
  --output DIR    where the run is written (default runs/quickstart-<date>-<time>)
  --no-install    install nothing: use the environment's own compiler, MPI and libraries
EOF
}

die() {
  echo "quickstart: $1" >&2
  exit 1
}

archive=${FEDMPI_IMDB:-}
ranks=8
output=runs/quickstart-$(date +%Y%m%d-%H%M%S)
install=true
while (($# > 0)); do
  case $1 in
    --archive | --ranks | --output)
      if (($# < 2)); then die "$1 wants a value (see --help)"; fi
      if [[ $1 == --archive ]]; then archive=$2; fi
      if [[ $1 == --ranks ]]; then ranks=$2; fi
      if [[ $1 == --output ]]; then output=$2; fi
      shift 2
      ;;
    --no-install) install=false && shift ;;
    --help | -h) usage && exit 0 ;;
    *) die "unknown argument '$1' (see --help)" ;;
  esac
done
if ! [[ $ranks =~ ^[1-9][0-9]*$ ]]; then die "--ranks is '$ranks', but must be a number from 1 on"; fi
if [[ -n $archive ]]; then
  if ! [[ -e $archive ]]; then die "there is no archive '$archive'"; fi
  archive=$(realpath "$archive")
fi
output=$(realpath -m "$output")
if [[ -e $output ]]; then die "'$output' is there already: choose another --output"; fi
cd "$root"

trap 'echo; die "stopped"' INT TERM

# step TEXT COMMAND...: says what it does and how long it took; what the command prints is shown only when it fails.
log=build/quickstart.log
mkdir -p build
step() {
  local text=$1 start=$SECONDS
  shift
  echo "==> $text"
  if ! "$@" > "$log" 2>&1; then
    tail -n 30 "$log" >&2
    die "this step failed, its last lines are above, all of them in $log: $text"
  fi
  echo "    $((SECONDS - start)) s"
}

download_reviews() {
  local target=$1 part=$1.part
  mkdir -p "$(dirname "$target")"
  if command -v curl > /dev/null; then
    curl --fail --silent --show-error --location --connect-timeout 5 --speed-limit 1000 --speed-time 30 -o "$part" "$download_url"
  else
    wget --quiet --tries=1 --connect-timeout=5 --read-timeout=30 -O "$part" "$download_url"
  fi && gzip --test "$part" && mv "$part" "$target"
}

# ---- the program
if $install; then step "Installing what is missing (cmake/install_dependencies.sh)" cmake/install_dependencies.sh; fi
step "Configuring (cmake --preset release)" cmake --preset release
step "Building the program (build/release, some minutes the first time)" cmake --build --preset release
fedmpi=build/release/bin/fedmpi
mpirun=$(sed -nE 's/^MPIEXEC_EXECUTABLE:[A-Z]+=//p' build/release/CMakeCache.txt)

# ---- weights and reviews
step "Fetching MiniLM's weights and vocabulary (data/minilm)" data/get_minilm.sh data/minilm
shards=data/imdb
overrides=()
if [[ -z $archive && ! -f $shards/test.h5 ]]; then
  archive=build/downloads/aclImdb_v1.tar.gz
  if ! [[ -f $archive ]]; then
    echo "==> Downloading the reviews from their publisher ($download_url)"
    if ! download_reviews "$archive" 2> "$log"; then
      rm -f "$archive.part"
      echo "    That failed ($(tail -n 1 "$log")), so this run uses the small sample of MADE-UP reviews in data/:"
      echo "    it shows that everything works, and its accuracy means nothing. --archive FILE gives the real ones."
      data/expand_sample.sh build/sample
      archive=build/sample/aclImdb
      shards=data/imdb-sample
      overrides=(--set "data.path=$shards" --set data.train_examples_per_client=100 --set evaluation.central_examples=400)
    fi
  fi
fi

# What the shards were made from, so that two sources never mix.
source_of() {
  if [[ -d $1 ]]; then echo "directory $(realpath "$1")"; else sha256sum < "$1" | cut -d ' ' -f 1; fi
}
if [[ -n $archive ]]; then
  wanted=$(source_of "$archive")
  # Shards without that note were prepared by hand.
  if [[ -f $shards/test.h5 && -f $shards/source.txt && $(cat "$shards/source.txt") != "$wanted" ]]; then
    die "$shards holds reviews that were not prepared from $archive: move it away, or leave --archive and FEDMPI_IMDB out to use it"
  fi
fi
if [[ -f $shards/test.h5 ]]; then
  echo "==> Using the reviews prepared before ($shards)"
else
  step "Tokenizing the reviews ($archive -> $shards)" \
    "$fedmpi" prepare imdb --archive "$archive" --vocabulary data/minilm/vocab.txt --output "$shards"
  echo "$wanted" > "$shards/source.txt"
fi

# ---- the run. More ranks than cores must be allowed by name, and must not spin while they wait.
launch=("$mpirun" -np "$ranks")
if "$mpirun" --version 2> /dev/null | grep -i "open mpi\|openrte\|prrte" > /dev/null; then
  launch+=(--map-by :OVERSUBSCRIBE --bind-to none)
  export OMPI_MCA_mpi_yield_when_idle=1
  export OMPI_MCA_btl=${OMPI_MCA_btl:-^ofi}  # which takes a second to find that there is no such network
  if ((EUID == 0)); then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
fi
launch+=("$fedmpi" run jobs/quickstart.toml --output "$output" "${overrides[@]}")
echo "==> Training: ${launch[*]}"
start=$SECONDS
"${launch[@]}" || die "the run failed: its message is above, and its logs are in $output/log"
echo "    $((SECONDS - start)) s"

if [[ $shards == data/imdb-sample ]]; then
  echo "These reviews are made up: the accuracy means nothing. --archive FILE trains on real ones."
fi
echo "Results: $output (metrics.jsonl, metrics.csv, TensorBoard events, log/, checkpoints/)"
