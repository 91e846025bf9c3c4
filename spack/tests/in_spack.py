# SPDX-License-Identifier: BSD-3-Clause
"""Loads the recipes in a real Spack: `spack python spack/tests/in_spack.py`. What they install, `spack install` shows."""

import inspect
import pathlib
import runpy
import sys
import unittest

import spack.package
import spack.repo
from spack.spec import Spec

HERE = pathlib.Path(__file__).resolve().parent


class InSpack(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Before and beside the packages that Spack has.
        repository = spack.repo.use_repositories(str(HERE.parent), override=False)
        repository.__enter__()
        cls.addClassCleanup(repository.__exit__, None, None, None)
        cls.ucx_usb4, cls.usb4_dma = (spack.repo.PATH.get_pkg_class(name) for name in ("ucx-usb4", "usb4-dma"))

    def test_the_names_that_users_type(self):
        for recipe, name in ((self.ucx_usb4, "ucx-usb4"), (self.usb4_dma, "usb4-dma")):
            self.assertEqual((recipe.namespace, recipe.name), ("ucx_usb4", name))
            self.assertEqual([str(version) for version in recipe.versions], ["main"])
            self.assertTrue(recipe.git.startswith("file:///"), recipe.git)

    def test_what_each_variant_asks_for(self):
        def needs(variants):
            asked = self.ucx_usb4.dependencies_by_name(when=True)
            spec = Spec("ucx-usb4@main" + variants)
            return {name for name, whens in asked.items() if any(spec.satisfies(when) for when in whens)}

        always = {"rust", "llvm", "pkgconfig", "ucx"}
        self.assertLessEqual(always | {"mpi", "usb4-dma"}, needs("+osu+kernel-source"))
        self.assertLessEqual(always, needs("~osu~kernel-source"))
        self.assertFalse({"mpi", "usb4-dma"} & needs("~osu~kernel-source"))

    def test_the_stub_promises_nothing_that_spack_has_not(self):
        stub = runpy.run_path(str(HERE / "stub/spack/package.py"))
        # The number of jobs comes when a recipe builds, the build systems left the API with 1.0, and no recipe names the class of
        # its prefix.
        elsewhere = {"make_jobs", "Package", "Prefix"}
        names = {name for name, value in stub.items() if not name.startswith("_") and not inspect.ismodule(value)}
        self.assertLessEqual({"depends_on", "install_tree"}, names)
        self.assertEqual({name for name in names - elsewhere if not hasattr(spack.package, name)}, set())


if __name__ == "__main__":
    # `spack python` leaves its own arguments here.
    unittest.main(argv=sys.argv[:1])
