# SPDX-License-Identifier: BSD-3-Clause
"""As much of Spack's package API as the recipes use, so that they can be loaded and run where there is no Spack. Directives are
recorded on the class; helpers do what Spack's do."""

import os
import shutil
import subprocess

env = os.environ
DIRECTIVES = []


class PackageMeta(type):
    def __init__(cls, name, bases, namespace):
        super().__init__(name, bases, namespace)
        cls.directives = list(DIRECTIVES)
        DIRECTIVES.clear()


class Package(metaclass=PackageMeta):
    def __init__(self, spec, prefix):
        self.spec = spec
        self.prefix = prefix


def _directive(kind):
    def record(*arguments, **options):
        DIRECTIVES.append((kind, arguments, options))

    return record


version = _directive("version")
variant = _directive("variant")
depends_on = _directive("depends_on")
license = _directive("license")


class Prefix(str):
    """A path whose attributes are the folders below it."""

    def __getattr__(self, name):
        return Prefix(os.path.join(self, name))


class Executable:
    def __init__(self, path):
        self.path = str(path)

    def __call__(self, *arguments, output=None, env=None):
        done = subprocess.run(
            [self.path, *map(str, arguments)], check=True, text=True, env=env, stdout=subprocess.PIPE if output is str else None
        )
        return done.stdout


def which(name, required=False):
    path = shutil.which(name)
    if path is None and required:
        raise FileNotFoundError(name)
    return path and Executable(path)


def join_path(*parts):
    return os.path.join(*map(str, parts))


def mkdirp(*folders):
    for folder in folders:
        os.makedirs(folder, exist_ok=True)


def install(source, destination):
    shutil.copy2(source, destination)


def install_tree(source, destination):
    shutil.copytree(source, destination, dirs_exist_ok=True)
