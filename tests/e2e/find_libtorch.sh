#!/usr/bin/env bash
# cmake/FindLibTorch.cmake against every shape LibTorch comes in, each a directory of links to a real one.
# Usage: find_libtorch.sh CMAKE SOURCE_DIR LIBTORCH_PREFIX SCRATCH_DIR
set -euo pipefail
cmake=$1 source_dir=$2 real=$(readlink -f "$3") scratch=$4
rm -rf "$scratch"
mkdir -p "$scratch/project"
scratch=$(readlink -f "$scratch")
unset LibTorch_ROOT Torch_ROOT Torch_DIR CMAKE_PREFIX_PATH LD_LIBRARY_PATH CUDA_HOME

# A project of one file that uses LibTorch. CMAKE_SYSTEM_PREFIX_PATH is cleared so that only what a case names counts.
cat > "$scratch/project/CMakeLists.txt" <<EOF
cmake_minimum_required(VERSION 3.25)
project(probe LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_MODULE_PATH "$source_dir/cmake")
set(CMAKE_SYSTEM_PREFIX_PATH \${SYSTEM})
find_package(LibTorch REQUIRED)
add_executable(probe probe.cpp)
target_link_libraries(probe PRIVATE LibTorch::torch)
EOF
cat > "$scratch/project/probe.cpp" <<'EOF'
#include <cstdint>
#include <string>
namespace c10::detail {
[[noreturn]] void torchCheckFail(const char*, const char*, std::uint32_t, const std::string&);
}
namespace at {
int get_num_threads();
}
int main() {
  if (at::get_num_threads() < 1) c10::detail::torchCheckFail("", "", 0, std::string());
}
EOF

# When the real one is a CUDA build, its links need the NVIDIA libraries that lie beside it.
nvidia=()
if [[ -d $real/../nvidia ]]; then
  nvidia=("-DCMAKE_LIBRARY_PATH=$(find "$real/../nvidia/" -name lib -type d | paste -sd ';')")
fi

failures=0
fail() {
  echo "FAILED: $1"
  failures=$((failures + 1))
}

# found NAME BUILD? [cmake arguments...]: LibTorch is found; the program links and starts when BUILD? is "run".
found() {
  local name=$1 build=$2
  shift 2
  local dir="$scratch/build-$name"
  if ! "$cmake" -S "$scratch/project" -B "$dir" -G Ninja "${nvidia[@]}" "$@" > "$dir.log" 2>&1; then
    fail "$name: not found: $(tail -n 5 "$dir.log")"
  elif [[ $build == run ]] && ! { "$cmake" --build "$dir" >> "$dir.log" 2>&1 && "$dir/probe" >> "$dir.log" 2>&1; }; then
    fail "$name: found, but the program does not start: $(tail -n 5 "$dir.log")"
  else
    echo "ok: $name"
  fi
}

# refused NAME WORDS [cmake arguments...]: configuring fails with one sentence that holds WORDS.
refused() {
  local name=$1 words=$2
  shift 2
  local dir="$scratch/build-$name" text
  if "$cmake" -S "$scratch/project" -B "$dir" -G Ninja "${nvidia[@]}" "$@" > "$dir.log" 2>&1; then
    fail "$name: was accepted"
    return
  fi
  text=$(sed -n '/^CMake Error/,/^Call Stack/p' "$dir.log" | grep -v '^CMake Error\|^Call Stack' | tr -s ' \n' ' ')
  if [[ $text != *"$words"* ]]; then
    fail "$name: says '$text', expected '$words'"
  elif (($(grep -o '\. ' <<< "$text " | wc -l) != 1)); then
    fail "$name: says more than one sentence: '$text'"
  else
    echo "ok: $name:$text"
  fi
}

none="-DFEDMPI_VENV=$scratch/no-venv"
# A python3 that has torch would be found where nothing else is.
mkdir -p "$scratch/no-python"
ln -s "$(type -P false)" "$scratch/no-python/python3"
export PATH=$scratch/no-python:$PATH
lib_files=(libtorch_cpu.so libc10.so libgomp.so.1)

# link_libraries DIRECTORY: the libraries the real one is made of
link_libraries() {
  mkdir -p "$1"
  local file
  for file in "${lib_files[@]}"; do
    if [[ -e $real/lib/$file ]]; then ln -s "$real/lib/$file" "$1/$file"; fi
  done
}

# ---- a CPU wheel: in a virtual environment, and named in each way users name one
venv=$scratch/venv/lib/python3.11/site-packages
mkdir -p "$venv/torch"
ln -s "$real/include" "$venv/torch/include"
link_libraries "$venv/torch/lib"
mkdir -p "$venv/torch/share/cmake/Torch"
found cpu_wheel_in_venv run "-DFEDMPI_VENV=$scratch/venv"

# ---- an unpacked archive
archive=$scratch/libtorch
mkdir -p "$archive/share/cmake/Torch"
ln -s "$real/include" "$archive/include"
link_libraries "$archive/lib"
found archive_by_LibTorch_ROOT run "$none" "-DLibTorch_ROOT=$archive"
found archive_by_Torch_ROOT no "$none" "-DTorch_ROOT=$archive/"
found archive_by_Torch_DIR no "$none" "-DTorch_DIR=$archive/share/cmake/Torch"
found archive_by_prefix_path no "$none" "-DCMAKE_PREFIX_PATH=/nonexistent;$archive"
found wheel_by_prefix_path no "$none" "-DCMAKE_PREFIX_PATH=$venv/torch/share/cmake"
CMAKE_PREFIX_PATH=/nonexistent:$archive found archive_by_environment no "$none"

# ---- a system package, Debian's layout
system=$scratch/system
triplet=$("${CXX:-c++}" -print-multiarch)
mkdir -p "$system/include"
for dir in ATen c10 torch; do ln -s "$real/include/$dir" "$system/include/$dir"; done
link_libraries "$system/lib/${triplet:-.}"
found system_package run "$none" "-DSYSTEM=$system"

# ---- a CUDA wheel without a toolkit: libtorch_cpu.so needs NVIDIA libraries that lie in their own wheels
cuda=$scratch/cuda/lib/python3.11/site-packages
mkdir -p "$cuda/torch/lib" "$cuda/nvidia/cu13/lib"
ln -s "$real/include" "$cuda/torch/include"
link_libraries "$cuda/torch/lib"
rm "$cuda/torch/lib/libtorch_cpu.so"
compile() { "${CXX:-c++}" -shared -fPIC -x c++ - "$@"; }
echo 'extern "C" int cudaRuntimeGetVersion(int*) { return 0; }' |
  compile -Wl,-soname,libcudart.so.99 -o "$cuda/nvidia/cu13/lib/libcudart.so.99"
echo 'extern "C" int cudaRuntimeGetVersion(int*);
      namespace at { int get_num_threads() { return 1 + cudaRuntimeGetVersion(nullptr); } }' |
  compile -Wl,--no-as-needed -Wl,-soname,libtorch_cpu.so -o "$cuda/torch/lib/libtorch_cpu.so" \
    -x none "$cuda/nvidia/cu13/lib/libcudart.so.99"
echo 'int cuda;' | compile -o "$cuda/torch/lib/libtorch_cuda.so"
found cuda_wheel run "-DFEDMPI_VENV=$scratch/cuda"
mv "$cuda/nvidia" "$cuda/nvidia-elsewhere"
refused cuda_wheel_without_nvidia "needs libcudart.so.99, which is not there" "$none" "-DLibTorch_ROOT=$cuda/torch"
found cuda_library_elsewhere run "$none" "-DLibTorch_ROOT=$cuda/torch" \
  "-DCMAKE_LIBRARY_PATH=$cuda/nvidia-elsewhere/cu13/lib"

# ---- too old, as Debian 12's own package is
old=$scratch/old
mkdir -p "$old/include/torch/csrc/api/include/torch" "$old/include/ATen"
touch "$old/include/ATen/ATen.h"
link_libraries "$old/lib"
printf '#define TORCH_VERSION_%s\n' 'MAJOR 1' 'MINOR 13' 'PATCH 1' > "$old/include/torch/csrc/api/include/torch/version.h"
refused too_old "LibTorch 1.13.1 in $old is too old" "$none" "-DSYSTEM=$old"
found newer_system_after_old no "-DFEDMPI_VENV=$scratch/venv" "-DSYSTEM=$old"

# ---- the other C++ ABI
abi=$scratch/abi
mkdir -p "$abi/lib"
ln -s "$real/include" "$abi/include"
link_libraries "$abi/lib"
rm "$abi/lib/libc10.so"
compile -D_GLIBCXX_USE_CXX11_ABI=0 -o "$abi/lib/libc10.so" <<'EOF'
#include <cstdint>
#include <string>
namespace c10::detail { void torchCheckFail(const char*, const char*, std::uint32_t, const std::string&) {} }
EOF
refused other_abi "was built with _GLIBCXX_USE_CXX11_ABI=0" "$none" "-DLibTorch_ROOT=$abi"

# ---- nothing, and a wrong name
refused nothing_there "but there is no LibTorch in $scratch/project" "$none" "-DLibTorch_ROOT=$scratch/project"
refused not_found "(2.7 or newer) was not found" "$none"

echo "$failures failed"
((failures == 0))
