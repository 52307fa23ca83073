"""The Runge-Kutta pair of the integrator: ESDIRK5(4)7L[2]SA2.

Theorem. With gamma = 23/125 and the published coefficients, which are rational numbers within 1e-25 of the method, all
17 conditions of order 5 hold to 1e-24, the stage order is 2, and the method is stiffly accurate with a_i1 = a_i2 and
b_1 = b_2. It is L-stable: R(inf) = 0, |R(iy)| <= 1. The embedded weights are of order 4, with R(inf) = -1/4. Every node
lies in [0, 1], so that no stage reads a schedule beyond its step.

Dense output. b_i(theta) = sum_k DENSE[i][k] theta^(k+1) of order 4 for every theta has two free polynomials. The stiff
limit of the interpolant is finite only if b_1(theta) = b_2(theta); the condition of order 5

    sum_i b_i(theta) (c_i^4 - 4 sum_j a_ij c_j^3) = 0

can be met by a quartic for every theta, and these two choices determine everything, b_i(1) = b_i with them. The stiff
limit stays within [-0.89, 1] on (0, 1): it is 1 at theta = 0 and 0 at theta = 1.

Second estimate. Differences of two methods of order 4 form a plane. The published one, b - embedded b, spans what is
finite in the stiff limit; where it passes through 0, the error of the dense output need not. SECOND is the direction
whose four residuals of order 5 are orthogonal to its own: with it every residual of the dense output is seen but for a
fifth of it. Its size, sum_i SECOND_i c_i^4 = 1/720, is .3 of the largest residual that the first does not see.

Source: C. A. Kennedy, M. H. Carpenter, Diagonally implicit Runge-Kutta methods for stiff ODEs, Applied Numerical
Mathematics 146 (2019); coefficients as published there, to 25 digits.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from sympy import Expr, Integer, Matrix, Poly, Rational, ones, symbols, zeros
from sympy.polys.matrices import DomainMatrix

STAGES = 7
GAMMA = Rational(23, 125)
NODES = (
    Integer(0),
    2 * GAMMA,
    Rational(7121331996143, 11335814405378),
    Rational(49, 353),
    Rational(3706679970760, 5295570149437),
    Rational(347, 382),
    Integer(1),
)
LOWER = (  # a_i2, ..., a_i(i-1); a_i1 = a_i2, a_ii = gamma
    (Rational(791020047304, 3561426431547),),
    (Rational(-158159076358, 11257294102345), Rational(-85517644447, 5003708988389)),
    (
        Rational(-1653327111580, 4048416487981),
        Rational(1514767744496, 9099671765375),
        Rational(14283835447591, 12247432691556),
    ),
    (
        Rational(-4540011970825, 8418487046959),
        Rational(-1790937573418, 7393406387169),
        Rational(10819093665085, 7266595846747),
        Rational(4109463131231, 7386972500302),
    ),
    (
        Rational(-188593204321, 4778616380481),
        Rational(2809310203510, 10304234040467),
        Rational(1021729336898, 2364210264653),
        Rational(870612361811, 2470410392208),
        Rational(-1307970675534, 8059683598661),
    ),
)
EMBEDDED = (  # of stages 2 to 7; that of stage 1 equals that of stage 2
    Rational(-582099335757, 7214068459310),
    Rational(615023338567, 3362626566945),
    Rational(3192122436311, 6174152374399),
    Rational(6156034052041, 14430468657929),
    Rational(-1011318518279, 9693750372484),
    Rational(1914490192573, 13754262428401),
)
PUBLISHED = Rational(1, 10**24)  # what the rounding of the published coefficients may leave of a condition
FIFTH = ("c^4", "c a c^2", "a c^3", "a a c^2")
SIZE = Rational(1, 720)
BOUND = Rational(89, 100)  # of the stiff limit of the dense output, from below


@cache
def method() -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """A, b, embedded b, c: rational numbers."""
    a = zeros(STAGES, STAGES)
    a[1, :2] = Matrix([[GAMMA, GAMMA]])
    for i, row in enumerate(LOWER, start=2):
        a[i, : i + 1] = Matrix([[row[0], *row, GAMMA]])
    return a, a[STAGES - 1, :].T, Matrix([EMBEDDED[0], *EMBEDDED]), Matrix(NODES)


def power(c: Matrix, k: int) -> Matrix:
    """c_i^k."""
    return c.applyfunc(lambda node: node**k)


@cache
def trees() -> dict[str, tuple[int, Matrix, Expr]]:
    """The 17 trees up to order 5: order, vector x, and the value that sum_i b_i x_i must have."""
    a, _, _, c = method()
    ac, acc, aac, accc = a * c, a * power(c, 2), a * a * c, a * power(c, 3)
    product = Matrix.multiply_elementwise
    return {
        "1": (1, ones(STAGES, 1), Integer(1)),
        "c": (2, c, Rational(1, 2)),
        "c^2": (3, power(c, 2), Rational(1, 3)),
        "a c": (3, ac, Rational(1, 6)),
        "c^3": (4, power(c, 3), Rational(1, 4)),
        "c a c": (4, product(c, ac), Rational(1, 8)),
        "a c^2": (4, acc, Rational(1, 12)),
        "a a c": (4, aac, Rational(1, 24)),
        "c^4": (5, power(c, 4), Rational(1, 5)),
        "c^2 a c": (5, product(power(c, 2), ac), Rational(1, 10)),
        "(a c)^2": (5, power(ac, 2), Rational(1, 20)),
        "c a c^2": (5, product(c, acc), Rational(1, 15)),
        "c a a c": (5, product(c, aac), Rational(1, 30)),
        "a c^3": (5, accc, Rational(1, 20)),
        "a c a c": (5, a * product(c, ac), Rational(1, 40)),
        "a a c^2": (5, a * acc, Rational(1, 60)),
        "a a a c": (5, a * aac, Rational(1, 120)),
    }


def linear_solution(left: Matrix, right: Matrix) -> Matrix:
    """The solution of a linear system over the rationals, exactly."""
    return DomainMatrix.from_Matrix(left).to_field().lu_solve(DomainMatrix.from_Matrix(right).to_field()).to_Matrix()


@cache
def dense() -> Matrix:
    """DENSE: the seven linear conditions on the coefficients of each power of theta."""
    a, _, _, c = method()
    found = trees()
    rows = [found[name] for name in ("1", "c", "c^2", "c^3", "a c^2")]
    conditions, right = zeros(STAGES, STAGES), zeros(STAGES, 4)
    for k, (order, vector, value) in enumerate(rows):
        conditions[k, :] = vector.T
        right[k, order - 1] = value
    conditions[5, :] = (power(c, 4) - 4 * a * power(c, 3)).T
    conditions[6, :] = Matrix([[1, -1, 0, 0, 0, 0, 0]])
    return linear_solution(conditions, right)


@cache
def second() -> Matrix:
    """SECOND: 0 in every condition up to order 4, orthogonal to b - embedded b in those of order 5."""
    a, b, hat, c = method()
    found, fifth = trees(), fifth_order()
    conditions = zeros(STAGES, STAGES)
    for k, name in enumerate(("1", "c", "c^2", "c^3", "a c^2")):
        conditions[k, :] = found[name][1].T
    conditions[5, :] = (b - hat).T * fifth * fifth.T
    conditions[6, :] = power(c, 4).T
    return linear_solution(conditions, Matrix([0, 0, 0, 0, 0, 0, SIZE]))


def fifth_order() -> Matrix:
    """The vectors of the four independent conditions of order 5 under stage order 2, as columns."""
    found = trees()
    return Matrix.hstack(*(found[name][1] for name in FIFTH))


def stiff_stages() -> tuple[Matrix, Matrix]:
    """Stages of y' = lambda y, y_0 = 1, as z = h lambda -> -inf: Y = first + second/z + ..., implicit stages only."""
    a, _, _, _ = method()
    inner, explicit = a[1:, 1:], a[1:, 0]
    first = linear_solution(inner, -explicit)
    return first, linear_solution(inner, first - ones(STAGES - 1, 1))


def prove() -> None:
    """Order conditions, stability function, dense output.

    Raises:
        AssertionError: if a condition fails.
    """
    a, b, hat, c = method()
    assert max(abs(q) for q in a * ones(STAGES, 1) - c) < PUBLISHED, "row sums"
    assert max(abs(q) for q in a * c - power(c, 2) / 2) < PUBLISHED, "stage order 2"
    assert b == a[STAGES - 1, :].T and c[STAGES - 1] == 1, "stiffly accurate"
    assert min(NODES) == 0 and max(NODES) == 1, "no node outside the step"
    for name, (order, vector, value) in trees().items():
        assert abs((b.T * vector)[0] - value) < PUBLISHED, f"order 5: {name}"
        if order < 5:
            assert abs((hat.T * vector)[0] - value) < PUBLISHED, f"embedded weights, order 4: {name}"
    fifth = [abs((hat.T * vector)[0] - value) for order, vector, value in trees().values() if order == 5]
    assert max(fifth) > Rational(1, 1000), "the embedded weights are not of order 5"
    prove_stability()
    prove_dense()
    prove_second()


def stability_function() -> tuple[Poly, Poly]:
    """Numerator and denominator of R(z) = det(I - z A + z 1 b^T)/det(I - z A)."""
    a, b, _, _ = method()
    z = symbols("z")
    difference = DomainMatrix.from_Matrix(a - ones(STAGES, 1) * b.T).to_field()
    coefficients = [difference.domain.to_sympy(q) for q in difference.charpoly()]  # det(I - z M) = z^n det(I/z - M)
    return Poly(coefficients[::-1], z), Poly((1 - z * GAMMA) ** (STAGES - 1), z)


def modulus(p: Poly, y: Expr) -> Poly:
    """|p(iy)|^2."""
    q = p.all_coeffs()[::-1]
    real = sum((-1) ** (k // 2) * q[k] * y**k for k in range(0, len(q), 2))
    imaginary = sum((-1) ** (k // 2) * q[k] * y**k for k in range(1, len(q), 2))
    return Poly(real**2 + imaginary**2, y)


def prove_stability() -> None:
    """R(inf) = 0, and |denominator|^2 - |numerator|^2 >= 0 on the imaginary axis, to the digits of the coefficients.

    Raises:
        AssertionError: if the method is not L-stable.
    """
    first, second = stiff_stages()
    assert abs(first[STAGES - 2]) < PUBLISHED, "R(inf) = 0"
    _, _, hat, _ = method()
    limit = 1 + (hat[1:, :].T * second)[0]
    assert abs(limit + Rational(1, 4)) < Rational(1, 10**3), "the embedded method has R(inf) = -1/4"
    top, bottom = stability_function()
    y, x = symbols("y x", real=True)
    gap = modulus(bottom, y) - modulus(top, y)
    square = [gap.coeff_monomial(y ** (2 * k)) for k in range(STAGES)]
    assert gap.degree() == 2 * (STAGES - 1) and all(not q for q in gap.all_coeffs()[1::2]), "a polynomial in y^2"
    assert square[0] == 0 and abs(square[1]) < PUBLISHED and abs(square[2]) < PUBLISHED, "the gap is y^6 times a cubic"
    cubic = Poly(square[:2:-1], x)
    assert square[3] > 0 and cubic.count_roots(0, None) == 0, "|R(iy)| <= 1: the cubic in y^2 is positive"


def prove_dense() -> None:
    """Order 4 for every theta, the end point, and the stiff limit.

    Raises:
        AssertionError: if a condition fails.
    """
    a, b, _, _ = method()
    weights = dense()
    assert max(abs(sum(weights[i, :]) - b[i]) for i in range(STAGES)) < 10 * PUBLISHED, "b_i(1) = b_i"
    for name, (order, vector, value) in trees().items():
        goal = Matrix([[value if k + 1 == order else 0 for k in range(4)]])
        if order < 5:
            assert max(abs(q) for q in vector.T * weights - goal) < PUBLISHED, f"order 4 for every theta: {name}"
    inner, explicit = a[1:, 1:], a[1:, 0]
    divergence = linear_solution(inner, -explicit).T  # coefficient of z in the stiff limit: b_1 + divergence b_2..7
    assert divergence == Matrix([[-1, 0, 0, 0, 0, 0]]), "the stiff limit is finite if and only if b_1 = b_2"
    assert weights[0, :] == weights[1, :], "b_1(theta) = b_2(theta)"
    _, second = stiff_stages()
    theta = symbols("theta")
    coefficients = list(second.T * weights[1:, :])
    limit = Poly([*coefficients[::-1], 1], theta)
    assert abs(limit.eval(1)) < 10 * PUBLISHED, "the stiff limit at theta = 1 is R(inf) = 0"
    assert (limit + BOUND).count_roots(0, 1) == 0 and (limit - 1).count_roots(0, 1) == 1, "bounds of the stiff limit"
    assert limit.eval(Rational(1, 2)) < 1, "it is below 1 after the start"


def prove_second() -> None:
    """SECOND is a difference of methods of order 4, and with the first estimate sees the error of the dense output.

    Raises:
        AssertionError: if a condition fails.
    """
    _, b, hat, _ = method()
    for name, (order, vector, _) in trees().items():
        if order < 5:
            assert abs((second().T * vector)[0]) < PUBLISHED, f"second estimate, order 4: {name}"
    both = np.array((fifth_order().T * Matrix.hstack(b - hat, second())).evalf(20), dtype=float)
    assert abs(both[:, 0] @ both[:, 1]) < 1e-18, "the two estimates are orthogonal in order 5"
    goal = np.array([float(trees()[name][2]) for name in FIFTH])
    theta = np.linspace(0.0, 1.0, 101)
    powers = np.stack([theta ** (k + 1) for k in range(4)])
    missed = np.array((fifth_order().T * dense()).evalf(20), dtype=float) @ powers - np.outer(goal, theta**5)
    unseen = missed - both @ np.linalg.lstsq(both, missed, rcond=None)[0]
    first = missed - np.outer(both[:, 0], both[:, 0] @ missed) / (both[:, 0] @ both[:, 0])
    sizes = [float(np.linalg.norm(part, axis=0).max()) for part in (unseen, first, missed)]
    assert sizes[0] < sizes[2] / 5 and sizes[1] > sizes[2] / 2, "what is left unseen, by both and by the first alone"
    assert 0.2 < np.linalg.norm(both[:, 1]) / sizes[1] < 0.4, "the size of the second"


def check() -> None:
    """Convergence of the method and of its dense output on y' = -y^2, and L-stability in numbers.

    Raises:
        AssertionError: if an observed order is too low.
    """
    a, b, hat, _, weights = tables()
    errors = {h: one_step(h, np.array(a), np.array(weights)) for h in (0.1, 0.05)}
    for order, coarse, fine in zip((5, 5, 6), errors[0.1], errors[0.05]):
        assert np.log2(coarse / fine) > order - 0.4, f"local order {order}"
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
    a, b, hat, c = method()
    rounded = [tuple(tuple(float(q.evalf(30)) for q in m.row(i)) for i in range(m.rows)) for m in (a, dense())]
    vectors = [tuple(float(q.evalf(30)) for q in m) for m in (b, hat, c)]
    return rounded[0], vectors[0], vectors[1], vectors[2], rounded[1]
