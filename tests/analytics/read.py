"""Reads a topic with Confluent's client alone and says, as JSON on the last line, what each record holds."""

import datetime
import json
import os

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

WAIT_S = 30

BROKERS = os.environ["BROKERS"]
REGISTRY = os.environ["REGISTRY"]
TOPIC = os.environ["TOPIC"]


def plain(value):
    """A decoded value as JSON has it: times in milliseconds."""
    if isinstance(value, datetime.datetime):
        return round(value.timestamp() * 1000)
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return value


def judge(registry):
    """What the registry's client makes of the registry itself."""
    subject = f"{TOPIC}-value"
    assert subject in registry.get_subjects(), registry.get_subjects()
    latest = registry.get_latest_version(subject)
    assert registry.get_versions(subject)[-1] == latest.version
    assert registry.get_version(subject, latest.version).schema_id == latest.schema_id
    assert registry.lookup_schema(subject, latest.schema).schema_id == latest.schema_id
    assert registry.register_schema(subject, latest.schema) == latest.schema_id
    assert registry.get_compatibility(subject) == "BACKWARD_TRANSITIVE"
    return latest


def main():
    registry = SchemaRegistryClient({"url": REGISTRY})
    latest = judge(registry)
    decode = AvroDeserializer(registry, return_record_name=True)
    consumer = Consumer(
        {"bootstrap.servers": BROKERS, "group.id": "strangers", "enable.auto.commit": False, "auto.offset.reset": "error"}
    )
    ends = {}
    for partition in consumer.list_topics(TOPIC, timeout=WAIT_S).topics[TOPIC].partitions:
        _, end = consumer.get_watermark_offsets(TopicPartition(TOPIC, partition), timeout=WAIT_S)
        if end > 0:
            ends[partition] = end
    consumer.assign([TopicPartition(TOPIC, partition, OFFSET_BEGINNING) for partition in ends])
    found = []
    while ends:
        record = consumer.poll(WAIT_S)
        assert record is not None, f"Kafka fell silent before {ends}"
        if record.error():
            raise KafkaException(record.error())
        event = decode(record.value(), SerializationContext(TOPIC, MessageField.VALUE))
        kind, body = event.pop("body")
        found.append(
            {
                "partition": record.partition(),
                "offset": record.offset(),
                "recorded_at": record.timestamp()[1],
                "key": record.key().decode(),
                "headers": [[name, value.decode()] for name, value in record.headers() or []],
                "schema_id": int.from_bytes(record.value()[1:5], "big"),
                "event": {**plain(event), "type": kind.removeprefix("tidings."), "body": plain(body)},
            }
        )
        if record.offset() + 1 == ends[record.partition()]:
            del ends[record.partition()]
    consumer.close()
    print(json.dumps({"latest": latest.schema_id, "records": found}))


if __name__ == "__main__":
    main()
