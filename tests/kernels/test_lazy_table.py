"""Tables that fill as they are read: the same bits whoever fills them, and in whatever order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

import hdlimit as hd
from hdlimit.kernels import lazy_table
from hdlimit.response.response import MapResponse

THRESHOLD, THREADS = 0.7, 6
POINTS = np.random.default_rng(3).permutation(np.geomspace(1e-12, 1e6, 3000))


def empty_table() -> np.ndarray:
    compiled = MapResponse("clip", hd.StudentT(4.0, 0.4)).compiled((1e-12, 1e6), (THRESHOLD, THRESHOLD))
    assert compiled.kernel is lazy_table.remembered
    parameters = compiled.parameters.copy()
    parameters[lazy_table.HEAD + 3 * int(parameters[lazy_table.TERMS]) :] = np.nan
    return parameters


def read(parameters: np.ndarray, points: np.ndarray) -> np.ndarray:
    return np.array([lazy_table.remembered(v, THRESHOLD, parameters) for v in points.tolist()])


def test_threads_that_fill_one_table_read_the_same_bits() -> None:
    """Each in its own order, from the empty table on; the pieces they leave are those of one thread."""
    alone = empty_table()
    expected = read(alone, POINTS)
    for attempt in range(5):
        shared, barrier = empty_table(), Barrier(THREADS)

        def work(thread: int, shared: np.ndarray = shared, barrier: Barrier = barrier) -> np.ndarray:
            order = np.random.default_rng([attempt, thread]).permutation(POINTS.size)  # noqa: B023
            found = np.empty((POINTS.size, 2))
            barrier.wait()
            found[order] = read(shared, POINTS[order])
            return found

        with ThreadPoolExecutor(THREADS) as pool:
            for found in pool.map(work, range(THREADS)):
                np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(shared, alone)


def test_a_half_written_piece_is_filled_and_not_read() -> None:
    """What another thread may leave at any moment: any part of a piece there, the rest NaN."""
    whole = empty_table()
    v = 0.3
    expected = lazy_table.remembered(v, THRESHOLD, whole)
    written = np.flatnonzero(~np.isnan(whole))
    piece = written[written >= lazy_table.HEAD + 3 * int(whole[lazy_table.TERMS])]
    assert piece.size == 2 * lazy_table.WIDTH
    for k in range(piece.size):
        for missing in (piece[: k + 1], piece[k:], piece[k : k + 1]):
            half = whole.copy()
            half[missing] = np.nan
            assert lazy_table.remembered(v, THRESHOLD, half) == expected
            np.testing.assert_array_equal(half, whole)
    wrong = whole.copy()
    wrong[piece[3]] += 1e-3
    assert lazy_table.remembered(v, THRESHOLD, wrong) != expected
