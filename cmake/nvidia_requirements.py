"""Prints the requirements, as torch itself pins them, of the NVIDIA libraries that its CPU part needs to load.

A CUDA build of torch installed without its dependencies still lists a few libraries (libcudart, libcupti) as needed
by libtorch_cpu.so; installing all of its dependencies would take gigabytes. Prints nothing for a CPU build.
"""
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

# library: (extra of cuda-toolkit, package), whichever of the two this torch asks for
PACKAGES = {
    "cublas": ("cublas", "nvidia-cublas"),
    "cublasLt": ("cublas", "nvidia-cublas"),
    "cudart": ("cudart", "nvidia-cuda-runtime"),
    "cudnn": (None, "nvidia-cudnn"),
    "cufft": ("cufft", "nvidia-cufft"),
    "cufile": ("cufile", "nvidia-cufile"),
    "cupti": ("cupti", "nvidia-cuda-cupti"),
    "curand": ("curand", "nvidia-curand"),
    "cusolver": ("cusolver", "nvidia-cusolver"),
    "cusparse": ("cusparse", "nvidia-cusparse"),
    "cusparseLt": (None, "nvidia-cusparselt"),
    "nccl": (None, "nvidia-nccl"),
    "nvJitLink": ("nvjitlink", "nvidia-nvjitlink"),
    "nvToolsExt": ("nvtx", "nvidia-nvtx"),
    "nvrtc": ("nvrtc", "nvidia-cuda-nvrtc"),
    "nvshmem_host": (None, "nvidia-nvshmem"),
}


def needed_libraries(library):
    dynamic = subprocess.run(["readelf", "-d", library], check=True, capture_output=True, text=True).stdout
    return [name for name in re.findall(r"\(NEEDED\).*\[lib(\w+)\.so", dynamic) if re.match("cu|nv|nccl", name)]


def requirement_of(library, requirements):
    if library not in PACKAGES:
        sys.exit(f"torch needs lib{library}.so, and no package is known here that holds it: add it to {__file__}")
    extra, package = PACKAGES[library]
    for requirement in requirements:
        name, extras, version = re.match(r"([\w.-]+)(?:\[([\w,.-]+)\])?\s*(.*)", requirement).groups()
        if name == "cuda-toolkit" and extra and extra in (extras or "").split(","):
            return f"cuda-toolkit[{extra}]{version}"
        if re.fullmatch(package + r"(-cu\d+)?", name):
            return name + version
    sys.exit(f"torch needs lib{library}.so, but its own requirements name no package that holds it")


def main():
    distribution = importlib.metadata.distribution("torch")
    library = Path(distribution.locate_file("torch/lib/libtorch_cpu.so"))
    requirements = [line.split(";")[0].strip() for line in distribution.requires or [] if "extra ==" not in line]
    for line in sorted({requirement_of(name, requirements) for name in needed_libraries(library)}):
        print(line)


if __name__ == "__main__":
    main()
