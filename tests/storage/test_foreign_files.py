"""Files as other programs write them: TOML with a byte order mark, arrays with Python objects in them."""

from __future__ import annotations

import codecs
from pathlib import Path

import numpy as np
import pytest

import hdlimit as hd
from hdlimit.storage.tables import read_column, read_table

TEXT = hd.to_toml(hd.Problem(hd.Isotropic(100), hd.Gaussian(0.5)), hd.SGD(0.5), 2.0)


def test_toml_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """As editors on Windows write it; in UTF-16, which TOML is never in, it is refused with the reason."""
    (tmp_path / "plain.toml").write_bytes(TEXT.encode())
    (tmp_path / "marked.toml").write_bytes(codecs.BOM_UTF8 + TEXT.encode())
    assert hd.read_toml(tmp_path / "marked.toml") == hd.read_toml(tmp_path / "plain.toml")
    (tmp_path / "wide.toml").write_text(TEXT, encoding="utf-16")
    with pytest.raises(hd.errors.InvalidInput, match="a readable TOML file"):
        hd.read_toml(tmp_path / "wide.toml")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("content", ["objects", "text", "empty"])
def test_advice_to_run_what_a_file_holds_is_not_passed_on(tmp_path: Path, name: str, content: str) -> None:
    """A pickle runs code when it is read; NumPy's message says how to allow it."""
    file = tmp_path / name
    if content == "objects":
        objects = np.array([{"y": 1}, None], dtype=object)
        np.save(file, objects, allow_pickle=True) if name == "a.npy" else np.savez(file, y=objects)
    else:
        file.write_text("1, 2, 3\n" if content == "text" else "")
    readers = [read_column] if name == "a.npy" else [read_column, read_table, hd.load]
    for reader in readers:
        with pytest.raises(hd.errors.InvalidInput) as caught:
            reader(file)  # type: ignore[operator]
        assert "pickle" not in str(caught.value) and name in str(caught.value)
