# SPDX-License-Identifier: BSD-3-Clause
"""Loads the recipes with a stub of Spack's package API, and builds with the commands that they give, into an empty prefix.
`cargo xtask test --only spack` runs it; `in_spack.py` loads them in a real Spack."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "spack/tests/stub"))
from spack.package import Prefix  # noqa: E402


def load(name, class_name):
    path = ROOT / "spack/packages" / name / "package.py"
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return getattr(module, class_name)


class Spec:
    """A concrete spec with these variants."""

    def __init__(self, *variants, name=None, prefix=None, dependencies={}):
        self.variants = variants
        self.name = name
        self.prefix = Prefix(prefix)
        self.dependencies = dependencies

    def satisfies(self, variant):
        return variant in self.variants

    def __getitem__(self, name):
        return self.dependencies[name]


class Environment(dict):
    def set(self, name, value):
        self[name] = value

    def append_path(self, name, value):
        self[name] = value


def built(class_, *variants):
    """The package, installed into a new prefix from this clone."""
    folder = tempfile.TemporaryDirectory(prefix="spack-")
    unittest.addModuleCleanup(folder.cleanup)
    prefix = Prefix(folder.name)
    package = class_(Spec(*variants), prefix)
    os.chdir(ROOT)
    package.install(package.spec, prefix)
    return package


def directives(class_, kind):
    return {arguments[0]: options for found, arguments, options in class_.directives if found == kind}


class UcxUsb4(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.recipe = load("ucx-usb4", "UcxUsb4")
        cls.package = built(cls.recipe, "+osu")

    def test_what_it_asks_for(self):
        self.assertEqual(set(directives(self.recipe, "variant")), {"osu", "kernel-source"})
        needs = directives(self.recipe, "depends_on")
        self.assertLessEqual({"ucx@1.13:1.22", "rust@1.88:", "llvm+clang", "mpi", "usb4-dma"}, set(needs))
        self.assertEqual(needs["usb4-dma"]["when"], "+kernel-source")
        self.assertEqual(needs["mpi"]["when"], "+osu")
        self.assertEqual(needs["openmpi fabrics=ucx"]["when"], "+osu ^[virtuals=mpi] openmpi")
        cargo = (ROOT / "Cargo.toml").read_text()
        self.assertIn('rust-version = "1.88"', cargo, "the recipe asks for another Rust than Cargo.toml")

    def build_environment(self, libclang, compiler, *variants):
        """What the build finds where llvm has `libclang` and MPICH `compiler`, with the prefix that both have."""
        folder = tempfile.TemporaryDirectory(prefix="spack-")
        self.addCleanup(folder.cleanup)
        for path in (libclang, compiler):
            file = pathlib.Path(folder.name, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        dependencies = {"llvm": Spec(prefix=folder.name), "mpi": Spec(name="mpich", prefix=folder.name)}
        environment = Environment()
        self.recipe(Spec(*variants, dependencies=dependencies), None).setup_build_environment(environment)
        return {name: os.path.relpath(value, folder.name) for name, value in environment.items()}

    def test_the_build_takes_the_libclang_and_the_mpi_of_its_spec(self):
        debian = self.build_environment("lib/libclang-14.so.1", "bin/mpicc.mpich", "+osu")
        self.assertEqual(debian, {"LIBCLANG_PATH": "lib", "MPICC": "bin/mpicc.mpich"})
        built_by_spack = self.build_environment("lib64/libclang.so", "bin/mpicc", "+osu")
        self.assertEqual(built_by_spack, {"LIBCLANG_PATH": "lib64", "MPICC": "bin/mpicc"})
        self.assertNotIn("MPICC", self.build_environment("lib/libclang.so", "bin/mpicc"))

    def test_what_it_installs(self):
        prefix = pathlib.Path(self.package.prefix)
        files = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
        self.assertLessEqual(
            {
                "bin/usb4ctl",
                "bin/osu-bench",
                "lib/ucx-usb4/libuct_usb4.so.0",
                "lib/ucx-usb4/libucx_usb4_preload.so",
                "share/man/man1/usb4ctl.1",
            },
            files,
        )

    def test_the_environment_is_usb4ctls(self):
        environment = Environment()
        self.package.setup_run_environment(environment)
        usb4ctl = os.path.join(self.package.prefix, "bin/usb4ctl")
        said = json.loads(subprocess.run([usb4ctl, "env", "--json"], env={}, check=True, capture_output=True).stdout)
        self.assertEqual(environment, said)
        self.assertTrue(environment["LD_PRELOAD"].startswith(os.path.realpath(self.package.prefix)))

    def test_without_osu(self):
        # Other crates in one build have other features in common, so cargo would build much anew: it is only asked for here.
        asked = []
        module = sys.modules[self.recipe.__module__]
        with unittest.mock.patch.object(module, "which", lambda *_, **__: lambda *arguments: asked.extend(arguments)):
            package = built(self.recipe)
        self.assertEqual(os.listdir(package.prefix.bin), ["usb4ctl"])
        self.assertIn("usb4ctl", asked)
        self.assertNotIn("osu-bench", asked)


class Usb4Dma(unittest.TestCase):
    def test_the_source_is_whole(self):
        package = built(load("usb4-dma", "Usb4Dma"))
        source = pathlib.Path(package.prefix, "src/usb4-dma")
        for name in ["COPYING", "Makefile", "src/main.c", "include/uapi/linux/usb4_dma.h"]:
            self.assertTrue((source / name).is_file(), name)
        self.assertFalse((source / "testbed").exists())


if __name__ == "__main__":
    unittest.main()
