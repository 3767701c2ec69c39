"""Real servers on loopback: Apache Kafka, Milvus, Milvus Lite.

For fixtures of tests, and for benchmarks.
"""


class ServerMissing(Exception):
    """The server is not available here; the message says what to install or to set."""
