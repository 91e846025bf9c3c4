# SPDX-License-Identifier: BSD-3-Clause
"""As much of Spack's package API as the recipes use, so that they can be loaded and run where there is no Spack. Directives are
recorded on the class; helpers do what Spack's do."""

import contextlib
import os
import shutil
import subprocess

env = os.environ
make_jobs = os.cpu_count()
_directives = []
_conditions = []


class _PackageMeta(type):
    def __init__(cls, name, bases, namespace):
        super().__init__(name, bases, namespace)
        cls.directives = list(_directives)
        _directives.clear()


class Package(metaclass=_PackageMeta):
    def __init__(self, spec, prefix):
        self.spec = spec
        self.prefix = prefix


def _directive(kind):
    def record(*arguments, **options):
        conditions = [*_conditions, *filter(None, [options.pop("when", None)])]
        _directives.append((kind, arguments, dict(options, when=" ".join(conditions))))

    return record


version = _directive("version")
variant = _directive("variant")
depends_on = _directive("depends_on")
license = _directive("license")


@contextlib.contextmanager
def when(condition):
    _conditions.append(condition)
    yield
    _conditions.pop()


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
