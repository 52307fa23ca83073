"""The formulas as text, for people: one record for each pair of optimizer and noise law."""

from __future__ import annotations

from typing import NamedTuple

from sympy import (
    Eq,
    Expr,
    Function,
    Indexed,
    IndexedBase,
    Integer,
    Integral,
    Min,
    Sum,
    Symbol,
    erf,
    erfc,
    exp,
    gamma,
    latex,
    oo,
    pi,
    pretty,
    sqrt,
    symbols,
)

v, c, s, sigma, b, w, df, u = symbols("v c s sigma b w df u", positive=True)
e, m, k, n, mu, nu = symbols("e m k n mu nu")
phi, Phi, rho, rho1, rho2 = (Function(name) for name in ("phi", "Phi", "rho", "rho_1", "rho_2"))
mu_normal, nu_normal, tau = Function("mu_N"), Function("nu_N"), symbols("tau", positive=True)
weight, mean, std, value = (IndexedBase(name) for name in ("p", "m", "sigma", "e"))

STREAM = "Collins-Woodfin, Paquette (2023), Hitting the high-dimensional notes: an ODE for SGD learning dynamics"
CLIP = "Marshall, Xiao, Agarwala, Paquette (2025), To clip or not to clip: the dynamics of SGD with gradient clipping"
SIGN = "Xiao, Marshall, Agarwala, Paquette (2025), Exact risk curves of signSGD in high dimensions"
HERE = "derived here; the optimizer's limit: "
SCOPE = "centred Gaussian samples, batch 1, in the limit of high intrinsic dimension"


class Entry(NamedTuple):
    """Responses with the definitions they use; the derivation's file, what the law is, and what the source is."""

    mu: list[Eq]
    nu: list[Eq]
    derivation: str
    law: str
    source: str


def normal_mu(variance: Expr, centre: Expr) -> Expr:
    """P(|r| <= c) for r ~ N(centre, variance)."""
    if centre == 0:
        return erf(c / sqrt(2 * variance))
    root = sqrt(2 * variance)
    return (erf((c - centre) / root) + erf((c + centre) / root)) / 2


def normal_nu(variance: Expr, centre: Expr, share: Expr) -> Expr:
    """E min(r^2, c^2) for r ~ N(centre, variance), share being P(|r| <= c)."""
    root = sqrt(variance / (2 * pi))
    if centre == 0:
        return variance * share + c**2 * (1 - share) - 2 * c * root * exp(-(c**2) / (2 * variance))
    low, high = (exp(-((c + sign * centre) ** 2) / (2 * variance)) for sign in (-1, 1))
    inside = (variance + centre**2) * share - root * ((c + centre) * low + (c - centre) * high)
    return c**2 * (1 - share) + inside


def mixture_weight(degrees: Expr) -> Expr:
    """Density of U with degrees * U^2 chi-squared: Student t is normal over U."""
    power = 2 * (degrees / 2) ** (degrees / 2) / gamma(degrees / 2)
    return power * u ** (degrees - 1) * exp(-degrees * u**2 / 2)


def over_scales(f: Expr, degrees: Expr) -> Expr:
    """Mean over the scale mixture."""
    return Integral(mixture_weight(degrees) * f, (u, 0, oo))


def normal_definitions() -> tuple[list[Eq], list[Eq]]:
    """mu_N and nu_N, the responses of the clip for one normal residual N(m, tau)."""
    share = mu_normal(tau, m)
    return [Eq(share, normal_mu(tau, m))], [Eq(nu_normal(tau, m), normal_nu(tau, m, share))]


def over(index: Symbol, term: Expr, count: Symbol = n) -> Sum:
    """Sum over k = 1..n."""
    return Sum(term, (index, 1, count))


LAWS = {
    "gaussian": "eps ~ N(0, sigma^2)",
    "point": "eps = e",
    "rademacher": "eps = +s or -s with probability 1/2 each",
    "gaussian-mixture": "eps ~ N(m_k, sigma_k^2) with probability p_k, k = 1..n",
    "empirical": "eps uniform on the values e_1..e_n",
    "laplace": "eps ~ Laplace with scale b",
    "uniform": "eps ~ Uniform(-w, w)",
    "student-t": "eps = s times Student t with df degrees of freedom",
    "student-t-1": "eps = s times Student t with 1 degree of freedom (Cauchy)",
    "student-t-3": "eps = s times Student t with 3 degrees of freedom",
}


def atom(base: IndexedBase) -> Indexed:
    """The k-th entry."""
    return base[k]


def sgd() -> dict[str, Entry]:
    """Identity: mu = 1, nu = v + E eps^2."""
    second = {
        "gaussian": sigma**2,
        "point": e**2,
        "rademacher": s**2,
        "gaussian-mixture": over(k, atom(weight) * (atom(mean) ** 2 + atom(std) ** 2)),
        "empirical": over(k, atom(value) ** 2) / n,
        "laplace": 2 * b**2,
        "uniform": w**2 / 3,
        "student-t": s**2 * df / (df - 2),
        "student-t-1": oo,
        "student-t-3": 3 * s**2,
    }
    extra = {"student-t": ", df > 2", "student-t-1": ": no limit exists, the variance is infinite"}
    return {
        law: Entry([Eq(mu, Integer(1))], [Eq(nu, v + variance)], "stein.py", LAWS[law] + extra.get(law, ""), STREAM)
        for law, variance in second.items()
    }


def clipped() -> dict[str, Entry]:
    """Clip at c."""
    share, rest = normal_definitions()
    s_, t_ = sqrt(v), sqrt(v) / b
    minus, plus = symbols("E_- E_+")
    parts = [
        Eq(minus, exp(t_**2 / 2 - c / b) * Phi(c / s_ - t_)),
        Eq(plus, exp(t_**2 / 2 + c / b) * Phi(-c / s_ - t_)),
    ]
    al, et, x = symbols("alpha eta x", positive=True)
    ratios = [Eq(al, c / s_), Eq(et, w / s_)]
    first = [Eq(rho(x), phi(x) - x * Phi(-x))]
    level = symbols("y", positive=True)
    laplace_nu = normal_nu(v, Integer(0), normal_mu(v, Integer(0)))

    def discrete(term: Expr, variance: Expr, centre: Expr) -> tuple[list[Eq], list[Eq]]:
        one, two = term * mu_normal(variance, centre), term * nu_normal(variance, centre)
        scale = Integer(1) if term != 1 else 1 / n
        return [Eq(mu, scale * over(k, one)), *share], [Eq(nu, scale * over(k, two)), *rest]

    def student(degrees: Expr) -> tuple[list[Eq], list[Eq]]:
        variance = v + s**2 / u**2
        one = Eq(mu, over_scales(normal_mu(variance, Integer(0)), degrees))
        two = Eq(nu, over_scales(nu_normal(variance, 0), degrees))
        return [one], [two, Eq(nu_normal(tau, 0), normal_nu(tau, Integer(0), normal_mu(tau, Integer(0))))]

    def single(variance: Expr, centre: Expr) -> tuple[list[Eq], list[Eq]]:
        return [Eq(mu, normal_mu(variance, centre))], [Eq(nu, normal_nu(variance, centre, mu))]

    pairs = {
        "gaussian": (*single(v + sigma**2, Integer(0)), "normal.py", CLIP),
        "point": (*single(v, e), "normal.py", HERE + CLIP),
        "rademacher": (*single(v, s), "normal.py", HERE + CLIP),
        "gaussian-mixture": (*discrete(atom(weight), v + atom(std) ** 2, atom(mean)), "normal.py", HERE + CLIP),
        "empirical": (*discrete(Integer(1), v, atom(value)), "normal.py", HERE + CLIP),
        "laplace": (
            [Eq(mu, erf(c / sqrt(2 * v)) - (minus - plus)), *parts],
            [Eq(nu, laplace_nu + 2 * b**2 * (mu - c / b * (minus + plus))), *parts],
            "laplace.py",
            HERE + CLIP,
        ),
        "uniform": (
            [Eq(mu, (Min(al, et) + rho(al + et) - rho(abs(al - et))) / et), *ratios, *first],
            [Eq(nu, 2 * Integral(level * (1 - Function("mu")(level)), (level, 0, c)))],
            "uniform.py",
            HERE + CLIP,
        ),
        "student-t": (*student(df), "student.py", HERE + CLIP),
        "student-t-1": (*student(Integer(1)), "student.py", HERE + CLIP),
        "student-t-3": (*student(Integer(3)), "student.py", HERE + CLIP),
    }
    return {law: Entry(one, two, file, LAWS[law], source) for law, (one, two, file, source) in pairs.items()}


def sign() -> dict[str, Entry]:
    """Sign: mu = 2 p_r(0), nu = 1."""

    def at_zero(variance: Expr, centre: Expr) -> Expr:
        return sqrt(2 / (pi * variance)) * exp(-(centre**2) / (2 * variance))

    x = symbols("x", positive=True)
    pairs = {
        "gaussian": ([Eq(mu, at_zero(v + sigma**2, Integer(0)))], "normal.py", SIGN),
        "point": ([Eq(mu, at_zero(v, e))], "normal.py", HERE + SIGN),
        "rademacher": ([Eq(mu, at_zero(v, s))], "normal.py", SIGN),
        "gaussian-mixture": (
            [Eq(mu, over(k, atom(weight) * at_zero(v + atom(std) ** 2, atom(mean))))],
            "normal.py",
            HERE + SIGN,
        ),
        "empirical": ([Eq(mu, over(k, at_zero(v, atom(value))) / n)], "normal.py", HERE + SIGN),
        "laplace": ([Eq(mu, exp(v / (2 * b**2)) * erfc(sqrt(v) / (b * sqrt(2))) / b)], "laplace.py", HERE + SIGN),
        "uniform": ([Eq(mu, erf(w / sqrt(2 * v)) / w)], "uniform.py", HERE + SIGN),
        "student-t": ([Eq(mu, over_scales(at_zero(v + s**2 / u**2, Integer(0)), df))], "student.py", HERE + SIGN),
        "student-t-1": (
            [Eq(mu, sqrt(2 / (pi * v)) * exp(s**2 / (2 * v)) * erfc(s / sqrt(2 * v)))],
            "student.py",
            HERE + SIGN,
        ),
        "student-t-3": (
            [
                Eq(mu, sqrt(2 / (pi * v)) * ((1 - 2 * x**2) * exp(x**2) * erfc(x) + 2 * x / sqrt(pi))),
                Eq(x, s * sqrt(3 / (2 * v))),
            ],
            "student.py",
            HERE + SIGN,
        ),
    }
    unit = [Eq(nu, Integer(1))]
    return {law: Entry(one, unit, file, LAWS[law], source) for law, (one, file, source) in pairs.items()}


def plain(equations: list[Eq]) -> str:
    """Multi-line ASCII, the response first, then the definitions it uses."""
    return "\n\n".join(
        "\n".join(line.rstrip() for line in pretty(one, use_unicode=False, wrap_line=False).splitlines())
        for one in equations
    )


def typeset(equations: list[Eq]) -> str:
    """LaTeX of the same equations."""
    return r", \quad ".join(latex(one) for one in equations)


def literal(text: str) -> str:
    """A string literal, one source line for each line of the text."""
    lines = text.splitlines(keepends=True)
    if len(lines) == 1:
        return repr(text)
    return "(\n" + "\n".join(f"            {line!r}" for line in lines) + "\n        )"


def record(optimizer: str, law: str, entry: Entry) -> str:
    """Source of one item of FORMULAS."""
    fields = {
        "mu_pretty": plain(entry.mu),
        "nu_pretty": plain(entry.nu),
        "mu_latex": typeset(entry.mu),
        "nu_latex": typeset(entry.nu),
        "source": entry.source,
        "derivation": f"derivations/{entry.derivation}",
        "exact_for": f"{entry.law}; {SCOPE}",
    }
    body = "\n".join(f"        {name}={literal(text)}," for name, text in fields.items())
    return f'    ("{optimizer}", "{law}"): Formula(\n{body}\n    ),'


def text() -> str:
    """The source of the record type and of the table FORMULAS."""
    tables = {"sgd": sgd(), "clipped-sgd": clipped(), "sign-sgd": sign()}
    records = [record(name, law, entry) for name, table in tables.items() for law, entry in table.items()]
    return TYPE.strip("\n") + "\n\n\nFORMULAS: dict[tuple[str, str], Formula] = {\n" + "\n".join(records) + "\n}"


TYPE = '''
class Formula(NamedTuple):
    """One pair of responses as text: plain and LaTeX, where it comes from, and for what it is exact."""

    mu_pretty: str
    nu_pretty: str
    mu_latex: str
    nu_latex: str
    source: str
    derivation: str
    exact_for: str
'''
