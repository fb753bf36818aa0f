"""`python setup.py build_ext --inplace`: the build of pyproject.toml, in the source tree."""

from setuptools import setup

setup()
