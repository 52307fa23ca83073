"""A frozen scipy.stats distribution as label noise."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from hdlimit.core.declaration import FloatArray, _show
from hdlimit.errors import InvalidInput, shown
from hdlimit.problem.density import moments_of_density, moments_of_integers
from hdlimit.problem.noise_law import Components, NoiseLaw, _in_range, _mixture, settled

# Likely values of a discrete law, which are listed one by one: some 24 MB. Chosen, not measured.
MOST_ATOMS = 1_000_000


@dataclass(frozen=True, eq=False, repr=False)
class ScipyNoise(NoiseLaw):
    """Any frozen scipy.stats distribution as label noise. Discrete laws are cut where 1e-15 of their mass is left.

    Its densities and tails are as exact as SciPy's; where those are tiny their error is absolute (levy, 4 % of 6e-39).
    Its responses come as tables, right to 1e-9: under 0.2 s for the first curve of a clipped or signed optimizer (batch
    size 1), milliseconds for the next at the same threshold.

    Parameters
    ----------
    distribution : frozen scipy.stats distribution
        With scalar parameters, for example scipy.stats.skewnorm(4).

    Raises
    ------
    InvalidInput
        For anything else, invalid parameters, and a discrete law on more than a million likely values.
    """

    written_as: ClassVar[str | None] = "scipy"

    distribution: Any

    def to_plain(self) -> dict[str, Any]:
        """Return the name of the distribution in scipy.stats and its parameters.

        Raises
        ------
        InvalidInput
            For a distribution that scipy.stats does not have.
        """
        if self.public_name is None:
            raise InvalidInput("noise", "a distribution of scipy.stats (only these can be saved)", shown(self))
        return {"name": self.public_name, "parameters": {k: float(v) for k, v in self.parameters.items()}}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> ScipyNoise:
        """Make the law from a name in scipy.stats and parameters.

        Raises
        ------
        InvalidInput
            For a name that scipy.stats does not have, or parameters that the distribution does not take.
        """
        from scipy import stats

        name, parameters = values["name"], values.get("parameters", {})
        law = getattr(stats, name, None)
        if not isinstance(law, stats.rv_continuous | stats.rv_discrete):
            raise InvalidInput("name", "the name of a scipy.stats distribution", shown(name))
        try:
            return cls(law(**parameters))
        except InvalidInput as error:
            raise InvalidInput("parameters", error.expected, error.got) from None
        except TypeError as error:
            names = [law.shapes, "loc", "scale" if isinstance(law, stats.rv_continuous) else None]
            expected = f"parameters of {name}: {', '.join(filter(None, names))}"
            raise InvalidInput("parameters", expected, shown(parameters)) from error

    def __post_init__(self) -> None:
        if not (hasattr(self.distribution, "rvs") and hasattr(self.distribution, "dist")):
            raise InvalidInput("noise", "a noise law or a frozen scipy.stats distribution", shown(self.distribution))
        if any(np.ndim(value) for value in self.parameters.values()):
            raise InvalidInput("noise", "a distribution with scalar parameters", shown(self.parameters))
        quartiles = self._quartiles()
        if self._discrete and self.distribution.sf(quartiles[1] + MOST_ATOMS) > 1e-15:
            raise InvalidInput("noise", f"a discrete law on at most {MOST_ATOMS:,} likely values", shown(self))
        _in_range("noise", quartiles)

    def _quartiles(self) -> FloatArray:
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                quartiles = np.asarray(self.distribution.ppf([0.25, 0.75]), dtype=np.float64)
                if self.frozen is not None:
                    np.asarray(self.frozen.pdf(quartiles), dtype=np.float64)
        except Exception as error:  # what a distribution of the user's raises may be anything
            failed = f"{self!r:.120}, whose ppf or pdf of an array raises {type(error).__name__}: {error!s:.120}"
            raise InvalidInput("noise", "a distribution with valid parameters", failed) from None
        if not np.isfinite(quartiles).all():
            raise InvalidInput("noise", "a distribution with valid parameters", shown(self))
        if self.frozen is not None and not quartiles[0] < quartiles[1]:
            raise InvalidInput("noise", "a law wider than the rounding of its values", f"{self!r:.160}")
        return quartiles

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The distribution's parameters by name, in the order of scipy.stats: shapes, loc, scale."""
        law = self.distribution
        names = [name.strip() for name in (law.dist.shapes or "").split(",") if name.strip()] + ["loc", "scale"]
        given = {**dict(zip(names, law.args)), **law.kwds}
        return {name: given[name] for name in names if name in given}

    @property
    def public_name(self) -> str | None:
        """The name under which scipy.stats has the distribution; None for one made by the user."""
        from scipy import stats

        law: Any = self.distribution.dist
        name: str | None = law.name
        return name if name is not None and type(getattr(stats, name, None)) is type(law) else None

    def _identity(self) -> tuple[Any, ...]:
        return self.public_name or self.distribution.dist, *self.parameters.items()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScipyNoise) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        name = self.distribution.dist.name
        return f"scipy.stats.{name}({', '.join(f'{k}={_show(v)}' for k, v in self.parameters.items())})"

    def sample(self, generator: np.random.Generator, size: int) -> FloatArray:
        """Draw `size` independent values, shape (size,)."""
        if not self._discrete:
            return np.asarray(self.distribution.rvs(size=size, random_state=generator), dtype=np.float64)
        law, shift = self._unshifted
        return np.asarray(law.rvs(size=size, random_state=generator), dtype=np.float64) + shift

    @cached_property
    def _discrete(self) -> bool:
        return hasattr(self.distribution.dist, "_pmf") and hasattr(self.distribution, "pmf")

    @cached_property
    def _unshifted(self) -> tuple[Any, float]:
        """A discrete distribution at loc = 0, and loc, which SciPy rounds when it samples."""
        shapes = {name: value for name, value in self.parameters.items() if name != "loc"}
        return self.distribution.dist(**shapes), float(self.parameters.get("loc", 0.0))

    @cached_property
    def frozen(self) -> Any:
        """The law as a frozen scipy.stats distribution."""
        return None if self._discrete else self.distribution

    @cached_property
    def components(self) -> Components | None:
        """The law as a finite mixture of normal laws, None for a density."""
        if not self._discrete:
            return None
        law, shift = self._unshifted
        values = np.unique(law.dist.xk) if hasattr(law.dist, "xk") else np.arange(law.ppf(1e-15), law.isf(1e-15) + 1)
        weight = law.pmf(values)
        if not abs(weight.sum() - 1) < 1e-9:
            raise InvalidInput("noise", "a discrete law on integers or with given values", shown(self))
        keep = weight > 0
        return _mixture(weight[keep] / weight.sum(), values[keep] + shift, np.zeros(int(keep.sum())))

    @cached_property
    def moments(self) -> tuple[float, float, float]:
        """(E eps, E eps^2, E eps^4): SciPy's where a sum over the law, tails included, confirms them, else the sum's.

        A moment of a tail that is a power of |x| is infinite where that power says so, whatever SciPy states.
        """
        if self.components is None:
            return settled(repr(self), self.distribution, moments_of_density(self))
        if hasattr(self.distribution.dist, "xk"):
            return super().moments
        found = moments_of_integers(*self._unshifted, self.components.weight, self.components.mean)
        return settled(repr(self), self.distribution, found)
