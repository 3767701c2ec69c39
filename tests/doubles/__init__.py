"""Stand-ins for what is slow or cannot be had in a test, and an oracle for what the index holds.

Benchmarks import them too. The other way round, tests would depend on code that measures; and a
third place for what both need would only move the question. None of the three is the product.
"""
