"""The Runge-Kutta pair of the integrator: ESDIRK4(3)6L[2]SA.

Theorem. With gamma = 1/4, nodes c = 0, 1/2, (2 - sqrt2)/4, 5/8, 26/25, 1, a_i1 = a_i2 and b_1 = b_2, stage order 2,
order 4 and stiff accuracy determine every coefficient of the method. It is L-stable: R(inf) = 0, |R(iy)| <= 1. The
embedded weights of Kennedy & Carpenter are of order 3 and L-stable too.

Dense output. b_i(theta) = sum_k DENSE[i][k] theta^(k+1) of order 4 for every theta has one free polynomial. The stiff
limit of the interpolant is finite only if b_1(theta) = b_2(theta): that is the choice made here, and it determines
everything. Its stiff limit then stays within [-0.75, 2.23] on (0, 1): it is 1 at theta = 0 and 0 at theta = 1.

Source: C. A. Kennedy, M. H. Carpenter, Diagonally implicit Runge-Kutta methods for ordinary differential equations. A
review, NASA/TM-2016-219173 (2016); embedded weights as published there, to 24 digits.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from sympy import (
    Expr,
    Integer,
    Matrix,
    Poly,
    Rational,
    ones,
    radsimp,
    simplify,
    solve,
    sqrt,
    symbols,
    zeros,
)
from sympy.polys.matrices import DomainMatrix

STAGES = 6
GAMMA = Rational(1, 4)
NODES = (Integer(0), Rational(1, 2), (2 - sqrt(2)) / 4, Rational(5, 8), Rational(26, 25), Integer(1))
EMBEDDED = (
    Rational(-480923228411, 4982971448372),
    Rational(-480923228411, 4982971448372),
    Rational(6709447293961, 12833189095359),
    Rational(3513175791894, 6748737351361),
    Rational(-498863281070, 6042575550617),
    Rational(2077005547802, 8945017530137),
)
BOUND = Rational(9, 4)  # of the stiff limit of the dense output


def solved(equations: list[Expr], unknowns: list[Expr]) -> dict[Expr, Expr]:
    """The only solution of linear equations."""
    (solution,) = solve(equations, unknowns, dict=True)
    return {key: radsimp(value) for key, value in solution.items()}


def linear_solution(left: Matrix, right: Matrix) -> Matrix:
    """The solution of a linear system over the rationals with sqrt2, exactly."""
    size = left.cols
    field = DomainMatrix.from_Matrix(left.row_join(right), extension=True).to_field()
    rows, unknowns, sides = range(size), range(size), range(size, field.shape[1])
    return field.extract(rows, unknowns).lu_solve(field.extract(rows, sides)).to_Matrix()


@cache
def method() -> tuple[Matrix, Matrix, Matrix]:
    """A, b, c, exactly, from the conditions of the theorem."""
    x, y, z = symbols("x y z")
    c = Matrix(NODES)
    a = zeros(STAGES, STAGES)
    b = [x, x, y, z, symbols("b5"), GAMMA]
    order = [sum(w * node**k for w, node in zip(b, NODES)) - Rational(1, k + 1) for k in range(4)]
    a[5, :] = Matrix([b]).subs(solved(order, [x, y, z, b[4]]))
    b = a[5, :]
    a[1, 0] = a[1, 1] = GAMMA
    rows = {2: [x, x], 3: [x, x, y], 4: [x, x, y, z]}
    for i, row in rows.items():
        a[i, : i + 1] = Matrix([[*row, GAMMA]])
        conditions = [sum(a[i, :]) - c[i], (a[i, :] * c)[0] - c[i] ** 2 / 2]
        if i == 4:
            conditions.append((b * a * c.applyfunc(lambda node: node**2))[0] - Rational(1, 12))
        a[i, :] = a[i, :].subs(solved(conditions, sorted(a[i, :].free_symbols, key=str)))
    return a, b.T, c


@cache
def dense() -> Matrix:
    """DENSE: the six linear conditions on the coefficients of each power of theta."""
    a, _, c = method()
    conditions = zeros(STAGES, STAGES)
    for k in range(4):
        conditions[k, :] = c.T.applyfunc(lambda node, k=k: node**k)
    conditions[4, :] = (a * c.applyfunc(lambda node: node**2)).T
    conditions[5, :] = Matrix([[1, -1, 0, 0, 0, 0]])
    right = zeros(STAGES, 4)
    for k in range(4):
        right[k, k] = Rational(1, k + 1)
    right[4, 3] = Rational(1, 12)
    return linear_solution(conditions, right)


def stiff_stages() -> tuple[Matrix, Matrix]:
    """Stages of y' = lambda y, y_0 = 1, as z = h lambda -> -inf: Y = first + second/z + ..., implicit stages only."""
    a, _, _ = method()
    inner, explicit = a[1:, 1:], a[1:, 0]
    first = linear_solution(inner, -explicit)
    return first, linear_solution(inner, first - ones(STAGES - 1, 1))


def prove() -> None:
    """Order conditions, stability function, dense output.

    Raises:
        AssertionError: if a condition fails.
    """
    a, b, c = method()
    square = c.applyfunc(lambda node: node**2)
    assert simplify(a * ones(STAGES, 1) - c) == zeros(STAGES, 1), "row sums"
    assert simplify(a * c - square / 2) == zeros(STAGES, 1), "stage order 2"
    assert b == a[5, :].T and c[5] == 1, "stiffly accurate"
    trees = {
        "sum b = 1": sum(b) - 1,
        "b c": (b.T * c)[0] - Rational(1, 2),
        "b c^2": (b.T * square)[0] - Rational(1, 3),
        "b a c": (b.T * a * c)[0] - Rational(1, 6),
        "b c^3": (b.T * c.applyfunc(lambda node: node**3))[0] - Rational(1, 4),
        "b c a c": sum(b[i] * c[i] * (a * c)[i] for i in range(STAGES)) - Rational(1, 8),
        "b a c^2": (b.T * a * square)[0] - Rational(1, 12),
        "b a a c": (b.T * a * a * c)[0] - Rational(1, 24),
    }
    for name, residual in trees.items():
        assert simplify(residual) == 0, f"order 4: {name}"
    hat = Matrix(EMBEDDED)
    embedded = [sum(hat) - 1, (hat.T * c)[0] - Rational(1, 2), (hat.T * square)[0] - Rational(1, 3)]
    embedded.append((hat.T * a * c)[0] - Rational(1, 6))
    for residual in embedded:
        assert abs(residual.evalf(40)) < 1e-24, "the embedded weights are of order 3"
    cube = c.applyfunc(lambda node: node**3)
    assert abs(((hat.T * cube)[0] - Rational(1, 4)).evalf(20)) > 1e-3, "and not of order 4"
    prove_stability()
    prove_dense()


def stability_function() -> tuple[Poly, Poly]:
    """Numerator and denominator of R(z) = det(I - z A + z 1 b^T)/det(I - z A)."""
    a, b, _ = method()
    z = symbols("z")
    difference = DomainMatrix.from_Matrix(a - ones(STAGES, 1) * b.T, extension=True).to_field()
    coefficients = [difference.domain.to_sympy(q) for q in difference.charpoly()]  # det(I - z M) = z^n det(I/z - M)
    return Poly(coefficients[::-1], z), Poly((1 - z * GAMMA) ** (STAGES - 1), z)


def prove_stability() -> None:
    """R(inf) = 0, and |denominator|^2 - |numerator|^2 >= 0 on the imaginary axis.

    Raises:
        AssertionError: if the method is not L-stable.
    """
    first, second = stiff_stages()
    assert simplify(first[-1]) == 0, "R(inf) = 0"
    hat = Matrix(EMBEDDED)
    limit = 1 + (hat[1:, :].T * second)[0]
    assert abs(limit.evalf(40)) < 1e-24, "the embedded method has R(inf) = 0"
    top, bottom = stability_function()
    assert top.degree() < bottom.degree(), "the numerator has the lower degree"
    y = symbols("y", real=True)

    def modulus(p: Poly) -> Poly:
        coefficients = p.all_coeffs()[::-1]
        real = sum((-1) ** (k // 2) * q * y**k for k, q in enumerate(coefficients) if k % 2 == 0)
        imaginary = sum((-1) ** (k // 2) * q * y**k for k, q in enumerate(coefficients) if k % 2 == 1)
        return Poly(real**2 + imaginary**2, y)

    gap = Poly(simplify((modulus(bottom) - modulus(top)).as_expr()), y)
    square, middle, free = (gap.coeff_monomial(y**power) for power in (10, 8, 6))
    assert gap == Poly(y**6 * (square * y**4 + middle * y**2 + free), y), "the gap is y^6 times a quadratic in y^2"
    assert square > 0 and middle**2 < 4 * square * free, "|R(iy)| <= 1: the quadratic is positive"


def prove_dense() -> None:
    """Order 4 for every theta, the end point, and the stiff limit.

    Raises:
        AssertionError: if a condition fails.
    """
    a, b, _ = method()
    weights = dense()
    for i in range(STAGES):
        assert simplify(sum(weights[i, :]) - b[i]) == 0, "b_i(1) = b_i"
    inner, explicit = a[1:, 1:], a[1:, 0]
    divergence = linear_solution(inner, -explicit).T  # coefficient of z in the stiff limit: b_1 + divergence b_2..6
    assert divergence == Matrix([[-1, 0, 0, 0, 0]]), "the stiff limit is finite if and only if b_1 = b_2"
    assert weights[0, :] == weights[1, :], "b_1(theta) = b_2(theta)"
    _, second = stiff_stages()
    theta = np.linspace(0.0, 1.0, 1001)
    coefficients = np.array((second.T * weights[1:, :]).evalf(20), dtype=float)[0]
    limit = 1 + sum(q * theta ** (k + 1) for k, q in enumerate(coefficients))
    assert abs(limit).max() < BOUND, "bound of the stiff limit"
    assert abs(limit[-1]) < 1e-12, "the stiff limit at theta = 1 is R(inf) = 0"


def check() -> None:
    """Convergence of the method and of its dense output on y' = -y^2, and L-stability in numbers.

    Raises:
        AssertionError: if an observed order is too low.
    """
    a, b, hat, _, weights = tables()
    errors = {h: one_step(h, np.array(a), np.array(weights)) for h in (0.1, 0.05)}
    for theta, (coarse, fine) in enumerate(zip(errors[0.1], errors[0.05])):
        assert np.log2(coarse / fine) > 4.6, f"local order of the dense output at point {theta}"
    y = np.linspace(0.0, 100.0, 2001)
    top, bottom = stability_function()
    values = np.polyval([float(q) for q in top.all_coeffs()], 1j * y) / np.polyval(
        [float(q) for q in bottom.all_coeffs()], 1j * y
    )
    assert abs(values).max() <= 1 + 1e-13, "|R(iy)| <= 1 on a grid"
    assert abs(sum(hat) - 1) < 1e-14 and abs(sum(b) - 1) < 1e-14, "weights sum to one"


def one_step(h: float, a: np.ndarray, weights: np.ndarray) -> list[float]:
    """Errors at theta = 1/3, 2/3, 1 of one step of length h on y' = -y^2, y(0) = 1."""
    slopes = np.zeros(STAGES)
    for i in range(STAGES):
        known = 1 + h * a[i, :i] @ slopes[:i]
        stage = known if i == 0 else (np.sqrt(1 + 4 * h * a[i, i] * known) - 1) / (2 * h * a[i, i])
        slopes[i] = -(stage**2)
    powers = np.array([[theta ** (k + 1) for k in range(4)] for theta in (1 / 3, 2 / 3, 1.0)])
    found = 1 + h * powers @ weights.T @ slopes
    return [abs(value - 1 / (1 + theta * h)) for value, theta in zip(found, (1 / 3, 2 / 3, 1.0))]


def tables() -> tuple[tuple[tuple[float, ...], ...], tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple]:
    """A, B, B_HAT, C, DENSE in floats."""
    a, b, c = method()
    rounded = [tuple(tuple(float(q.evalf(30)) for q in m.row(i)) for i in range(m.rows)) for m in (a, dense())]
    vectors = [tuple(float(q.evalf(30)) for q in m) for m in (b, Matrix(EMBEDDED), c)]
    return rounded[0], vectors[0], vectors[1], vectors[2], rounded[1]
