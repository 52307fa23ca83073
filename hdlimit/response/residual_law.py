"""The law of the residual r = z - eps, z ~ N(0, v): its density p_r, its score -p_r'/p_r, and integrals over it.

A mixture of normal laws stays one under the convolution, so that p_r and p_r' are sums. Any other density f is
integrated panel by panel, p_r(u) = int f(e) phi_v(u + e) de, the panels ending where f or phi_v bends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, cached_property

import numpy as np

from hdlimit.core.declaration import FloatArray, IntArray
from hdlimit.errors import NotAvailable
from hdlimit.kernels.residual_law import NEGLIGIBLE, mixture_score
from hdlimit.problem.density import ORDER, Panels, gauss, panels
from hdlimit.problem.noise_law import Components, NoiseLaw

# Point masses up to which a density stands for itself as a mixture: 21 000 take .05 s for the moments of tanh, panels
# around every place .2 s; and bisections of a panel, chosen.
MOST_MASSES = 50_000
MOST_LEVELS = 40  # see MOST_MASSES
# Relative error of an adapted integral; measured for I_F: 1e-11 (tests/response/test_fisher.py).
TOLERANCE = 1e-12
# Ends of panels around a bend, in standard deviations: beyond 10.5 a normal density is below 1e-24 of its peak.
_BENDS = np.array([0.0, 0.75, 1.5, 2.5, 3.5, 4.5, 6.0, 8.0, 10.5])
# Nodes of the Gauss-Hermite rule where the density of eps is smooth within 10.5 sqrt(v). Chosen, not measured.
NODES = 18
_SIDES = np.concatenate([-_BENDS[:0:-1], _BENDS])


@cache
def _hermite() -> tuple[FloatArray, FloatArray]:
    """Return the nodes and weights of the Gauss-Hermite rule for the standard normal law."""
    x, w = np.polynomial.hermite_e.hermegauss(NODES)
    return x, w / math.sqrt(2 * math.pi)


class ResidualLaw:
    """The law of r = z - eps at v > 0.

    Parameters
    ----------
    noise : NoiseLaw
        The law of eps.
    v : float
        E z^2 > 0.
    """

    def __init__(self, noise: NoiseLaw, v: float) -> None:
        self.noise, self.v, self.s = noise, v, math.sqrt(v)

    @cached_property
    def _panels(self) -> Panels:
        return panels(self.noise, 0)

    @cached_property
    def _mixture(self) -> Components | None:
        """The law of r as a mixture of normal laws, None where that would need too many."""
        parts = self.noise.mixture(self.noise.information_reach(self.s)) or self._point_masses()
        if parts is None:
            return None
        keep = parts.weight > 0
        return Components(parts.weight[keep], -parts.mean[keep], (parts.variance + self.v)[keep])

    def _point_masses(self) -> Components | None:
        """Turn a density into point masses closer than sqrt(v), where these are few."""
        edges, factor = self._panels
        length = np.diff(edges)
        parts = np.ceil(length / self.s)
        if not parts.sum() * ORDER <= MOST_MASSES:
            return None
        left, count = np.repeat(edges[:-1], parts.astype(int)), np.repeat(parts, parts.astype(int))
        half = np.repeat(length, parts.astype(int)) / count / 2
        place = np.concatenate([np.arange(n) for n in parts])
        x, w = gauss(ORDER)
        nodes = (left + 2 * half * place)[:, None] + half[:, None] * (1 + x)
        weight = half[:, None] * w * np.repeat(factor, parts.astype(int))[:, None] * self._pdf(nodes)
        return Components(weight.ravel(), nodes.ravel(), np.zeros(nodes.size))

    def _pdf(self, e: FloatArray) -> FloatArray:
        with np.errstate(all="ignore"):
            return np.asarray(self.noise.frozen.pdf(e), dtype=np.float64)

    def log_density_and_score(self, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Logarithm of p_r(u), and -p_r'(u)/p_r(u), u of shape (n,)."""
        parts = self._mixture
        if parts is None:
            blocks = [self._local(block) for block in np.array_split(u, max(u.size // 500, 1))]
            return np.concatenate([a for a, _ in blocks]), np.concatenate([b for _, b in blocks])
        log_weight = np.log(parts.weight) - np.log(2 * np.pi * parts.variance) / 2
        log_density, score, u = np.empty(u.size), np.empty(u.size), np.ascontiguousarray(u)
        first, last = self._near(u, parts, log_weight)
        mixture_score(u, log_weight, parts.mean, parts.variance, first, last, log_density, score)
        return log_density, score

    def _near(self, u: FloatArray, parts: Components, log_weight: FloatArray) -> tuple[IntArray, IntArray]:
        """Return the terms that count at every u: where all have the variance v, those within a distance.

        A term at a distance x is below exp(-NEGLIGIBLE) of the nearest one where x^2/(2v) exceeds NEGLIGIBLE and what
        the logarithm of that one lacks to the largest weight.
        """
        mean, size = parts.mean, parts.mean.size
        if parts.variance.min() < parts.variance.max() or (np.diff(mean) > 0).any():
            return np.zeros(u.size, dtype=np.int64), np.full(u.size, size, dtype=np.int64)
        up, places = mean[::-1], size - np.searchsorted(mean[::-1], u)  # the means fall
        near = np.clip(np.stack([places - 1, places]), 0, size - 1)
        term = (log_weight[near] - (u - mean[near]) ** 2 / (2 * self.v)).max(axis=0)
        reach = np.sqrt(2 * self.v * (log_weight.max() - term + NEGLIGIBLE))
        return size - np.searchsorted(up, u + reach, side="right"), size - np.searchsorted(up, u - reach)

    def _local(self, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the same by quadrature around every u.

        Gauss-Hermite where the density of eps is smooth, else panels that end where it or the normal density bends.
        """
        edges = self._panels.edges
        window = -u[:, None] + self.s * _SIDES
        first, last = np.searchsorted(edges, window[:, 0], side="right"), np.searchsorted(edges, window[:, -1])
        smooth = (first == last) & (first > 0) & (first < edges.size)
        if smooth.any():
            total, slope = np.empty(u.size), np.empty(u.size)
            x, w = _hermite()
            density = self._pdf(self.s * x - u[smooth, None])
            total[smooth], slope[smooth] = density @ w, density @ (x * w) / self.s
            if not smooth.all():
                rough = self._by_panels(u[~smooth], window[~smooth], first[~smooth], last[~smooth])
                total[~smooth], slope[~smooth] = rough
        else:
            total, slope = self._by_panels(u, window, first, last)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(total), np.where(total > 0, slope / total, 0.0)

    def _by_panels(
        self, u: FloatArray, window: FloatArray, first: IntArray, last: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        """p_r(u) and -p_r'(u)."""
        edges, factor = self._panels
        count = int((last - first).max(initial=0))
        fixed = edges[np.minimum(first[:, None] + np.arange(count), edges.size - 1)]
        fixed = np.clip(fixed, window[:, :1], window[:, -1:])
        ends = np.clip(np.sort(np.concatenate([window, fixed], axis=1), axis=1), edges[0], edges[-1])
        half, (place, w) = np.diff(ends, axis=1)[:, :, None] / 2, gauss(ORDER)
        e = ends[:, :-1, None] + half * (1 + place)
        inside = np.clip(np.searchsorted(edges, e, side="right") - 1, 0, factor.size - 1)
        x = u[:, None, None] + e
        normal = np.exp(-(x**2) / (2 * self.v)) / (self.s * math.sqrt(2 * math.pi))
        mass = half * w * self._pdf(e) * factor[inside] * normal
        return mass.sum(axis=(1, 2)), (mass * x / self.v).sum(axis=(1, 2))

    @cached_property
    def edges(self) -> FloatArray:
        """Ends of panels on which p_r is smooth, from end to end of the range that matters; a start for bisection."""
        parts = self._mixture
        if parts is None or not parts.variance.max() > self.v:
            return self._edges_of_points()
        centres: FloatArray = np.unique(parts.mean)
        if centres.size > 1:
            bends = np.sqrt(parts.variance)[:, None] * _SIDES
            return _thinned((parts.mean[:, None] + bends).ravel(), 0.3 * self.s)
        reach, smallest = self._reach(parts), math.sqrt(float(parts.variance.min()))
        steps = np.append(0.0, np.geomspace(smallest, reach, max(math.ceil(math.log(reach / smallest, 1.6)), 2) + 1))
        return float(centres[0]) + np.concatenate([-steps[:0:-1], steps])

    def _edges_of_points(self) -> FloatArray:
        components = self.noise.components
        points = -self._panels.edges if components is None else -components.mean
        core = _thinned(np.asarray(points), 0.3 * self.s)
        if core.size > 400:
            ends = np.array([core[0], core[-1]])
            return _thinned(np.concatenate([core, (ends[:, None] + self.s * _SIDES).ravel()]), 0.3 * self.s)
        return _thinned((core[:, None] + self.s * _SIDES).ravel(), 0.3 * self.s)

    def _reach(self, parts: Components) -> float:
        """|r - centre| beyond which Fisher information gains less than 1e-16 of itself.

        Its tail is at most sum_k w_k E[Z^2; |Z| > R/s_k]/s_k^2, and the whole at least (2 p_r(0))^2.
        """
        from scipy.special import gammaincc

        centre = parts.mean[:1].copy()
        whole = 4 * math.exp(2 * float(self.log_density_and_score(centre)[0][0]))
        s2 = parts.variance
        reach = math.sqrt(float(s2.min()))
        for _ in range(2000):
            reach *= 1.3
            if float((parts.weight / s2) @ gammaincc(1.5, reach**2 / (2 * s2))) < 1e-16 * whole:
                return reach
        raise NotAvailable(f"noise: the tails of {self.noise!r} are too heavy for quadrature")

    def nodes(self, edges: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Gauss-Legendre nodes u on panels, the mass p_r(u) du of each, and the score there; each of shape (n,)."""
        half, (x, w) = np.diff(edges)[:, None] / 2, gauss(ORDER)
        u = (edges[:-1, None] + half * (1 + x)).ravel()
        log_density, score = self.log_density_and_score(u)
        return u, (half * w).ravel() * np.exp(log_density), score

    def adapted(self, f: Callable[[FloatArray, FloatArray], FloatArray]) -> tuple[FloatArray, float, float]:
        """Integrate f(u, score) p_r(u) du to 1e-12 of itself.

        Parameters
        ----------
        f : callable
            (u, score) -> f, arrays of one shape.

        Returns
        -------
        edges : ndarray
            Ends of the panels.
        integral, error : float
            The integral, and the last difference under bisection.
        """

        def on(a: FloatArray, b: FloatArray) -> FloatArray:
            half, (x, w) = (b - a)[:, None] / 2, gauss(ORDER)
            u = a[:, None] + half * (1 + x)
            log_density, score = self.log_density_and_score(u.ravel())
            values: FloatArray = (half * w * (np.exp(log_density) * f(u.ravel(), score)).reshape(u.shape)).sum(axis=1)
            return values

        a, b = self.edges[:-1], self.edges[1:]
        whole = on(a, b)
        done, error, ends = 0.0, 0.0, [b[-1:]]
        for level in range(MOST_LEVELS):
            middle = (a + b) / 2
            left, right = on(a, middle), on(middle, b)
            difference = np.abs(left + right - whole)
            scale = abs(done) + float(np.abs(whole).sum())
            fine = (difference <= TOLERANCE * scale / 10) | (middle <= a) | (middle >= b) | (level == MOST_LEVELS - 1)
            done, error = done + float((left + right)[fine].sum()), error + float(difference[fine].sum())
            ends.append(a[fine])
            a, b = np.concatenate([a[~fine], middle[~fine]]), np.concatenate([middle[~fine], b[~fine]])
            whole = np.concatenate([left[~fine], right[~fine]])
            if not a.size:
                break
        return np.sort(np.concatenate(ends)), done, error


def _thinned(points: FloatArray, spacing: float) -> FloatArray:
    """Sorted points without those that follow another one closer than the spacing (the ends are kept)."""
    points = np.unique(points)
    kept = np.unique(np.round((points - points[0]) / spacing), return_index=True)[1]
    return np.unique(np.append(points[kept], points[-1]))
