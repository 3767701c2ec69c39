"""Real servers on loopback, for benchmarks and tests: Apache Kafka, Milvus, Milvus Lite."""


class ServerMissing(Exception):
    """The server cannot be had here; the message says what to install or to set."""
