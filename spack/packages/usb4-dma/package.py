# SPDX-License-Identifier: BSD-3-Clause
import pathlib

from spack.package import *

try:  # From Spack 1.0 on, build systems are in its package repository.
    from spack_repo.builtin.build_systems.generic import Package
except ImportError:
    pass


class Usb4Dma(Package):
    """Source of usb4_dma, the kernel module that hands the DMA rings of USB4 cables to user space. A kernel module belongs to a
    kernel, not to Spack: build and install it as root with `make -C PREFIX/src/usb4-dma` or with DKMS."""

    # The clone that this recipe stands in.
    git = pathlib.Path(__file__).resolve().parents[3].as_uri()

    license("GPL-2.0-only")

    version("main", branch="main")

    def install(self, spec, prefix):
        source = join_path(prefix, "src", "usb4-dma")
        mkdirp(source)
        for path in sorted(pathlib.Path("kernel").iterdir()):
            # Programs for tests, with a licence and builds of their own.
            if path.name in ("testbed", "conformance", "tests"):
                continue
            if path.is_dir():
                install_tree(str(path), join_path(source, path.name))
            else:
                install(str(path), source)
