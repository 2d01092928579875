#!/usr/bin/env bash
# Installs what fedmpi is built from on Debian and Ubuntu: packages (cmake/apt-packages.txt), and a virtual environment
# build/venv that holds LibTorch and Open MPI (cmake/python-requirements.txt). Changes nothing where all is there.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/build/venv

usage() {
  cat <<EOF
Usage: cmake/install_dependencies.sh [--tests]
  --tests   also what the tests need (tests/apt-packages.txt, tests/requirements.txt)
Needs root or sudo only when a Debian package is missing; without either it prints the command to ask for.
On a cluster with its own modules this script is not needed: 'cmake --preset release' uses what they offer.
EOF
}

die() {
  echo "install_dependencies: $1" >&2
  exit 1
}

package_lists=("$root/cmake/apt-packages.txt")
with_tests=false
for argument in "$@"; do
  case $argument in
    --tests) with_tests=true ;;
    --help | -h) usage && exit 0 ;;
    *) die "unknown argument '$argument' (see --help)" ;;
  esac
done
if $with_tests; then package_lists+=("$root/tests/apt-packages.txt"); fi

# ---- Debian packages
list_missing() {
  local installed package unless
  installed=$(dpkg-query -W -f='${db:Status-Abbrev} ${binary:Package}\n' |
    awk '$1 ~ /^.i/ { sub(/:.*/, "", $2); printf " %s ", $2 }')
  sed -E '/^#/d; /^\s*$/d' "${package_lists[@]}" | while read -r package unless; do
    [[ $installed == *" $package "* ]] && continue
    if [[ -n $unless ]] && bash -c "$unless" > /dev/null 2>&1; then continue; fi
    echo "$package"
  done
}

as_root() {
  if (($(id -u) == 0)); then env DEBIAN_FRONTEND=noninteractive "$@"; else sudo -n env DEBIAN_FRONTEND=noninteractive "$@"; fi
}

# The tests start Slurm's programs themselves: what is installed for them does not run as a service, now or after a boot.
services='munge slurmctld slurmd'

# In a subshell, at whose end the policy goes.
apt_install() (
  policy=/usr/sbin/policy-rc.d
  if $with_tests && [[ ! -e $policy ]]; then
    trap 'as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nfor service in %s; do case " $* " in *" $service"[\\ .]*) exit 101 ;; esac; done\n' "$services" |
      as_root tee "$policy" > /dev/null
    as_root chmod 755 "$policy"
  fi
  as_root apt-get -q -o DPkg::Lock::Timeout=600 update &&
    as_root apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends "$@"
)

disable_services() {
  local package
  for package in "$@"; do
    if [[ " $services " == *" $package "* ]] && command -v systemctl > /dev/null; then
      as_root systemctl --quiet disable "$package" > /dev/null 2>&1 || true
    fi
  done
}

install_packages() {
  local -a missing
  mapfile -t missing < <(list_missing)
  if ((${#missing[@]} == 0)); then return; fi
  if (($(id -u) != 0)) && ! sudo -n true 2> /dev/null; then
    die "these packages are missing and installing them takes an administrator; ask for:
    apt-get install --no-install-recommends ${missing[*]}"
  fi
  echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
  local log
  log=$(mktemp)
  if ! apt_install "${missing[@]}" > "$log" 2>&1; then
    tail -n 15 "$log" >&2
    die "apt-get failed (its last lines are above, all of them in $log): repair what it names and start again"
  fi
  rm -f "$log"
  disable_services "${missing[@]}"
}

if command -v apt-get > /dev/null && command -v dpkg-query > /dev/null; then
  install_packages
else
  echo "This is neither Debian nor Ubuntu, so nothing is installed. fedmpi needs, under whatever names they have here:"
  sed -E '/^#/d; s/ .*//' "${package_lists[@]}" | paste -sd ' '
  sed '/^#/d' "$root/cmake/python-requirements.txt" | paste -sd ' '
  die "load or install these, then 'cmake --preset release' uses them and names, one sentence each, what it does not find"
fi
cmake_version=$(cmake --version | sed -nE '1s/.* ([0-9]+\.[0-9]+).*/\1/p')
if [[ $(printf '3.25\n%s\n' "$cmake_version" | sort -V | head -n 1) != 3.25 ]]; then
  die "CMake $cmake_version is too old (3.25 or newer is needed): install a newer one and put it first on PATH"
fi

# ---- LibTorch and Open MPI, from their wheels. A stamp file holds the lists that were installed.
install_wheels() {
  local stamp=$1 what=$2
  shift 2
  local wanted
  wanted=$(cat "$root/cmake/nvidia_requirements.py" "${requirement_lists[@]}"; "$venv/bin/python" --version)
  if [[ -f $venv/$stamp && $(< "$venv/$stamp") == "$wanted" ]]; then return; fi
  echo "Installing $what into build/venv (hundreds of megabytes the first time)"
  "$@"
  echo "$wanted" > "$venv/$stamp"
}

pip_install() {
  local log=$root/build/pip.log
  if ! "$venv/bin/python" -m pip --disable-pip-version-check install "$@" > "$log" 2>&1; then
    tail -n 15 "$log" >&2
    die "pip failed (its last lines are above, all of them in $log): check the network and pip's configuration and start again"
  fi
}

install_program_wheels() {
  pip_install --no-deps -r "$root/cmake/python-requirements.txt"
  local nvidia
  nvidia=$("$venv/bin/python" "$root/cmake/nvidia_requirements.py")
  # shellcheck disable=SC2086  # one requirement a word
  if [[ -n $nvidia ]]; then pip_install $nvidia; fi
}

install_test_wheels() {
  pip_install -r "$root/tests/requirements.txt"
  # Where LibTorch was installed with all of CUDA, NCCL came with it.
  if ! compgen -G "$venv/lib/python3*/site-packages/nvidia/nccl/include/nccl.h" > /dev/null; then
    pip_install --no-deps -r "$root/tests/nccl-requirements.txt"
  fi
}

if ! [[ -x $venv/bin/python ]] || ! "$venv/bin/python" -m pip --version > /dev/null 2>&1; then
  rm -rf "$venv"
  mkdir -p "$root/build"
  python3 -m venv "$venv" || die "python3 could not make the virtual environment build/venv (its message is above)"
fi
requirement_lists=("$root/cmake/python-requirements.txt")
install_wheels .fedmpi-program "LibTorch and Open MPI" install_program_wheels
if $with_tests; then
  requirement_lists=("$root/tests/requirements.txt" "$root/tests/nccl-requirements.txt")
  install_wheels .fedmpi-tests "the tests' Python packages" install_test_wheels
fi
