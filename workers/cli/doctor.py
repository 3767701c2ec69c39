"""`lookstream doctor`."""

from __future__ import annotations

import typer
from rich.text import Text

from workers.cli.console import Json, finish, out, print_line
from workers.terminal.printable import printable


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
            mark = ("✓", "green") if finding.good else ("✗", "red")
            what = (printable(finding.what), "bold")
            out.print(
                Text.assemble(mark, " ", what, ": ", printable(finding.state)), soft_wrap=True
            )
            if finding.remedy:
                print_line(f"  → {finding.remedy}")
    bad = [finding for finding in findings if not finding.good]
    finish({"healthy": not bad, "findings": [f.json() for f in findings]}, json)
    if bad:
        raise typer.Exit(1)
