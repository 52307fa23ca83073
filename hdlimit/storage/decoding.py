"""Declarations and results from the plain values that `encode` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from hdlimit.core.declaration import Declaration, class_named
from hdlimit.errors import InvalidInput, shown
from hdlimit.storage.contents import check_contents


def decode(node: Any, arrays: Mapping[str, Any], path: str) -> Any:
    """Return the declaration or result that `encode` wrote.

    Parameters
    ----------
    node : object
        The plain value. Lists come back as tuples.
    arrays : mapping of str to ndarray
        What {"array": name} stands for.
    path : str
        Where the node stands, for messages.

    Returns
    -------
    object
        The value.

    Raises
    ------
    InvalidInput
        For an unknown class, and where a constructor refuses its arguments.
    """
    if isinstance(node, list):
        return tuple(decode(item, arrays, f"{path}[{i}]") for i, item in enumerate(node))
    if not isinstance(node, dict):
        return node
    if "array" in node:
        return arrays[node["array"]]
    if "type" not in node:
        return {key: decode(value, arrays, f"{path}.{key}") for key, value in node.items()}
    if (cls := class_named(node["type"])) is None:
        expected = "a known class (import the module that defines it first)"
        raise InvalidInput(f"{path}.type", expected, shown(node["type"]))
    values = {key: decode(value, arrays, f"{path}.{key}") for key, value in node.items() if key != "type"}
    try:
        built = cls.from_plain(values) if issubclass(cls, Declaration) else cls(**values)
        if is_dataclass(built) and not hasattr(cls, "__post_init__"):  # whose constructor checks nothing
            check_contents(built, "")
        return built
    except InvalidInput as error:
        raise InvalidInput(f"{path}.{error.argument.lstrip('.')}", error.expected, error.got) from None
