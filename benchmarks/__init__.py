"""One module per benchmark: baselines in the same run, one JSON object as the last line.

Packages hold parts of benchmarks. They run in a checkout: some use servers and doubles of `tests`
(see `tests.doubles`).
"""
