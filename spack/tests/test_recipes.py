# SPDX-License-Identifier: BSD-3-Clause
"""Loads the recipes, with Spack where it is (run as `spack python`), else with a stub of its package API, and builds with the
commands that they give, into an empty prefix. `cargo xtask test --only spack` runs it."""

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

    def __init__(self, *variants):
        self.variants = variants

    def satisfies(self, variant):
        return variant in self.variants


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
        cargo = (ROOT / "Cargo.toml").read_text()
        self.assertIn('rust-version = "1.88"', cargo, "the recipe asks for another Rust than Cargo.toml")

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
