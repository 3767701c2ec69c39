"""`lookstream plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.cli.console import Json, finish, print_line
from workers.errors import SettingsError

MOST = 1e13


def plan(
    items: Annotated[float, typer.Option(help="Pictures in the index, such as 1e9.")],
    qps: Annotated[float, typer.Option(help="Queries a second at the peak.")] = 10.0,
    dim: Annotated[int, typer.Option(min=64, help="Values of a vector.")] = 768,
    replicas: Annotated[int, typer.Option(min=1, help="Copies of the index.")] = 2,
    node_cores: Annotated[int, typer.Option(min=1, help="Cores of a node.")] = 32,
    node_gb: Annotated[int, typer.Option(min=1, help="Memory of a node.")] = 256,
    node_usd_per_hour: Annotated[float, typer.Option(min=0, help="What it costs.")] = 2.0,
    changes_per_day: Annotated[
        float, typer.Option(min=0, help="Share of the items that change in a day.")
    ] = 0.05,
    json: Json = False,
) -> None:
    """Plan partitions, prototypes, nodes, memory and cost for a catalog on Milvus servers.

    Worked out from measured constants (docs/scale.md); all assumptions are printed.

    [bold]Examples[/]

      lookstream plan --items 1e9 --qps 2000
      lookstream plan --items 5e6 --node-gb 64 --json
    """
    from dataclasses import asdict

    from workers.jobs.capacity import Assumptions, plan_capacity

    if not 1 <= items <= MOST or not 0 <= qps < MOST:
        raise SettingsError(f"--items must be 1 to {MOST:g} and --qps 0 or more")
    found = plan_capacity(
        int(items),
        qps,
        Assumptions(
            dim=dim,
            replicas=replicas,
            node_cores=node_cores,
            node_gb=node_gb,
            node_usd_per_hour=node_usd_per_hour,
            changes_per_day=changes_per_day,
        ),
    )
    report = found.json()
    if not json:
        lines = {name: value for name, value in report.items() if name != "assumptions"}
        for name, value in lines.items():
            print_line(f"{name:<22}{value:>18,}")
        print_line("assumed:")
        for name, value in asdict(found.assumptions).items():
            print_line(f"  {name:<22}{value:>16,}")
    finish(report, json)
