"""A plan grows with what is asked for, and says what it assumes."""

from __future__ import annotations

import json
from dataclasses import replace

from typer.testing import CliRunner

from workers.cli import app
from workers.jobs.capacity import Assumptions, plan_capacity


def test_a_billion_items() -> None:
    plan = plan_capacity(10**9, 2000, Assumptions())
    assert (plan.prototypes, plan.upper_prototypes, plan.partitions) == (10_000_000, 3162, 1024)
    assert plan.vectors_gb == 768
    assert plan.compared_per_query < 20_000
    usable = plan.assumptions.node_gb * plan.assumptions.utilisation
    assert plan.index_nodes / plan.assumptions.replicas * usable >= plan.vectors_gb


def test_a_small_catalog_needs_one_level_and_a_node_of_each_kind() -> None:
    plan = plan_capacity(10_000, 1, replace(Assumptions(), replicas=1))
    assert plan.upper_prototypes == 0
    assert (plan.index_nodes, plan.query_nodes, plan.partitions) == (1, 1, 64)


def test_more_of_anything_never_costs_less() -> None:
    costs = [
        plan_capacity(items, qps, Assumptions()).usd_per_month
        for items, qps in ((10**6, 10), (10**8, 10), (10**8, 10_000), (10**9, 10_000))
    ]
    assert costs == sorted(costs)


def test_the_command() -> None:
    done = CliRunner().invoke(app, ["plan", "--items", "1e9", "--qps", "2000", "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["items"] == 10**9
    assert report["assumptions"]["dim"] == 768
    shown = CliRunner().invoke(app, ["plan", "--items", "5e6"])
    assert "opened_rows" in shown.stdout
    assert CliRunner().invoke(app, ["plan", "--items", "0"]).exit_code != 0
