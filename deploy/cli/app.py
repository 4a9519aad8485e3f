"""The commands put together, and the help that a newcomer sees first."""

from __future__ import annotations

import importlib.metadata
from typing import Annotated

import typer

from deploy.cli import (
    bulk,
    calibrate,
    camera,
    cluster,
    demo,
    encoders,
    enrol,
    evaluate,
    footfall,
    member,
    migrate,
    pairs,
    placement,
    search,
    stores,
    train,
    watch,
)
from deploy.cli.options import FriendlyGroup
from deploy.cli.output import say

HELP = """
A sharded face-search cluster for retail chains.

**First steps**

1. `facegrid demo` : see it work on invented shoppers, nothing is kept

2. `facegrid up` : start a cluster here; leave it running

3. `facegrid enrol vienna PHOTOS/` : in a second terminal; the store is created

4. `facegrid search PHOTO --store vienna --picture out.png` : who is this?

The HTTP API is described at http://127.0.0.1:8000/docs while the cluster runs.
"""

app = typer.Typer(
    name="facegrid",
    help=HELP,
    cls=FriendlyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"facegrid {importlib.metadata.version('facegrid')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Options of the whole command line."""


CLUSTER, PHOTOS, MODELS, MEASURE = "Cluster", "Photos and faces", "Models", "See and measure"
app.command(rich_help_panel=CLUSTER)(cluster.up)
app.command(rich_help_panel=CLUSTER)(cluster.gateway)
app.command(rich_help_panel=CLUSTER)(cluster.shard)
app.add_typer(stores.stores, name="stores", rich_help_panel=CLUSTER)
app.command(rich_help_panel=CLUSTER)(stores.shards)
app.command(rich_help_panel=CLUSTER)(placement.move)
app.command(rich_help_panel=CLUSTER)(placement.rebalance)
app.command(rich_help_panel=CLUSTER)(placement.drain)
app.command(rich_help_panel=PHOTOS)(enrol.enrol)
app.command("import", rich_help_panel=PHOTOS)(bulk.import_faces)
app.command("export", rich_help_panel=PHOTOS)(bulk.export_faces)
app.command(rich_help_panel=PHOTOS)(search.search)
app.command(rich_help_panel=PHOTOS)(search.verify)
app.command(rich_help_panel=PHOTOS)(camera.camera)
app.add_typer(member.member, name="member", rich_help_panel=PHOTOS)
app.add_typer(encoders.encoders, name="encoders", rich_help_panel=MODELS)
app.command(rich_help_panel=MODELS)(calibrate.calibrate)
app.command(rich_help_panel=MODELS)(train.train)
app.command(rich_help_panel=MODELS)(migrate.migrate)
app.command(rich_help_panel=MEASURE)(demo.demo)
app.command(rich_help_panel=MEASURE)(evaluate.evaluate)
app.command(rich_help_panel=MEASURE)(pairs.pairs)
app.command(rich_help_panel=MEASURE)(watch.watch)
app.command(rich_help_panel=MEASURE)(footfall.footfall)
