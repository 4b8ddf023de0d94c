"""`python -m benchmarks`: run the works, print what they find, write docs/benchmarks.md and its chart."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import machine, peers, postgres, report, works
from benchmarks.findings import Finding

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"


def main() -> int:
    arguments = parsed_arguments()
    # Set on some machines; every start of a command would compile all of its modules again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:  # nohup, or a shell's `&`: all that is started would ignore them
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that workers and servers are stopped then as well
    begun = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="run-", dir=directory(arguments.directory)))
    if machine.file_system(place).startswith("tmpfs"):
        sys.exit(f"{place} is in memory, where nothing is ever synced: give a --directory on a disk")
    try:
        with postgres.running() as server:
            findings, circumstances = measured(arguments, place, server)
    finally:
        shutil.rmtree(place)
    print(f"\n{report.summary(findings)}\nIt took {(time.monotonic() - begun) / 60:.0f} minutes.")
    if arguments.only:
        print("Some works only: docs/benchmarks.md stays as it is.")
    else:
        (DOCS / "benchmarks.md").write_text(report.markdown(findings, circumstances))
        (DOCS / "benchmarks.svg").write_text(report.chart(findings))
        print(f"Written: {DOCS / 'benchmarks.md'}, {DOCS / 'benchmarks.svg'}")
    return 0


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="everything scaled down: minutes, and less exact")
    parser.add_argument("--rounds", type=int, help="how often each contestant takes its turn")
    parser.add_argument("--jobs", type=int, help="commands in each run")
    parser.add_argument("--snapshot-seconds", type=float, help="how long the snapshot is open; 600: ten minutes")
    parser.add_argument("--idle-seconds", type=float, help="how long idle workers are watched")
    parser.add_argument(
        "--only", action="append", choices=list(works.ALL), metavar="NAME", help=f"this work: {', '.join(works.ALL)}"
    )
    parser.add_argument("--peers", help="these peers, by their names with semicolons between; `none` for none")
    parser.add_argument("--directory", type=Path, default=HERE / ".work", help="where databases are made: on a disk")
    return parser.parse_args()


def directory(chosen: Path) -> Path:
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen


def measured(
    arguments: argparse.Namespace, place: Path, server: postgres.Running | str
) -> tuple[Sequence[Finding], report.Circumstances]:
    scale = works.QUICK if arguments.quick else works.FULL
    chosen = {name: getattr(arguments, name) for name in ("rounds", "jobs", "snapshot_seconds", "idle_seconds")}
    scale = replace(scale, **{name: value for name, value in chosen.items() if value is not None})
    contestants = [prepared(peer, arguments.peers, server) for peer in peers.ALL]
    here = {each.name for each in contestants if each.is_here}
    about = machine.description(place)
    if isinstance(server, str):
        about["PostgreSQL"] = f"left out: {server}"
    else:
        about["PostgreSQL"] = server.describe()
        if (data := server.directory()) and Path(data).exists():
            about["file system of PostgreSQL"] = machine.file_system(Path(data))
    for each in contestants:
        print(f"{each.name}: {each.version}" if each.is_here else f"without {each.name}: {each.version}")
    bench = works.Bench(
        scale=scale,
        place=place,
        new_database=None if isinstance(server, str) else server.new_database,
        peers=[peer for peer in peers.ALL if peer.name in here],
        say=lambda text: print(text, flush=True),
    )
    findings = []
    load_before = os.getloadavg()[0]
    try:
        for name in arguments.only or works.ALL:
            print(f"\n{name}", flush=True)
            work_begun, (stolen_before, all_before) = time.monotonic(), machine.processor_times()
            findings.append(found(works.ALL[name], bench))
            stolen, all_ = machine.processor_times()
            share = (stolen - stolen_before) / (all_ - all_before)
            findings[-1].notes.append(f"Meanwhile the host gave {share:.0%} of the processors' time to others.")
            print("\n".join(report.lines_of(findings[-1])))
            print(f"({time.monotonic() - work_begun:.0f} s)", flush=True)
    finally:
        bench.close()
    about["load when it began"] = f"{load_before:.1f}"
    circumstances = report.Circumstances(
        machine=about,
        contestants=contestants,
        scale=f"{'a quick run, everything scaled down' if arguments.quick else 'a full run'}; "
        f"{scale.rounds} rounds, {scale.workers} workers",
        command=" ".join(["make bench", *([f'BENCH_ARGS="{" ".join(sys.argv[1:])}"'] if sys.argv[1:] else [])]),
    )
    return findings, circumstances


def prepared(peer: peers.Peer, wanted: str | None, server: postgres.Running | str) -> report.Contestant:
    """The peer, ready to run, or with the reason why not."""
    reason = None
    if wanted is not None and peer.name.lower() not in {name.strip().lower() for name in wanted.split(";")}:
        reason = "not asked for"
    elif isinstance(server, str) and peer in peers.ON_POSTGRES:
        reason = server
    else:
        try:
            return report.Contestant(peer.name, peer.prepare(), peer.settings, peer.measured, is_here=True)
        except peers.Missing as missing:
            reason = str(missing)
    return report.Contestant(peer.name, reason, peer.settings, peer.measured, is_here=False)


def found(work: works.Work, bench: works.Bench) -> Finding:
    """What the work finds; when it fails, that is what there is to tell, and the others go on."""
    try:
        return work(bench)
    except Exception as error:  # noqa: BLE001 - an hour's other results must not be lost for it
        print(f"failed: {error!r}", flush=True)
        title = (work.__doc__ or work.__name__).rstrip(".")
        return Finding(title, "It failed, and says nothing:", notes=[f"`{type(error).__name__}: {error}`"])


if __name__ == "__main__":
    sys.exit(main())
