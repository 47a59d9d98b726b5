"""The programs under test, as options name them."""

import argparse
import os
import pathlib

BOXEDGE = pathlib.Path(__file__).resolve().parents[2] / "build/release/boxedge"


def program(path):
    """The absolute path of a program: it is started in other directories."""
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        raise argparse.ArgumentTypeError(f"{path} is no program; `cmake --build --preset release` makes one")
    return os.path.abspath(path)


def other_program(text):
    """NAME=PATH, as (NAME, absolute path)."""
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"{text}: NAME=BINARY is expected")
    return name, program(path)
