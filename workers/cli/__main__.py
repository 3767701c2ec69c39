"""`python -m workers.cli`, which is how the supervisor starts its workers."""

from workers.cli import main

main()
