"""Counts the messages of every conversation by the hour, from the topic alone.

Reads what the topic holds at the start, oldest first, prints the counts and ends. It needs Kafka and a schema
registry, and never asks Tidings for anything but the schema.
"""

import argparse
import csv
import sys
from collections import Counter, OrderedDict

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

WAIT_S = 30
"""How long Kafka may be silent before the program gives up."""

IDS_KEPT = 1_000_000
"""How many ids of late are remembered, to recognise what stands in the topic twice."""


class Late:
    """The events of late, by conversation and id; the oldest are forgotten first."""

    def __init__(self, size):
        self._ids = OrderedDict()
        self._size = size

    def is_new(self, conversation, event_id):
        key = (conversation, event_id)
        if key in self._ids:
            return False
        self._ids[key] = None
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)
        return True


def records(consumer, topic):
    """All records of the topic, up to where each partition ends now."""
    known = consumer.list_topics(topic, timeout=WAIT_S).topics[topic]
    if known.error is not None:
        raise KafkaException(known.error)
    ends = {}
    for partition in known.partitions:
        first, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=WAIT_S)
        if first < end:
            ends[partition] = end
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in ends])
    while ends:
        record = consumer.poll(WAIT_S)
        if record is None:
            raise TimeoutError(f"Kafka sent nothing for {WAIT_S} s; partitions {sorted(ends)} are not at their end")
        if record.error():
            raise KafkaException(record.error())
        end = ends.get(record.partition())
        if end is None or record.offset() >= end:
            continue
        if record.offset() + 1 == end:
            del ends[record.partition()]
        yield record


def count(consumer, registry, topic):
    """Messages by conversation and hour (UTC)."""
    decode = AvroDeserializer(registry)
    context = SerializationContext(topic, MessageField.VALUE)
    late = Late(IDS_KEPT)
    counts = Counter()
    for record in records(consumer, topic):
        # The header says what the value is; only what is counted need be decoded.
        if dict(record.headers() or ()).get("event-type") != b"MessagePosted":
            continue
        event = decode(record.value(), context)
        if late.is_new(event["conversation"], event["event_id"]):
            counts[event["conversation"], event["occurred_at"].strftime("%Y-%m-%dT%H:00Z")] += 1
    return counts


def print_csv(rows):
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["conversation", "hour", "messages"])
    writer.writerows(rows)


def print_table(rows):
    width = max([len("conversation"), *(len(conversation) for conversation, _, _ in rows)])
    print(f"{'conversation':{width}}  {'hour':17}  messages")
    for conversation, hour, messages in rows:
        print(f"{conversation:{width}}  {hour:17}  {messages:8}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--brokers", required=True, help="HOST:PORT[,HOST:PORT] of Kafka")
    arguments.add_argument("--registry", required=True, help="URL of the schema registry; Tidings is one")
    arguments.add_argument("--topic", default="tidings.events", help="default: %(default)s")
    arguments.add_argument("--format", choices=["table", "csv"], default="table", help="default: %(default)s")
    options = arguments.parse_args()
    consumer = Consumer(
        {
            "bootstrap.servers": options.brokers,
            # A consumer must name a group; nothing is committed to it, so each run reads everything.
            "group.id": "messages-per-hour",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        }
    )
    registry = SchemaRegistryClient({"url": options.registry})
    try:
        counts = count(consumer, registry, options.topic)
    finally:
        consumer.close()
    rows = [(*key, messages) for key, messages in sorted(counts.items())]
    (print_csv if options.format == "csv" else print_table)(rows)


if __name__ == "__main__":
    main()
