"""`proactive data fetch`: a benchmark from the Hugging Face Hub."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.filesize import decimal

from proactive_env.recipes import console
from proactive_env.recipes.data.fetch import DATASET, fetch_subsets


def fetch(
    dataset: Annotated[Literal["proactivevideoqa"], typer.Argument(help="The benchmark.")],
    subset: Annotated[str | None, typer.Option(help="WEB, EGO, TV or VAD; default: all four.")] = None,
    out: Annotated[Path, typer.Option(help="Where it goes: the --data of other commands.", file_okay=False)] = Path(
        "ProactiveVideoQA"
    ),
    revision: Annotated[
        str | None,
        typer.Option(help="Branch, tag or commit; default: the commit that OUT was fetched at, or main if it is new."),
    ] = None,
) -> None:
    """Download a benchmark from the Hugging Face Hub and check every file.

    The same command continues a download that was stopped: what is there and
    right is not downloaded again. A cut connection is resumed; after a killed
    process, the files it was in the middle of may start over.

    No commit of the data set is built into this library: the first call looks
    up the newest one, prints it and records it in OUT/fetched.json, and later
    calls with the same OUT stay at it. Publish that commit with your results;
    others give it to --revision.

    Gated or private data needs the environment variable HF_TOKEN.
    """
    fetch_subsets(
        out,
        subset,
        revision,
        on_commit=lambda commit: console.out.print(f"{DATASET} at commit {commit}", soft_wrap=True, highlight=False),
        on_subset=lambda name, found: console.out.print(
            f"{name}: {found.files} files, {decimal(found.bytes)}, all as listed", highlight=False
        ),
    )
    command = ["proactive", "eval", "--benchmark", dataset, "--data", str(out)]
    command += ["--subset", subset] if subset else []
    console.out.print(f"Next: {shlex.join(command)} --agent oracle", soft_wrap=True, highlight=False)
