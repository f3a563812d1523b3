"""`raysim scan` and `raysim clones` beside jscpd and sim_text, on installed Python packages and a generated set.

Interleaved rounds, medians; every program sees the same files and has the same cores. Peers that are not on the PATH,
nor named by --jscpd and --sim-text, are left out. What jscpd reports and meets our definition must be found. Where a
lexer is at work, runs with --index stand beside ones without, in --lexed-rounds rounds; what they find must be equal.
    python experiments/benchmarks/scan.py [--rounds 3] [--jscpd PATH] [--sim-text PATH] [--sizes 10 100 500 2000]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raysim.corpus.lines import significant_lines

PACKAGES = {"meta": ["torch"], "microsoft": ["deepspeed"], "google": ["google", "grpc"]}
MIN_LINES = 6
GENERATED_FILES = 400
RAYSIM = (sys.executable, "-c", "from raysim.cli.main import main; main()")


def lay_out(root: Path) -> None:
    """Copies the packages' Python files to `root`, and makes generated ones of their pieces and of noise."""
    client = Path(sysconfig.get_path("purelib"))
    for owner, packages in PACKAGES.items():
        for package in packages:
            for file in sorted((client / package).rglob("*.py")):
                target = root / owner / file.relative_to(client)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
    draw = np.random.Generator(np.random.Philox(1))
    files = sorted(root.rglob("*.py"))
    (root / "generated").mkdir()
    for number in range(GENERATED_FILES):
        lines: list[str] = []
        for _ in range(4):
            own = files[draw.integers(len(files))].read_text(encoding="utf-8").split("\n")
            start, count = int(draw.integers(max(1, len(own) - 3))), int(draw.integers(3, 40))
            lines += [*own[start : start + count], f"value_{number} = {draw.integers(1 << 40)}"]
        (root / "generated" / f"g{number:04}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")


def seconds(command: Sequence[str], stdin: str = "") -> float:
    started_s = time.perf_counter()
    subprocess.run(command, input=stdin, capture_output=True, text=True, check=True)
    return time.perf_counter() - started_s


def seconds_and_peak(command: Sequence[str]) -> tuple[float, int]:
    """Wall time, and the most memory that the process held at once, in bytes."""
    started_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, command
    return time.perf_counter() - started_s, 1024 * usage.ru_maxrss


def corpora_of(root: Path) -> list[str]:
    return [part for owner in PACKAGES for part in ("--corpus", f"{owner}={root / owner}")]


def scan_command(root: Path, out: Path) -> list[str]:
    return [*RAYSIM, "scan", "--generated", str(root / "generated"), *corpora_of(root), "--json", str(out)]


def clones_command(root: Path, out: Path) -> list[str]:
    return [*RAYSIM, "clones", *corpora_of(root), "--corpus", f"generated={root / 'generated'}", "--json", str(out)]


def in_process(root: Path) -> float:
    """Seconds of `scan` in a process that has imported everything, listing and reading of files included."""
    code = f"""
import time
from raysim.scan.corpora import open_corpus
from raysim.scan.reading import Reader
from raysim.scan.scan import scan
started_s = time.perf_counter()
owners = [open_corpus(name, f"{root}/" + name) for name in {list(PACKAGES)!r}]
scan(open_corpus("generated", "{root}/generated"), owners, None, {MIN_LINES}, Reader())
print(time.perf_counter() - started_s)
"""
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def missed(root: Path, report: Path, found: Mapping[str, Any]) -> tuple[int, int]:
    """Regions of jscpd's report between two owners that hold a match as we define it, and those of them we lack."""
    covered: dict[str, set[int]] = defaultdict(set)
    for match in found["matches"]:
        name = f"{match['org']}/{match['path']}"
        covered[name] |= set(range(match["start"], match["end"] + 1))
    regions = lacking = 0
    for clone in json.loads(report.read_text())["duplicates"]:
        sides = [clone["firstFile"], clone["secondFile"]]
        names = [side["name"] for side in sides]
        order = [*PACKAGES, "generated"]
        if names[0].split("/")[0] == names[1].split("/")[0]:
            continue
        ours = min((0, 1), key=lambda i: order.index(names[i].split("/")[0]))
        texts = [(root / name).read_text(encoding="utf-8").split("\n") for name in names]
        spans = [texts[i][side["start"] - 1 : side["end"]] for i, side in enumerate(sides)]
        lines, numbers = significant_lines("\n".join(spans[ours]))
        others, _ = significant_lines("\n".join(spans[1 - ours]))
        wanted = equal_runs(lines, others)
        if not wanted:
            continue
        regions += 1
        first = sides[ours]["start"] - 1
        lacking += not {first + numbers[i] for i in wanted} <= covered[names[ours]]
    return regions, lacking


def equal_runs(left: Sequence[str], right: Sequence[str]) -> set[int]:
    """Places in `left` that lie in a run of `MIN_LINES` equal lines."""
    windows = {tuple(right[i : i + MIN_LINES]) for i in range(len(right) - MIN_LINES + 1)}
    starts = [i for i in range(len(left) - MIN_LINES + 1) if tuple(left[i : i + MIN_LINES]) in windows]
    return {i + offset for i in starts for offset in range(MIN_LINES)}


def row(case: str, mine: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    ratios = [peer / own for own, peer in zip(mine, theirs, strict=True)]
    return {
        "case": case,
        "raysim": round(statistics.median(mine), 3),
        "peer": round(statistics.median(theirs), 3),
        "unit": "s",
        "ratio": round(statistics.median(ratios), 2),
        "spread": [round(min(ratios), 2), round(max(ratios), 2)],
    }


def compare(rounds: int, jscpd: str | None, sim_text: str | None) -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder) / "code", Path(folder) / "out"
        out.mkdir()
        lay_out(root)
        megabytes = sum(file.stat().st_size for file in root.rglob("*.py")) / 1e6
        print(f"{megabytes:.1f} MB in {sum(1 for _ in root.rglob('*.py')):,} files")
        names = "\n".join(map(str, sorted((root / "generated").glob("*.py"))))
        names += "\n/\n" + "\n".join(str(f) for owner in PACKAGES for f in sorted((root / owner).rglob("*.py"))) + "\n"
        arms: dict[str, Callable[[], float]] = {
            "scan": lambda: seconds(scan_command(root, out / "scan.json")),
            "clones": lambda: seconds(clones_command(root, out / "clones.json")),
            "in process": lambda: in_process(root),
        }
        if jscpd:
            options = ["--format", "python", "--min-lines", str(MIN_LINES), "--min-tokens", "20", "--mode", "mild"]
            command = [jscpd, str(root), *options, "--max-size", "100mb", "--max-lines", "1000000"]
            arms["jscpd"] = lambda: seconds([*command, "--reporters", "json", "--output", str(out), "--silent"])
        if sim_text:
            arms["sim_text"] = lambda: seconds([sim_text, "-i", "-n", "-S", "-r", "24"], names)
        times: dict[str, list[float]] = {name: [] for name in arms}
        for round_number in range(rounds + 1):
            for name, arm in arms.items():
                taken = arm()
                if round_number:
                    times[name].append(taken)
        if jscpd:
            rows.append(row("the whole command, scan, beside jscpd", times["scan"], times["jscpd"]))
            rows.append(row("the whole command, clones, beside jscpd", times["clones"], times["jscpd"]))
            regions, lacking = missed(root, out / "jscpd-report.json", json.loads((out / "clones.json").read_text()))
            print(
                f"jscpd: {regions} regions between owners hold a match of {MIN_LINES} lines; {lacking} not found by us"
            )
            assert not lacking
        if sim_text:
            rows.append(row("scan in process beside sim_text", times["in process"], times["sim_text"]))
    return rows


def remember(rounds: int) -> list[dict[str, Any]]:
    """`clones` where a lexer is at work: with an index at first, again, and after a change of one file, beside none."""
    owners = [owner for owner in PACKAGES if owner != "meta"] + ["generated"]
    times: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        root, index = Path(folder) / "code", Path(folder) / "index"
        lay_out(root)
        shutil.rmtree(root / "meta")
        files = sorted(root.rglob("*.py"))
        print(f"lexed: {sum(file.stat().st_size for file in files) / 1e6:.1f} MB in {len(files):,} files")

        def taken(case: str, *options: str) -> str:
            out = Path(folder) / "out.json"
            corpora = [part for owner in owners for part in ("--corpus", f"{owner}={root / owner}")]
            command = [*RAYSIM, "clones", *corpora, "--blind", "--ignore-comments", *options, "--json", str(out)]
            times[case].append(seconds(command))
            return out.read_text()

        after = ""
        for round_number in range(rounds):
            shutil.rmtree(index, ignore_errors=True)
            found = {taken(case, "--index", str(index)) for case in ("first run", "second run")}
            assert found == {taken("none")}
            with open(files[round_number], "a", encoding="utf-8") as file:
                file.write(f"\nnew_{round_number} = 1\n")
            after = taken("after a change of one file", "--index", str(index))
        assert after == taken("check")
    return [
        row(f"clones without comments and names, with an index, {case}, beside none", times[case], times["none"])
        for case in ("first run", "second run", "after a change of one file")
    ]


def grow(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Time a megabyte and peak memory of `scan` as the corpus grows; each copy of the packages has lines of its own."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        lay_out(root / "base")
        files = [f for owner in PACKAGES for f in sorted((root / "base" / owner).rglob("*.py"))]
        texts = [file.read_text(encoding="utf-8") for file in files]
        for size in sizes:
            corpus, written, copy = root / f"c{size}", 0, 0
            while written < size * 1e6:
                for number, text in enumerate(texts):
                    if written >= size * 1e6:
                        break
                    target = corpus / f"{copy}" / f"{number}.py"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    content = text if copy == 0 else text.replace("self", f"self{copy}").replace("#", f"#{copy} ")
                    written += target.write_text(content, encoding="utf-8")
                copy += 1
            command = [*RAYSIM, "scan", "--generated", str(root / "base" / "generated"), "--corpus", f"all={corpus}"]
            taken, peak = seconds_and_peak([*command, "--json", str(root / "out.json")])
            shutil.rmtree(corpus)
            rows.append(
                {
                    "case": f"scan of {written / 1e6:,.0f} MB",
                    "raysim": round(1000 * taken / (written / 1e6), 2),
                    "peer": None,
                    "unit": "ms/MB",
                    "ratio": None,
                    "peak_mb": round(peak / 1e6),
                }
            )
            print(rows[-1])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jscpd", default=shutil.which("jscpd"))
    parser.add_argument("--sim-text", default=shutil.which("sim_text"))
    parser.add_argument("--sizes", type=int, nargs="*", default=[10, 100, 500])
    parser.add_argument("--lexed-rounds", type=int, default=1)
    arguments = parser.parse_args()
    rows = compare(arguments.rounds, arguments.jscpd, arguments.sim_text) if arguments.rounds else []
    rows += remember(arguments.lexed_rounds) if arguments.lexed_rounds else []
    for line in rows:
        print(line)
    rows += grow(arguments.sizes)
    print(json.dumps({"benchmark": "scan", "rows": rows}))


if __name__ == "__main__":
    main()
