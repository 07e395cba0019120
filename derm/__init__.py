"""Which instructions the linear algebra uses, settled before numpy or torch is loaded.

OpenBLAS (numpy, scipy), torch, oneDNN and MKL each look at the processor and take the widest instructions it has, and
another processor's answer differs in the last bits: enough for another file of weights and another `dvc.lock`. Every
x86-64 server of the last ten years has AVX2, so all of them are asked for that; on an AVX-512 machine neither training
a head nor MobileNetV2 or a small ViT became slower by it. What the environment already says is left alone. OpenBLAS
reads its variable when numpy loads it: that is why this stands in the package and not in a module.
"""

import os
import platform
from pathlib import Path

SAME_INSTRUCTIONS = {
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
}


def _has_avx2() -> bool:
    """Only where it is certain: OpenBLAS would not ask again, and die of an illegal instruction."""
    processor = Path("/proc/cpuinfo")
    return platform.machine() == "x86_64" and processor.is_file() and " avx2 " in processor.read_text(encoding="utf-8")


if _has_avx2():
    for name, value in SAME_INSTRUCTIONS.items():
        os.environ.setdefault(name, value)

# Threads of the encoder that wait would spin, and take the cores from the threads that decode images: on two cores
# that cost a tenth of the speed, and all of it beside another busy program. OpenMP reads this when torch loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
