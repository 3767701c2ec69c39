"""`lookstream lag`."""

from __future__ import annotations

from workers.cli.console import Json, finish, print_line, say


def lag(json: Json = False) -> None:
    """Show how many records the workers have not finished, by topic and partition.

    The end of each partition is read, so that the figures are right on the embedded broker too.
    What is taken but not finished counts. A group that never committed begins with the first one.

    [bold]Examples[/]

      lookstream lag
      lookstream lag --json
    """
    from dataclasses import asdict

    from stream.connection import check_broker
    from workers.config.settings import load_settings
    from workers.config.wiring import kafka_of
    from workers.deploy.lag import WORKERS, behind, group_lag

    settings = load_settings()
    check_broker(kafka_of(settings))
    lags = {worker: group_lag(settings, worker) for worker in WORKERS}
    if not json:
        width = max(len(one.topic) for of_group in lags.values() for one in of_group)
        print_line(f"{'worker':<10}{'topic':<{width + 2}}partition  finished       end    behind")
        for worker, of_group in lags.items():
            for one in of_group:
                finished = "–" if one.committed is None else str(one.committed)
                print_line(
                    f"{worker:<10}{one.topic:<{width + 2}}{one.partition:>9}"
                    f"{finished:>10}{one.end:>10}{one.lag:>10}"
                )
        say(", ".join(f"{worker}: {behind(of_group)} behind" for worker, of_group in lags.items()))
    report = {
        worker: {"behind": behind(of_group), "partitions": [asdict(one) for one in of_group]}
        for worker, of_group in lags.items()
    }
    finish(report, json)
