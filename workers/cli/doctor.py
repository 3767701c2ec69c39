"""`lookstream doctor`."""

from __future__ import annotations

import typer

from workers.cli.console import Json, finish, out


def doctor(json: Json = False) -> None:
    """Check this set-up, with what to do where something is wrong.

    Checks versions, settings, weights, the broker and its topics, Milvus and its collection.
    Ends with status 1 when something is wrong.
    """
    from workers.deploy.doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if not json:
            mark = "[green]✓[/]" if finding.good else "[red]✗[/]"
            out.print(f"{mark} [bold]{finding.what}[/]: ", end="")
            out.print(finding.state, markup=False, highlight=False, soft_wrap=True)
            if finding.remedy:
                out.print(f"  → {finding.remedy}", markup=False, highlight=False, soft_wrap=True)
    bad = [finding for finding in findings if not finding.good]
    finish({"healthy": not bad, "findings": [f.json() for f in findings]}, json)
    if bad:
        raise typer.Exit(1)
