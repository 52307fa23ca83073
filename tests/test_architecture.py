"""The house rules: who imports whom, where names of optimizers stand, the tie between updates and residual maps."""

from __future__ import annotations

import ast
import inspect
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from cases import OPTIMIZERS, name_of

import hdlimit as hd
from hdlimit.limit.feature_maps import FEATURES
from hdlimit.optimizers import declared
from hdlimit.optimizers.base import Optimizer
from hdlimit.response.residual_maps import residual_map
from hdlimit.simulation import updates
from hdlimit.simulation.kernels import steps as stream
from hdlimit.simulation.updates import UPDATES

DESCRIPTORS = FunctionType, classmethod, staticmethod, property, cached_property
PACKAGE = Path(hd.__file__).parent
MODULES = {
    ".".join(("hdlimit", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
# The floors of the house, lowest first. A room imports from its own floor's rooms to the left of it, and from below.
FLOORS = (
    ("errors",),
    ("core",),
    ("kernels", "storage", "problem"),
    ("execution", "optimizers", "plotting", "edge"),
    ("response",),
    ("limit", "simulation"),
    ("finite_size",),
    ("prediction",),
    ("tuning", "verification"),
    ("schedules", "study", "results"),
    ("loading",),
    ("cli", "explorer", "hdlimit"),
)
PLACE = {room: (floor, k) for floor, rooms in enumerate(FLOORS) for k, room in enumerate(rooms)}
BELOW_SIMULATION = {"core", "errors", "execution", "optimizers", "plotting", "problem", "storage"}
THEORY_ROOMS = {"response", "limit", "finite_size", "prediction", "tuning", "kernels"}
BOTH_SIDES = {"verification", "results", "loading", "cli", "explorer", "hdlimit"}
# Slow third parties, and what of the standard library a fresh prediction does without (18 ms).
LATE = {"scipy", "matplotlib", "tqdm", "distributed", "xarray", "numba", "llvmlite", "msgspec"}
LATE |= {"difflib", "fcntl", "hashlib", "json", "logging"}
SIMULATOR = [m for m in MODULES if m.startswith("hdlimit.simulation.")]
NAMELESS = [
    m
    for m in MODULES
    if m.split(".")[1:2] and m.split(".")[1] in ("limit", "kernels", "response") and m != "hdlimit.response.efficiency"
    if MODULES[m].name != "__init__.py"
]
FORMULAS = "hdlimit.kernels.formulas"
OPTIMIZER_NAMES = {part for cls in declared.OPTIMIZERS for part in (cls.__name__, cls.name)} | UPDATES.keys()


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def imports(tree: ast.AST) -> set[str]:
    """Dotted names of every import statement, in functions and under TYPE_CHECKING too."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def late_imports(tree: ast.AST) -> set[str]:
    """Dotted names of the import statements inside functions."""
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))
    return {name for function in functions for name in imports(function)}


def edges(trees: dict[str, ast.AST]) -> dict[str, frozenset[str]]:
    """Who imports whom inside the package. The import of a package is that of its __init__, which counts too."""
    return {m: frozenset(n for n in imports(tree) if n in trees and n != m) for m, tree in trees.items()}


def graph() -> dict[str, frozenset[str]]:
    """The package's edges but for those to a room as such, whose __init__ only has its docstring."""
    found = edges({module: tree_of(module) for module in MODULES})
    empty = {m for m in MODULES if MODULES[m].name == "__init__.py" and m != "hdlimit" and not imports(tree_of(m))}
    return {module: after - empty for module, after in found.items()}


def arrows_up(found: dict[str, frozenset[str]]) -> set[tuple[str, str]]:
    return {
        (one, other)
        for one, after in found.items()
        for other in after
        if room_of(one) != room_of(other) and PLACE[room_of(one)] <= PLACE[room_of(other)]
    }


def cycle(found: dict[str, frozenset[str]]) -> set[str]:
    """What is left when nodes without successors are taken away again and again: the nodes on or above a cycle."""
    left = dict(found)
    while free := [node for node, after in left.items() if not after & left.keys()]:
        for node in free:
            del left[node]
    return set(left)


def depth(found: dict[str, frozenset[str]]) -> int:
    """Number of modules on the longest chain of imports."""
    known: dict[str, int] = {}

    def of(node: str) -> int:
        if node not in known:
            known[node] = 1 + max((of(after) for after in found[node]), default=0)
        return known[node]

    return max(map(of, found))


def closure(found: dict[str, frozenset[str]], module: str) -> set[str]:
    seen, todo = {module}, [module]
    while todo:
        new = found[todo.pop()] - seen
        seen |= new
        todo += new
    return seen


def named(tree: ast.AST, names: set[str]) -> set[str]:
    """Which of the names stand in code: as identifiers, attributes, imports, parameters, or constants in comparisons,
    subscripts, dictionary keys and match cases (docstrings and sentences are free)."""
    found: set[Any] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name) | ast.arg(arg=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Compare() | ast.MatchValue():
                found |= {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
            case ast.Subscript(slice=key):
                found |= {part.value for part in ast.walk(key) if isinstance(part, ast.Constant)}
            case ast.Dict(keys=keys):
                found |= {part.value for key in keys if key for part in ast.walk(key) if isinstance(part, ast.Constant)}
    return names & found


def with_edge(found: dict[str, frozenset[str]], one: str, code: str) -> dict[str, frozenset[str]]:
    """The edges with those of more code in one module."""
    more = frozenset(name for name in imports(ast.parse(code)) if name in MODULES) - {one}
    return {**found, one: found[one] | more}


def test_every_module_has_a_floor() -> None:
    assert {room_of(module) for module in MODULES} <= PLACE.keys()


def test_imports_go_down() -> None:
    """Every import statement counts: in functions and under TYPE_CHECKING too."""
    assert not arrows_up(graph())


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("hdlimit.core.checks", "from hdlimit.problem.problem import Problem"),
        ("hdlimit.problem.problem", "def f():\n    from hdlimit.limit.system import limit_of"),
        ("hdlimit.storage.records", "if TYPE_CHECKING:\n    from hdlimit.prediction.curve import Curve"),
        ("hdlimit.limit.modes", "from hdlimit.simulation import runs"),
        ("hdlimit.execution.parallel", "import hdlimit"),
    ],
)
def test_a_planted_arrow_up_is_found(module: str, code: str) -> None:
    assert any(one == module for one, _ in arrows_up(with_edge(graph(), module, code)))


def test_no_circle() -> None:
    found = graph()
    assert not cycle(found)
    planted = with_edge(found, "hdlimit.limit.modes", "def f():\n    from hdlimit.limit.system import Limit")
    assert {"hdlimit.limit.modes", "hdlimit.limit.system"} <= cycle(planted)


def test_the_house_is_low() -> None:
    """At most 12 floors, and 20 modules on the longest chain."""
    found = graph()
    assert len(FLOORS) <= 12 and depth(found) <= 20
    chain = {str(k): frozenset({str(k + 1)} if k < 21 else ()) for k in range(22)}
    assert depth(chain) == 22


@pytest.mark.parametrize("module", SIMULATOR)
def test_the_simulator_imports_what_is_on_its_list(module: str) -> None:
    assert {room_of(other) for other in graph()[module]} <= BELOW_SIMULATION | {"simulation"}


def test_the_simulator_reaches_no_theory() -> None:
    """Through no other module either; the twin: what does use theory is seen to."""
    found = graph()
    for module in SIMULATOR:
        assert not {room_of(other) for other in closure(found, module)} & THEORY_ROOMS
    planted = with_edge(found, "hdlimit.execution.parallel", "def f():\n    import hdlimit.response.clipping")
    assert {room_of(m) for m in closure(planted, "hdlimit.simulation.simulate")} & THEORY_ROOMS


def test_only_verification_stands_on_both_sides() -> None:
    for module, after in graph().items():
        rooms = {room_of(other) for other in after}
        if "simulation" in rooms and rooms & THEORY_ROOMS:
            assert room_of(module) in BOTH_SIDES


def test_what_a_reader_of_simulate_opens() -> None:
    """Measured: 30 modules; 89 before the rooms."""
    assert len(closure(graph(), "hdlimit.simulation.simulate")) <= 30


@pytest.mark.parametrize("module", [m for m in MODULES if room_of(m) not in ("cli", "hdlimit")])
def test_late_imports_are_of_slow_third_parties(module: str) -> None:
    """The lazy door is hdlimit/__init__.py; the command line imports what a command needs (its start-up is tested)."""
    assert {name.split(".")[0] for name in late_imports(tree_of(module))} <= LATE


def test_a_planted_late_import_is_found() -> None:
    assert late_imports(ast.parse("def f():\n    from hdlimit.core import checks")) - LATE


@pytest.mark.parametrize("module", NAMELESS)
def test_no_optimizer_has_a_name_in_the_theory(module: str) -> None:
    """A new optimizer is a residual map and a feature map, no branch. The table of texts in formulas.py has titles."""
    parts = [node for node in tree_of(module).body if not (module == FORMULAS and isinstance(node, ast.AnnAssign))]
    found = named(ast.Module(parts, []), OPTIMIZER_NAMES | {name.lower() for name in OPTIMIZER_NAMES})
    assert not found and len(parts) > 5


@pytest.mark.parametrize(
    "code",
    ["if type(o) is SGD: f()", "optimizers.SignSGD", "if o.name == 'sgd': f()", "TABLE['clipped-sgd']", "{'sgd': 1}"]
    + ["from hdlimit.optimizers.sgd import ClippedSGD", "if o.update in ('gradient', 'x'): f()", "def f(SGD): pass"]
    + ["match o.name:\n    case 'sign-sgd': f()"],
)
def test_a_planted_name_is_found(code: str) -> None:
    assert len(named(ast.parse(code), OPTIMIZER_NAMES)) == 1


def test_sentences_may_name_optimizers() -> None:
    assert not named(ast.parse('"""SGD."""\nraise Error(f"{x} has no limit under SGD")'), OPTIMIZER_NAMES | {"sgd"})


@pytest.mark.parametrize("module", MODULES)
def test_matplotlib_only_in_functions_of_plotting_and_sympy_nowhere(module: str) -> None:
    tree = tree_of(module)
    at_runtime = ast.Module([n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)], [])
    assert "sympy" not in {name.split(".")[0] for name in imports(tree)}
    if "matplotlib" in {name.split(".")[0] for name in imports(at_runtime)}:
        assert room_of(module) == "plotting"


def test_import_is_light() -> None:
    """`import hdlimit` loads no package beyond the standard library, whatever it is called."""
    code = (
        "import sys, json; before = set(sys.modules); import hdlimit; "
        "print(json.dumps(sorted({m.split('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["hdlimit"]


@pytest.mark.parametrize("name", sorted(set(hd.__all__) - {"__version__"}))
def test_public_names_are_documented(name: str) -> None:
    """Each has a docstring of its own (dataclasses would generate one); so has every public method, or its base's."""
    thing = getattr(hd, name)
    assert len(thing.__doc__ or "") > 20 and not (thing.__doc__ or "").startswith(f"{name}(")
    if inspect.isclass(thing):
        for method, value in vars(thing).items():
            if not method.startswith("_") and isinstance(value, DESCRIPTORS):
                assert any(vars(base)[method].__doc__ for base in thing.__mro__ if method in vars(base)), method


# ---- the tie between the two sides: one sample, the simulator's kernel, the limit's maps

FEATURE_MAPS = {"identity": lambda x: x, "sign": np.sign}


def step_of(optimizer: Optimizer, x: np.ndarray, residual: float, c: float, trace: float) -> np.ndarray:
    """What the simulator's kernel subtracts for a step of size 1 on one sample with this residual."""
    gradient, delta = np.zeros_like(x), np.zeros_like(x)
    table, number = optimizer.flat_table, updates.update_of(optimizer).number
    stream.add_gradient(gradient, delta, x, -residual, 1.0, table, c, number)
    stream.apply_update(number, delta, gradient, 1.0, math.inf if table.size else c * math.sqrt(trace), np.empty(0))
    return -delta


def limit_step(optimizer: Optimizer, x: np.ndarray, residual: float, c: float) -> np.ndarray:
    """psi(r) g(x), as the limit has it."""
    assert FEATURES.keys() == FEATURE_MAPS.keys()
    return residual_map(optimizer).psi(np.array(residual), c) * FEATURE_MAPS[optimizer.features](x)


def samples(optimizer: Optimizer) -> Iterator[tuple[np.ndarray, float, float, float]]:
    """(x, r, c, tr K) with norm(x)^2 = tr K, so that clipping the gradient at c sqrt(tr K) is clipping r at c."""
    rng = np.random.default_rng(0)
    for d, trace in ((1, 3.0), (7, 7.0), (40, 0.02)):
        for t in (0.0, 0.7, 3.0):
            x = rng.normal(size=d)
            x *= math.sqrt(trace) / np.linalg.norm(x)
            for residual in (*rng.standard_cauchy(20), 0.0):
                yield x, float(residual), float(optimizer.control_schedule(t)), trace


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=name_of)
def test_every_update_is_its_residual_and_feature_map(optimizer: Optimizer) -> None:
    clipped = 0
    for x, residual, c, trace in samples(optimizer):
        expected = limit_step(optimizer, x, residual, c)
        step = step_of(optimizer, x, residual, c, trace)
        np.testing.assert_allclose(step, expected, rtol=1e-13, atol=1e-300)
        clipped += abs(residual) > c
    assert (clipped > 0) == math.isfinite(float(optimizer.control_schedule(0.0)))


def test_a_wrong_pair_is_seen() -> None:
    """The twin: no optimizer's update matches another's maps (clipping at inf aside, which is SGD)."""
    optimizers = [hd.SGD(0.5), hd.ClippedSGD(0.5, 0.9), hd.SignSGD(0.5)]
    for a in optimizers:
        for b in optimizers:
            same = all(
                np.allclose(step_of(a, x, r, c, trace), limit_step(b, x, r, c), rtol=1e-9)
                for x, r, c, trace in samples(hd.ClippedSGD(0.5, 0.9))
            )
            assert same == (a is b)


def test_feature_maps_have_the_moments_of_their_functions() -> None:
    """G and K_g of the limit belong to the function that the update applies: E g(x) x and E g(x)^2, x ~ N(0, s^2)."""
    z, w = np.polynomial.legendre.leggauss(200)
    for s in (0.3, 1.0, 2.5):
        x = 5 * s * (1 + z)
        mass = 2 * 5 * s * w * np.exp(-(x**2) / (2 * s * s)) / math.sqrt(2 * math.pi * s * s)
        for name, g in FEATURE_MAPS.items():
            gain, variance = (float(f(np.array([s * s]))[0]) for f in (FEATURES[name].gain, FEATURES[name].variance))
            assert gain == pytest.approx(float(mass @ (g(x) * x)) / s**2, rel=1e-10)
            assert variance == pytest.approx(float(mass @ g(x) ** 2), rel=1e-10)


def test_warnings_are_issued_in_one_place() -> None:
    """errors.warn finds the user's line; a stacklevel counted by hand is wrong as soon as a function moves."""
    for module in MODULES:
        if module != "hdlimit.errors":
            calls = [n for n in ast.walk(tree_of(module)) if isinstance(n, ast.Attribute) and n.attr == "warn"]
            assert not calls, f"{module}: use hdlimit.errors.warn"
