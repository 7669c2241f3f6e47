"""`proactive doctor`: what is installed here, what works, what can run."""

from collections.abc import Iterator, Mapping
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from proactive_env.datasets.proactivevideoqa import ROOT_VARIABLE
from proactive_env.recipes import console
from proactive_env.recipes.doctor import Facts, collect


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False) -> None:
    """Show what is installed here, what works, and which agents and judges can run.

    Encodes and decodes two pictures, writes and deletes a file in the cache
    folder, and loads PROACTIVEVIDEOQA_ROOT if it is set; downloads nothing.
    Exits with 1 if something is broken that every run needs.

    Paste the output of `proactive doctor --json` into bug reports.
    """
    facts = collect()
    if as_json:
        console.print_json(facts)
    else:
        for table in _tables(facts):
            console.out.print(table, "")
    for problem in facts["broken"]:
        console.problem(problem)
    if facts["broken"]:
        raise typer.Exit(1)


def _tables(facts: Facts) -> Iterator[Table]:
    libraries = "\n".join(f"{name} {found}" for name, found in facts["ffmpeg_libraries"].items())
    versions = {name: found or "not installed" for name, found in facts["versions"].items()}
    yield _table("versions", versions | {"ffmpeg": f"{versions['ffmpeg']}\n{libraries}"})
    yield _table("machine", _machine_rows(facts["machine"], facts["gpu"]))
    extras = facts["extras"].items()
    yield _table("extras", {name: _or_install(extra) for name, extra in extras})
    yield _table("checks", _check_rows(facts["cache"], facts["video"], facts["proactivevideoqa"]))
    yield _table("agents", {kind: _runs(found) for kind, found in facts["agents"].items()})
    yield _table("judges", {kind: _runs(found) for kind, found in facts["judges"].items()})


def _machine_rows(machine: Facts, gpu: Facts) -> dict[str, str]:
    memory = machine["memory_bytes"]
    devices = "\n".join(f"{device['name']}, {decimal(device['memory_bytes'])}" for device in gpu["devices"])
    return {
        "platform": machine["platform"],
        "CPU cores": str(machine["cpu_cores"]),
        "memory": decimal(memory) if memory else "unknown",
        "GPU": gpu["problem"] or devices or (f"none found by {gpu['asked']}" if gpu["asked"] else "none found"),
    }


def _check_rows(cache: Facts, video: Facts, real: Facts) -> dict[str, str]:
    loaded = f"{real['root']}\nepisodes: {real['episodes']}, bad rows: {real['bad_rows']}"
    return {
        "cache folder": f"{cache['folder']}\n{decimal(cache['bytes'])}, {cache['problem'] or 'can be written'}",
        "libx264 encoding": video["libx264_encoding_problem"] or "works",
        "H.264 decoding": video["h264_decoding_problem"] or "works",
        ROOT_VARIABLE: real["problem"] or (loaded if real["root"] else "not set"),
    }


def _or_install(extra: Facts) -> str:
    return f"lacks {', '.join(extra['missing'])}\n{extra['install']}" if extra["missing"] else "installed"


def _runs(found: Facts) -> str:
    return "runs" if found["runs"] else f"needs {', '.join(found['missing'])}"


def _table(title: str, rows: Mapping[str, str]) -> Table:
    """Names on the left, what was found on the right; the texts are shown as they are."""
    table = Table(title=title, title_justify="left", box=None, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True, width=22)
    table.add_column(overflow="fold")
    for name, found in rows.items():
        table.add_row(name, Text(found))
    return table
