"""How fast the integrator is, against the solvers that one could use instead, at equal achieved error.

    python examples/benchmarks/solvers.py [--quick] [--case NAME] [--plot FILE.png] [--json FILE.json]

Every solver integrates the same limit over a ladder of tolerances; its achieved error is max |R/R_ref - 1| over 50
times against a reference good to 1e-11. Times are processor times of one thread, medians of 7 calls or more that take
turns after a warm-up; ' marks fewer calls (slow solvers away from 1e-6), ~ an extrapolation. Ratios are at an error
of 1e-6. Then follows what must hold, and what the machine can do. `compare.py OLD.json NEW.json` compares two runs.
CyRK and diffrax come with `pip install -e '.[bench]'`; without them their lines say so.
"""

from __future__ import annotations

import argparse
import os
import sys

ONE_THREAD = {
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}
QUICK_CASES = ("isotropic", "mild", "stiff")


def arguments(line: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Work and precision of the integrator and of others.")
    parser.add_argument("--quick", action="store_true", help="three cases, 3 calls a median, under a minute")
    parser.add_argument("--case", action="append", metavar="NAME", help="this case alone (may be repeated)")
    parser.add_argument("--plot", metavar="FILE", help="write the work-precision figure (.png, .pdf, .svg)")
    parser.add_argument("--json", metavar="FILE", help="write ratios, versions and machine, for compare.py")
    options = parser.parse_args(line)
    for path in filter(None, (options.plot, options.json)):
        if not os.access(os.path.dirname(path) or ".", os.W_OK):
            parser.error(f"{path}: its folder cannot be written")
    if options.plot and not options.plot.endswith((".png", ".pdf", ".svg")):
        parser.error(f"--plot: expected a name that ends in .png, .pdf or .svg, got {options.plot}")
    return options


def main(line: list[str] | None = None) -> None:
    """Measure and print."""
    options = arguments(line)
    os.environ |= ONE_THREAD  # before NumPy and JAX are loaded
    import machine
    import report
    from precision import Effort
    from rows import rows_of
    from suite import run_case
    from systems import CASES

    known = {case.name: case for case in CASES}
    names = options.case or (QUICK_CASES if options.quick else list(known))
    if unknown := set(names) - set(known):
        sys.exit(f"--case: expected one of {', '.join(known)}, got {', '.join(sorted(unknown))}")
    effort = Effort(repeats=3, longest=2.0) if options.quick else Effort()
    facts = machine.facts()
    print(", ".join(f"{name} {found}" for name, found in report.versions().items()))
    results = []
    for name in names:
        results.append(run_case(known[name], options.quick, effort))
        print("\n" + "\n".join(report.case_lines(results[-1])), flush=True)
    rows = rows_of(results, options.quick, effort.repeats) if not options.case else []
    if rows:
        print("\nWhat must hold\n" + "\n".join(report.row_lines(rows)))
    print("\nOne core: " + ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else str(v) for k, v in facts.items()))
    if options.json:
        settings = {"quick": options.quick, "cases": list(names)}
        report.write(options.json, report.record(results, rows, facts, settings))
    if options.plot:
        from figure import draw

        draw(results, options.plot)


if __name__ == "__main__":
    main()
