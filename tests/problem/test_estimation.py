"""from_data against least squares written out by hand, and the errors of data files."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import hdlimit as hd
from hdlimit.errors import InvalidInput, ValidityWarning
from hdlimit.problem.estimation import CHANCE, LARGEST_DEPENDENCE, RIDGE_GRID
from hdlimit.problem.row_moments import lag_correlation
from hdlimit.storage.tables import read_table


class Frame:
    """As much of a data frame as from_data looks at."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns = list(columns)
        self._values = np.array(list(columns.values()), dtype=object).T

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self._values, dtype=dtype)


def table(n: int = 40, d: int = 3, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)
    return x, x @ np.arange(1.0, d + 1) + 4 + rng.laplace(size=n)


def test_four_rows_by_hand() -> None:
    """x = -3, -1, 1, 3 around 10; y = 2 x + 1, -1, -1, 1 around 7: slope 2, residuals 1, -1, -1, 1, K = 5."""
    problem = hd.Problem.from_data([[7], [9], [11], [13]], [7 - 6 + 1, 7 - 2 - 1, 7 + 2 - 1, 7 + 6 + 1])
    assert problem.covariance.matrix == pytest.approx(np.array([[5.0]]))
    assert problem.target == pytest.approx([2.0])
    assert problem.rows is not None
    assert problem.rows.noise == pytest.approx([1, -1, -1, 1])
    assert problem.rows.x[:, 0] == pytest.approx([-3, -1, 1, 3])
    assert problem.noise.second_moment == pytest.approx(1.0)
    assert problem.initial_risk == pytest.approx(5 * 2**2 / 2)


def test_matches_least_squares_with_an_intercept_column() -> None:
    x, y = table()
    problem = hd.Problem.from_data(x, y)
    solution = np.linalg.lstsq(np.column_stack([np.ones(len(y)), x]), y, rcond=None)[0]
    assert problem.target == pytest.approx(solution[1:])
    assert problem.rows is not None and problem.rows.noise == pytest.approx(y - solution[0] - x @ solution[1:])
    assert problem.covariance.matrix == pytest.approx(np.cov(x.T, bias=True))
    assert np.abs(problem.rows.noise @ problem.rows.x).max() < 1e-10
    assert problem.rows.columns == ("x0", "x1", "x2")
    assert problem.rows.dropped == ()


def test_the_rows_are_the_population() -> None:
    """Excess risk + noise/2 is the mean of half the squared residuals, for any theta (here theta_0 = 0)."""
    x, y = table()
    problem = hd.Problem.from_data(x, y)
    assert problem.initial_risk + problem.noise.second_moment / 2 == pytest.approx(np.var(y) / 2)


def test_the_arrays_of_the_caller_stay_as_they_were() -> None:
    x, y = table()
    x0, y0 = x.copy(), y.copy()
    hd.Problem.from_data(x, y, scale=True)
    np.testing.assert_array_equal(x, x0)
    np.testing.assert_array_equal(y, y0)
    assert x.flags.writeable


def test_without_intercept_nothing_is_centred() -> None:
    x, y = table()
    x = x - x.mean(axis=0)
    problem = hd.Problem.from_data(x, y, intercept=False)
    assert problem.target == pytest.approx(np.linalg.lstsq(x, y, rcond=None)[0])
    assert problem.noise.mean == pytest.approx(y.mean())


def test_without_intercept_features_off_centre_are_warned_of() -> None:
    x, y = table()
    shift = np.sqrt(x.var(axis=0).sum() * 0.06 / 0.94)
    x = x - x.mean(axis=0)
    with pytest.warns(ValidityWarning, match="6% of tr K"):
        problem = hd.Problem.from_data(x + shift * np.eye(3)[0], y, intercept=False)
    assert problem.covariance.matrix == pytest.approx(np.cov(x.T, bias=True) + shift**2 * np.diag([1, 0, 0]))


def test_scale_makes_the_trace_d_and_keeps_the_predictions() -> None:
    x, y = table()
    plain, scaled = hd.Problem.from_data(x, y), hd.Problem.from_data(x, y, scale=True)
    assert scaled.covariance.trace == pytest.approx(3)
    assert plain.covariance.trace != pytest.approx(3)
    assert scaled.intrinsic_dimension == pytest.approx(plain.intrinsic_dimension)
    assert scaled.initial_risk == pytest.approx(plain.initial_risk)
    assert scaled.rows is not None and plain.rows is not None
    assert scaled.rows.noise == pytest.approx(plain.rows.noise)
    assert scaled.rows.x / plain.rows.x == pytest.approx(np.full((40, 3), np.sqrt(3 / plain.covariance.trace)))


def test_constant_columns_are_dropped_and_named() -> None:
    x, y = table()
    frame = np.column_stack([x[:, 0], np.full(40, 0.1), x[:, 1], np.zeros(40)])
    problem = hd.Problem.from_data(frame, y, columns=["a", "b", "c", "d"])
    assert problem.rows is not None
    assert problem.rows.columns == ("a", "c")
    assert problem.rows.dropped == ("b", "d")
    assert problem.dimension == 2


def test_a_column_that_varies_by_rounding_only_is_constant() -> None:
    x, y = table()
    noisy = np.where(np.arange(40) % 2, 0.1 + 0.2, 0.3)
    problem = hd.Problem.from_data(np.column_stack([x, noisy]), y)
    assert problem.rows is not None and problem.rows.dropped == ("x3",)


def test_names_of_a_data_frame() -> None:
    problem = hd.Problem.from_data(Frame({"age": [1, 2, 4, 5], "one": [1, 1, 1, 1]}), [1, 3, 2, 2])
    assert problem.rows is not None
    assert (problem.rows.columns, problem.rows.dropped) == (("age",), ("one",))


def test_rank_deficient_features_give_the_shortest_solution() -> None:
    x, y = table(d=1)
    single = hd.Problem.from_data(x, y)
    double = hd.Problem.from_data(np.column_stack([x, x]), y)
    assert single.target is not None
    assert double.target == pytest.approx([single.target[0] / 2] * 2)
    assert double.initial_risk == pytest.approx(single.initial_risk)


def test_ridge_against_augmented_least_squares() -> None:
    """mean((y - X theta)^2) + rho norm(theta)^2 is least squares on X with sqrt(n rho) I below it, and 0 below y."""
    x, y = table()
    rho, xc, yc = 0.3, x - x.mean(axis=0), y - y.mean()
    theta = np.linalg.lstsq(np.vstack([xc, np.sqrt(40 * rho) * np.eye(3)]), np.append(yc, [0, 0, 0]), rcond=None)[0]
    problem = hd.Problem.from_data(x, y, ridge=rho)
    assert problem.target == pytest.approx(theta)
    assert problem.rows is not None and problem.rows.noise == pytest.approx(yc - xc @ theta)
    assert problem.rows.noise @ problem.rows.x / 40 == pytest.approx(rho * theta)
    assert hd.Problem.from_data(x, y, ridge=0.0) == hd.Problem.from_data(x, y)


@pytest.mark.parametrize("intercept", [True, False])
def test_cross_validation_leaves_one_row_out_and_refits(intercept: bool) -> None:
    """Every candidate is fitted 12 times without one row, the intercept too; from_data's theta* is the best one's."""
    x, y = table(n=12)
    y = y + 3 * np.random.default_rng(5).standard_normal(12)
    if not intercept:
        x, y = x - x.mean(axis=0), y - y.mean() + 0.1
    n, d = x.shape

    def solve(rows: Any, rho: float) -> tuple[Any, Any, Any]:
        mx, my = (x[rows].mean(axis=0), y[rows].mean()) if intercept else (np.zeros(d), 0.0)
        a, b = x[rows] - mx, y[rows] - my
        return np.linalg.solve(a.T @ a + n * rho * np.eye(d), a.T @ b), mx, my

    def error(rho: float) -> float:
        total = 0.0
        for i in range(n):
            theta, mx, my = solve(np.arange(n) != i, rho)
            total += (y[i] - my - (x[i] - mx) @ theta) ** 2
        return total

    centred = x - x.mean(axis=0) if intercept else x
    largest = np.linalg.eigvalsh(centred.T @ centred / n)[-1]
    best = min(RIDGE_GRID * largest, key=error)
    assert RIDGE_GRID[0] * largest < best < RIDGE_GRID[-1] * largest
    assert hd.Problem.from_data(x, y, intercept=intercept, ridge="cv").target == pytest.approx(
        solve(np.arange(n), best)[0]
    )


def test_few_rows_are_warned_of_and_enough_are_not() -> None:
    x, y = table(n=12, d=6)
    with pytest.warns(ValidityWarning, match="7 of 12 degrees of freedom.* 42% of the noise variance"):
        hd.Problem.from_data(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hd.Problem.from_data(*table(n=14, d=6))
        hd.Problem.from_data(x, y, ridge=100.0)


def test_more_columns_than_rows_are_interpolated() -> None:
    x, y = table(n=5, d=9)
    with pytest.warns(ValidityWarning, match=r"\b0% of the noise"):
        problem = hd.Problem.from_data(x, y)
    assert problem.noise.second_moment < 1e-24
    assert problem.covariance.eigenvalues[:5] == pytest.approx(np.zeros(5))


def exact_mean_risk(x: Any, noise: Any, delta: Any, covariance: Any, lr: float, steps: int) -> float:
    """E R after some steps of SGD on rows drawn with replacement: mean and second moment of delta, row by row."""
    n, d = x.shape
    mean, second = delta, np.outer(delta, delta)
    for _ in range(steps):
        moves = [(np.eye(d) - lr / d * np.outer(a, a), lr / d * e * a) for a, e in zip(x, noise, strict=True)]
        second = (
            sum(m @ second @ m.T + np.outer(m @ mean, b) + np.outer(b, m @ mean) + np.outer(b, b) for m, b in moves) / n
        )
        mean = sum(m @ mean + b for m, b in moves) / n
    return float(np.trace(covariance @ second)) / 2


def test_streamed_rows_follow_their_exact_mean() -> None:
    """2000 runs, 2 times, 4 standard errors: false alarm 1.3e-4. Twin: the residuals in another order are refuted."""
    x, y = table(n=8, d=2)
    problem = hd.Problem.from_data(x, y, scale=True)
    assert problem.rows is not None
    runs = hd.simulate(problem, hd.SGD(lr=0.4), 6.0, runs=2000, seed=1, times=[1.0, 6.0])
    rows, k, delta = problem.rows, problem.covariance.matrix, problem.initial_error
    exact = [exact_mean_risk(rows.x, rows.noise, delta, k, 0.4, steps) for steps in (2, 12)]
    assert np.abs((runs.mean - exact) / runs.stderr).max() < 4
    other = [exact_mean_risk(rows.x, rows.noise[::-1], delta, k, 0.4, steps) for steps in (2, 12)]
    assert np.abs((runs.mean - other) / runs.stderr).max() > 4


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        ([1, 2, 3], [1, 2, 3], {}, r"X: expected a numeric array of shape \(n, d\), got shape \(3,\)"),
        ([[1], [2]], [[1, 3], [2, 4]], {}, r"y: expected a numeric array of shape \(n,\), got shape \(2, 2\)"),
        ([[1], [2], [3]], [1, 2], {}, "y: expected one value for each of the 3 rows of X"),
        ([[1]], [1], {}, "X: expected at least 2 rows, got 1"),
        ([], [], {}, "X: expected a numeric array"),
        ([[1, 2], [3]], [1, 2], {}, "X: .* got rows of different lengths"),
        ([[1, 2], [1, 2]], [1, 2], {}, "X: expected at least one column that varies, got 2 constant columns"),
        ([[0], [0]], [1, 2], {"intercept": False}, "X: expected at least one column that varies"),
        ([[1], [2]], [5, 5], {}, "y: expected values that vary, got 5 in every row"),
        ([[1], [-1]], [0, 0], {"intercept": False}, "y: expected values that are not all zero"),
        ([[1, np.nan], [np.inf, np.nan]], [1, 2], {}, r"X: .* 3 entries .* columns 'x0' \(1\), 'x1' \(2\)"),
        ([[1, 2], [np.nan, 1]], [1, 2], {"columns": ["a", "b"]}, r"1 entries that are NaN or inf, in column 'a' \(1\)"),
        (np.ma.masked_equal([[1, 2], [3, 4]], 4), [1, 2], {}, r"NaN or inf, in column 'x1' \(1\)"),
        ([[1], [2]], [1, np.nan], {}, "y: expected finite numbers, got 1 entries that are NaN or inf$"),
        ([[1, "low"], [2, 3]], [1, 2], {}, r"X: .* got 'low' \(column 'x1', row 0\)"),
        (Frame({"a": [1, 2], "size": [3, "big"]}), [1, 2], {}, r"X: .* got 'big' \(column 'size', row 1\)"),
        ([[1], [2]], ["cat", "dog"], {}, r"y: .* got 'cat' \(row 0\)"),
        (np.array([[1j], [2]]), [1, 2], {}, "X: .* got complex numbers"),
        ([[1j], [2]], [1, 2], {}, "X: .* got 1j"),
        (None, [1, 2], {}, "X: expected a numeric array"),
        ({"a": 1}, [1, 2], {}, "X: .* got a dict"),
        ([[1e200], [-1e200]], [1, 2], {}, "X: expected variances between 1e-140 and 1e.140"),
        ([[1e-200], [-1e-200]], [1, 2], {}, "X: expected variances"),
        ([[1], [2]], [1.7e308, -1.7e308], {}, "y: expected variances"),
        ([[1], [2]], [1, 2], {"columns": ["a", "b"]}, "columns: expected 1 names, one for each column of X, got 2"),
        ([[1], [2]], [1, 2], {"columns": "a"}, "columns: expected a sequence of names"),
        ([[1], [2]], [1, 2], {"ridge": -1}, "ridge: expected a finite number >= 0"),
        ([[1], [2]], [1, 2], {"ridge": "gcv"}, "ridge: expected one of 'cv'"),
        ([[1], [2]], [1, 2], {"ridge": True}, "ridge: expected"),
        ([[1], [2]], [1, 2], {"intercept": "no"}, "intercept: expected True or False"),
        ([[1], [2]], [1, 2], {"scale": 2}, "scale: expected True or False"),
    ],
)
def test_bad_input_is_named(x: Any, y: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        hd.Problem.from_data(x, y, **options)


def test_csv(tmp_path: Any) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffage, bmi ,y\r\n1,2.5,3\r\n\r\n4,-5e-1,nan\r\n".encode())
    x, y, columns = read_table(path, "bmi")
    np.testing.assert_array_equal(x, [[1, 3], [4, np.nan]])
    np.testing.assert_array_equal(y, [2.5, -0.5])
    assert columns == ("age", "y")
    np.testing.assert_array_equal(read_table(str(path)).y, [3, np.nan])


def test_csv_goes_into_from_data(tmp_path: Any) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,one,t\n7,1,2\n9,1,4\n11,1,8\n13,1,14\n")
    read = read_table(path, "t")
    problem = hd.Problem.from_data(read.X, read.y, columns=read.columns)
    assert problem.target == pytest.approx([2.0])
    assert problem.rows is not None and problem.rows.dropped == ("one",)


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        ("", "y", "path: expected a CSV file with a header line"),
        ("a,y\n", "y", "path: expected rows of numbers below the header"),
        ("a,b\n1,2\n", "y", r"target: expected one column of .*a\.csv \(a, b\), got 'y', which is there 0 times"),
        ("y,y\n1,2\n", "y", "which is there 2 times"),
        ("y\n1\n", "y", "at least one column besides 'y'"),
        ("1,2\n3,4\n", "y", "a header line of column names"),
        ("a,y\n1,2\n3,high\n", "y", r"expected numbers, got 'high' in .*a\.csv line 3, column 'y'"),
        ("a,y\n1,\n", "y", r"got '' in .* line 2, column 'y'"),
        ("a,y\n1,2\n1,2,3\n", "y", r"expected 2 cells in every line, as in the header, got 3 in .*line 3"),
    ],
)
def test_bad_csv_is_named(tmp_path: Any, text: str, target: str, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=message):
        read_table(path, target)


def test_csv_that_is_no_text(tmp_path: Any) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,y\n\xff\xfe,1\n")
    with pytest.raises(InvalidInput, match="a readable CSV file in UTF-8"):
        read_table(path)


@pytest.mark.parametrize("name", ["none.csv", "none.npz", "none.xlsx", "none"])
def test_missing_files_and_other_suffixes(tmp_path: Any, name: str) -> None:
    with pytest.raises(InvalidInput, match="path: expected an? "):
        read_table(tmp_path / name)


def test_npz(tmp_path: Any) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, X=np.arange(6).reshape(3, 2), y=[1, 2, 4])
    x, y, columns = read_table(path)
    np.testing.assert_array_equal(x, [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(y, [1, 2, 4])
    assert columns == ("X0", "X1")
    np.savez(path, age=[1.0, 2.0], on=[True, False], price=[5, 6])
    x, y, columns = read_table(path, "price")
    np.testing.assert_array_equal(x, [[1, 1], [2, 0]])
    assert (columns, y.tolist()) == (("age", "on"), [5, 6])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.eye(2)}, "target: expected one column of .* got 'y', which is there 0 times"),
        ({"y": np.ones(2)}, "at least one column besides 'y'"),
        ({"X": np.eye(3), "y": np.ones(2)}, r"y \(2,\), X \(3, 3\)"),
        ({"X": np.eye(2), "y": np.eye(2)}, "'y' with one dimension"),
        ({"X": np.eye(2), "y": np.array(["a", "b"])}, "'y' of type <U1"),
        ({"X": np.ones((2, 2, 2)), "y": np.ones(2)}, "one or two dimensions"),
        ({"X": np.eye(2), "y": np.array([None, 1], dtype=object)}, "an .npz file of numeric arrays"),
    ],
)
def test_bad_npz_is_named(tmp_path: Any, arrays: dict[str, Any], message: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(InvalidInput, match=message):
        read_table(path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_npz_that_is_none(tmp_path: Any, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="an .npz file of numeric arrays"):
        read_table(path)


def test_a_column_of_labels() -> None:
    x, y = table()
    frame = pd.DataFrame({"label": y})
    for column in (y[:, None], frame, frame["label"], [[value] for value in y]):
        assert hd.Problem.from_data(x, column) == hd.Problem.from_data(x, y)


def test_frames_are_matched_by_their_index() -> None:
    x, y = table()
    frame, labels = pd.DataFrame(x), pd.Series(y)
    assert hd.Problem.from_data(frame, labels).rows.noise == pytest.approx(hd.Problem.from_data(x, y).rows.noise)
    shuffled = labels.sample(frac=1.0, random_state=1)
    for other in (shuffled, shuffled.to_frame(), labels.set_axis(range(1, 41))):
        with pytest.raises(InvalidInput, match=r"y: expected the index of X \(y.loc.*, got \d+ in X and \d+ in y"):
            hd.Problem.from_data(frame, other)
    aligned = hd.Problem.from_data(frame, shuffled.loc[frame.index])
    assert aligned.rows.noise == pytest.approx(hd.Problem.from_data(x, y).rows.noise)
    assert hd.Problem.from_data(x, shuffled).rows is not None  # an array has no index


class Tensor:
    """As much of a PyTorch tensor as a function meets that wants an array."""

    def __init__(self, values: Any, requires_grad: bool, device: str = "cpu") -> None:
        self.values, self.requires_grad = np.asarray(values, dtype=np.float32), requires_grad
        self.device = SimpleNamespace(type=device)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.device.type != "cpu":
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        return np.array(self.values, dtype=dtype)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda a: Tensor(a, True), r"a Tensor that requires grad; its detach\(\)"),
        (lambda a: Tensor(a, False, "cuda"), r"on the device .*; its cpu\(\)"),
        (sparse.csr_matrix, r"a csr_matrix, which is sparse; its toarray\(\)"),
        (sparse.coo_array, r"a coo_array, which is sparse; its toarray\(\)"),
    ],
)
def test_arrays_of_other_libraries_are_refused_with_the_remedy(made: Any, message: str) -> None:
    """Every argument that takes an array, by the ways they are read."""
    x, y = table()
    calls = [
        lambda: hd.Problem.from_data(made(x), y),
        lambda: hd.Problem.from_data(x, made(y[:, None])),
        lambda: hd.Problem(made(np.eye(3))),
        lambda: hd.Covariance(made(np.eye(3))),
        lambda: hd.Problem(hd.Isotropic(3), target=made(np.ones((1, 3)))),
        lambda: hd.Empirical(made(np.ones((1, 3)))),
    ]
    for call in calls:
        with pytest.raises(InvalidInput, match=message) as caught:
            call()
        assert len(str(caught.value)) < 400


def test_a_list_of_tensors() -> None:
    with pytest.raises(InvalidInput, match="target: expected a finite array"):
        hd.Problem(hd.Isotropic(2), target=[Tensor(1.0, True)] * 2)


def test_covariances_in_single_precision() -> None:
    """X^T X/n and correlations in float32 with fewer rows than features: symmetric and positive up to rounding."""
    x = np.random.default_rng(0).standard_normal((30, 80)).astype(np.float32)
    asymmetric = np.corrcoef(x.T).astype(np.float32)
    asymmetric[0, 1] *= np.float32(1 + 4e-7)
    for k in (x.T @ x / np.float32(30), np.cov(x.T).astype(np.float32), asymmetric):
        assert k.dtype == np.float32
        kept = hd.Problem(k)
        assert kept.covariance.eigenvalues[-1] == pytest.approx(np.linalg.eigvalsh(k.astype(np.float64))[-1], rel=1e-6)
        assert kept.covariance.eigenvalues[0] >= 0
        hd.predict(kept, hd.SGD(0.1), horizon=1.0)
    for k in (asymmetric.astype(np.float64), asymmetric + np.triu(np.full((80, 80), 1e-4, dtype=np.float32), 1)):
        with pytest.raises(InvalidInput, match="expected .* symmetric matrix"):
            hd.Problem(k)
    with pytest.raises(InvalidInput, match="positive semi-definite"):
        hd.Problem(np.diag(np.array([1.0, -1e-3], dtype=np.float32)))


def rows_with_memory(kind: str, n: int, d: int, rng: Any) -> Any:
    """Independent rows, a delay line of white noise, or rows that keep 0.6 of the one before."""
    if kind == "delay line":
        return np.lib.stride_tricks.sliding_window_view(rng.standard_normal(n + d - 1), d)
    x = rng.standard_normal((n, d)) * np.linspace(0.5, 2, d)
    if kind == "share":
        for k in range(1, n):
            x[k] = 0.6 * x[k - 1] + 0.8 * x[k]
    return x


@pytest.mark.parametrize(("kind", "expected"), [("delay line", 1.0), ("share", 0.6)])
@pytest.mark.parametrize("shape", [(400, 30), (120, 200)])
def test_rows_that_depend_on_each_other_are_told(kind: str, expected: float, shape: tuple[int, int]) -> None:
    """Population: norm(E u u'^T)/norm(E u u^T), 1 for a shift by one place and 0.6 for 0.6 of the row before."""
    rng = np.random.default_rng(2)
    x = rows_with_memory(kind, *shape, rng)
    found = lag_correlation(x - x.mean(axis=0))
    assert found == pytest.approx(expected, abs=0.1) if shape[0] > shape[1] else found > 0.5
    with pytest.warns(ValidityWarning, match="rows that follow each other are correlated, by [01]"):
        hd.Problem.from_data(x, x @ np.ones(shape[1]) + rng.standard_normal(shape[0]), ridge=50.0)


@pytest.mark.parametrize("shape", [(400, 30), (60, 100), (50, 1), (4, 2)])
def test_independent_rows_are_not(shape: tuple[int, int]) -> None:
    """False alarms: at most 5e-6 a table; 200 tables of Gaussian rows and of rows with lognormal norms."""
    rng = np.random.default_rng(4)
    for k in range(200):
        x = rows_with_memory("none", *shape, rng)
        if k % 2:
            x = x * np.exp(rng.standard_normal(shape[0]))[:, None]
        x = x - x.mean(axis=0)
        assert lag_correlation(x) <= max(LARGEST_DEPENDENCE, np.sqrt(CHANCE / shape[0]))
