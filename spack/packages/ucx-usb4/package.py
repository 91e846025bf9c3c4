# SPDX-License-Identifier: BSD-3-Clause
import json
import pathlib

from spack.package import *

try:  # From Spack 1.0 on, build systems are in its package repository.
    from spack_repo.builtin.build_systems.generic import Package
except ImportError:
    pass

# What is installed, by cargo's names and as UCX and usb4ctl look for it.
LIBRARIES = {
    "libuct_usb4.so": "libuct_usb4.so.0",
    "libucx_usb4_preload.so": "libucx_usb4_preload.so",
}


class UcxUsb4(Package):
    """MPI and everything else on UCX over the DMA rings of USB4 and Thunderbolt cables: a transport for UCX, the preload
    library that brings it into UCX, usb4ctl, and osu-bench."""

    # The clone that this recipe stands in.
    git = pathlib.Path(__file__).resolve().parents[3].as_uri()

    license("BSD-3-Clause")

    version("main", branch="main")

    variant("osu", default=True, description="Install osu-bench, the OSU micro-benchmarks")
    variant("kernel-source", default=False, description="Install the source of the kernel module usb4_dma")

    depends_on("c", type="build")
    depends_on("rust@1.88:", type="build")
    depends_on("llvm+clang", type="build")  # libclang reads UCX's headers, and MPI's
    depends_on("pkgconfig", type="build")
    depends_on("ucx@1.13:1.22")
    depends_on("usb4-dma", when="+kernel-source", type="run")

    with when("+osu"):
        depends_on("mpi")
        depends_on("hwloc@2.4:")
        # Both are built without UCX unless they are told.
        depends_on("openmpi fabrics=ucx", when="^[virtuals=mpi] openmpi")
        depends_on("mpich device=ch4 netmod=ucx", when="^[virtuals=mpi] mpich")

    def setup_build_environment(self, env):
        # Without the variable, bindgen may take another libclang of the machine.
        llvm = self.spec["llvm"].prefix
        for folder in (llvm.lib, llvm.lib64):
            if list(pathlib.Path(folder).glob("libclang*.so*")):
                env.set("LIBCLANG_PATH", folder)
                break
        if self.spec.satisfies("+osu"):
            # Debian has several MPIs in one prefix, and names their compilers apart.
            mpi = self.spec["mpi"]
            compilers = [join_path(mpi.prefix.bin, name) for name in ("mpicc." + mpi.name, "mpicc")]
            env.set("MPICC", next((path for path in compilers if pathlib.Path(path).exists()), "mpicc"))

    def install(self, spec, prefix):
        crates = ["ucx-usb4", "usb4-preload", "usb4ctl"]
        programs = ["usb4ctl"]
        if spec.satisfies("+osu"):
            crates.append("osu-bench")
            programs.append("osu-bench")
        selection = [word for crate in crates for word in ("-p", crate)]
        jobs = "--jobs={0}".format(make_jobs)
        which("cargo", required=True)("build", "--release", "--locked", jobs, *selection)

        built = pathlib.Path(env.get("CARGO_TARGET_DIR", "target"), "release")
        mkdirp(prefix.bin, join_path(prefix.lib, "ucx-usb4"))
        for program in programs:
            install(str(built / program), prefix.bin)
        for cargo_name, name in LIBRARIES.items():
            install(str(built / cargo_name), join_path(prefix.lib, "ucx-usb4", name))
        usb4ctl = Executable(join_path(prefix.bin, "usb4ctl"))
        usb4ctl("man", join_path(prefix.share, "man", "man1"))

    def setup_run_environment(self, env):
        """What `usb4ctl env` prints: usb4ctl itself is asked, so the two cannot differ."""
        usb4ctl = Executable(join_path(self.prefix.bin, "usb4ctl"))
        for name, value in json.loads(usb4ctl("env", "--json", output=str, env={})).items():
            if name == "LD_PRELOAD":
                env.append_path(name, value)
            else:
                env.set(name, value)
