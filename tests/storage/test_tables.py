"""Numbers from text files of every dialect: as they were written, or a refusal where a file could mean two things."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import hdlimit as hd
from hdlimit.cli.main import main
from hdlimit.errors import InvalidInput
from hdlimit.storage.tables import read_column, read_table

NUMBERS = [0.53, -0.07, 12.5, 3.0, 1.25e-3]


def written(number: float, sign: str) -> str:
    return f"{number:.6g}".replace(".", sign)


@pytest.mark.parametrize(
    ("separator", "sign"),
    [
        *((separator, ".") for separator in (";", "\t", ",", " ", "  ", ", ")),
        *((one, ",") for one in (";", "\t", "  ")),
    ],
)
@pytest.mark.parametrize("header", [True, False])
def test_separators_and_decimal_signs(tmp_path: Path, separator: str, sign: str, header: bool) -> None:
    lines = [separator.join((str(i), written(x, sign))) for i, x in enumerate(NUMBERS)]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["# a comment", *([separator.join(("step", "r"))] if header else []), *lines]) + "\n")
    assert read_column(path, "r" if header else "1").tolist() == NUMBERS
    if header:
        table = read_table(path, "r")
        assert (table.y.tolist(), table.X[:, 0].tolist(), table.columns) == (NUMBERS, [0, 1, 2, 3, 4], ("step",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("r\n0,53\n0,61\n12,5\n", [0.53, 0.61, 12.5]),
        ("my residual\n0,5\n3\n", [0.5, 3.0]),
        ("0,53\n", None),
        ("3\n0,53\n1,2e-3\n", [3.0, 0.53, 0.0012]),
        ('r\n"0,53"\n"-1,5"\n', [0.53, -1.5]),
        ('0.5\r\n\r\n# noted\r\n1\r\n"2.5"\r\n', [0.5, 1.0, 2.5]),
        ("\ufeffr\n0.5\nnan\n-inf\n", [0.5, np.nan, -np.inf]),
        ("r\n1,234\n0,500\n", [1.234, 0.5]),
    ],
)
def test_one_column(tmp_path: Path, text: str, expected: Any) -> None:
    path = tmp_path / "log.txt"
    path.write_text(text, encoding="utf-8")
    if expected is None:
        with pytest.raises(InvalidInput):
            read_column(path, "0")
    else:
        np.testing.assert_array_equal(read_column(path), expected)


def test_quoted_decimal_commas_between_commas(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text('step,r\n1,"0,53"\n2,"-1,5"\n')
    assert read_column(path, "r").tolist() == [0.53, -1.5]


TWO_MEANINGS = {
    "whole numbers between commas, no header": ("0,53\n0,61\n", "0", "which may be numbers with decimal commas"),
    "decimal commas between commas": (
        "a,r\n1,5,0,53\n",
        "r",
        "expected 2 cells in every line, as in the header, got 4",
    ),
    "decimal commas after a step": ("a,r\n1,0,53\n", "r", "got 3 in .* write decimal commas with decimal points"),
    "thousands": ("a;r\n1;1,234\n2;2,500\n", "r", "commas may stand between thousands"),
    "millions": ("a;r\n1;1,234,567\n", "r", "expected numbers, got '1,234,567'"),
    "German thousands": ("a;r\n1;1.234,5\n", "r", "expected numbers, got '1.234,5'|one decimal sign"),
    "both signs": ("a;r\n1;0.5\n2;0,5\n", "r", "one decimal sign, a point or a comma, got both .* line 3"),
    "row names": ("r\n1,0\n2,5\n3,7\n", "r", "a row number and a whole number"),
    "short line": ("a,r\n1,2\n3\n", "r", "got 1 in .*line 3"),
    "long line": ("1 2\n1 2 3\n", "1", "expected 2 cells in every line, as in the first, got 3 in .*line 2"),
    "underscore": ("r\n1_000\n", "r", "expected numbers, got '1_000'"),
    "open quote": ('a,r\n1,"2\n3,4\n', "r", "a readable"),
    "UTF-16": ("a,r\n1,2\n".encode("utf-16"), "r", "no text in UTF-8"),
}


@pytest.mark.parametrize("name", TWO_MEANINGS)
def test_refused(tmp_path: Path, name: str) -> None:
    content, column, words = TWO_MEANINGS[name]
    path = tmp_path / "log.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidInput, match=words):
        read_column(path, column)
    with pytest.raises(InvalidInput):
        read_table(path, column)


def test_a_decimal_comma_log_is_tuned_as_its_numbers(tmp_path: Path) -> None:
    """Read as 0 and 53 these numbers give a threshold of whole units and a gain of other numbers."""
    generator = np.random.default_rng(0)
    values = np.round(generator.standard_t(2, 2000), 3)
    (tmp_path / "log.csv").write_text("r\n" + "".join(f"{x:.3f}\n".replace(".", ",") for x in values))
    answer = CliRunner().invoke(main, ["tune", "--residuals", str(tmp_path / "log.csv"), "--json"])
    assert answer.exit_code == 0
    facts, expected = json.loads(answer.stdout), hd.tune_clip_from_residuals(values)
    assert (facts["threshold"], facts["rate_gain"]) == (expected.threshold, expected.rate_gain)


@pytest.mark.parametrize("sign", [".", ","])
def test_random_tables_come_back(tmp_path: Path, sign: str) -> None:
    """100 tables of random sizes, signs, exponents and separators; the twin with one number changed does not."""
    generator = np.random.default_rng(1)
    for _ in range(100):
        n, k = generator.integers(1, 6), generator.integers(2, 5)
        table = generator.standard_normal((n, k)) * 10.0 ** generator.integers(-8, 8, (n, k))
        separator = generator.choice([";", "\t"] if sign == "," else [";", "\t", ",", " "])
        cells = [[repr(float(x)).replace(".", sign) for x in row] for row in table]
        lines = [separator.join(row) for row in ([f"c{j}" for j in range(k)], *cells)]
        path = tmp_path / "table.csv"
        path.write_text("\n".join(lines))
        read = read_table(path, "c0")
        back = np.column_stack([read.y, read.X])
        assert np.array_equal(back, table) and not np.array_equal(back, table + 1e-9)
