"""How far long work is, on standard error: bars on a terminal, plain lines in a log.

    with open_progress() as progress, progress.task("encoding", 4500) as task:
        ...
        task(1200)

A task is also what functions of the lower rooms take as `progress(done, total)`, and
`Progress.phases` is for those that name what they do.
"""
