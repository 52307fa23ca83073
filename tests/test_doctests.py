"""The examples of the docstrings run, and give what they say."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module
from pathlib import Path

import matplotlib
import pytest

import hdlimit

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
MODULES = sorted(m.name for m in pkgutil.walk_packages(hdlimit.__path__, "hdlimit."))


def failures(tests: list[doctest.DocTest]) -> list[str]:
    """What the examples print beside what they should."""
    found: list[str] = []
    for test in tests:
        doctest.DocTestRunner(verbose=False, optionflags=OPTIONS).run(test, out=found.append)
    return found


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module(name)
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    found = failures([test for test in doctest.DocTestFinder().find(module, name) if test.examples])
    assert not found, "\n".join(found)


def test_a_wrong_example_is_found() -> None:
    text = ">>> 1 + 1\n3\n"
    assert failures([doctest.DocTestParser().get_doctest(text, {}, "planted", None, 0)])
