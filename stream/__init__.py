"""Kafka: messages, topics, codecs, delivery, the request/reply client, the embedded broker."""
