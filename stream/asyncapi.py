"""The AsyncAPI 3 document: topics, what is on them, and who writes it; made from the structs."""

from __future__ import annotations

from typing import Any, NamedTuple

from stream.json_schema import MESSAGES, JsonSchema, schema_components
from stream.topics import Topic, Topics, topic_map

PREFIX = "{prefix}"
TEXT: JsonSchema = {"type": "string"}


class _Channel(NamedTuple):
    """A topic: `messages` on it, and what Lookstream does with them: send or receive."""

    action: str
    messages: tuple[str, ...]
    text: str


CHANNELS = {
    "catalog": _Channel(
        "receive",
        ("upsert", "patch", "delete"),
        "What happens to products. A record without a value deletes the product of its key; "
        "records of Debezium and others are mapped when they are read.",
    ),
    "query": _Channel("receive", ("query",), "What shoppers ask."),
    "result": _Channel(
        "send",
        ("result", "result-1"),
        "One answer for each query, in the schema that it was asked in.",
    ),
    "impression": _Channel("send", ("impression",), "The list that was shown for a query."),
    "click": _Channel("receive", ("click",), "What shoppers did with a list."),
    "attributed_click": _Channel(
        "send", ("attributed_click",), "Clicks, each with the list it was made on."
    ),
    "dead_letter": _Channel(
        "send", ("dead_letter",), "Records that were refused, unchanged, with the reason."
    ),
    "outcome": _Channel("send", ("outcomes",), "How records of the catalog topic ended."),
}
DEAD_LETTER: JsonSchema = {
    "name": "dead_letter",
    "title": "DeadLetter",
    "summary": "The record itself; headers say where it was and why it was refused.",
    "headers": {
        "type": "object",
        "properties": {
            f"dlq.{name}": TEXT
            for name in (
                "topic",
                "partition",
                "offset",
                "timestamp",
                "reason",
                "error-class",
                "attempts",
                "trace-id",
            )
        },
    },
}


def asyncapi_document(version: str) -> dict[str, Any]:
    """The document; `version` is that of Lookstream."""
    topics = topic_map(PREFIX)
    schemas = schema_components(MESSAGES.values(), "#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Lookstream",
            "version": version,
            "description": "Visual product search over Kafka: catalog events and queries come in, "
            "results go out. Each message is one JSON object.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            name: _channel(channel, getattr(topics, name)) for name, channel in CHANNELS.items()
        },
        "operations": {
            f"{channel.action}_{name}": _operation(name, channel)
            for name, channel in CHANNELS.items()
        },
        "components": {
            "messages": {**_messages(topics), "dead_letter": DEAD_LETTER},
            "schemas": {name: _draft_07(schema) for name, schema in schemas.items()},
        },
    }


def _channel(channel: _Channel, topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": channel.text,
        "parameters": {"prefix": {"default": "lookstream", "description": "`kafka.prefix`"}},
        "messages": {name: _ref("components/messages", name) for name in channel.messages},
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [topic.cleanup_policy],
                    "retention.ms": topic.retention_ms,
                    "max.message.bytes": topic.max_message_bytes,
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation(name: str, channel: _Channel) -> dict[str, Any]:
    found = {
        "action": channel.action,
        "channel": _ref("channels", name),
        "messages": [_ref(f"channels/{name}/messages", one) for one in channel.messages],
    }
    if name == "query":
        found["reply"] = {
            "channel": _ref("channels", "result"),
            "messages": [_ref("channels/result/messages", "result")],
        }
    return found


def _messages(topics: Topics) -> dict[str, Any]:
    topic_of = {one: name for name, channel in CHANNELS.items() for one in channel.messages}
    return {
        name: {
            "name": name,
            "title": kind.__name__,
            "payload": _ref("components/schemas", kind.__name__),
            "bindings": {
                "kafka": {
                    "key": {**TEXT, "description": getattr(topics, topic_of[name]).key},
                    "bindingVersion": "0.5.0",
                }
            },
        }
        for name, kind in MESSAGES.items()
    }


def _ref(place: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/{place}/{name}"}


def _draft_07(value: Any) -> Any:
    """A schema in the dialect of AsyncAPI, where elements by their place are called `items`."""
    if isinstance(value, list):
        return [_draft_07(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {name: _draft_07(one) for name, one in value.items()}
    if "prefixItems" in found:
        found["additionalItems"] = found.pop("items", True)
        found["items"] = found.pop("prefixItems")
    return found
