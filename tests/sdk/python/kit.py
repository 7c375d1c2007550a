"""What the scripts share: the settings, waiting, and the SDK as it comes from PyPI, in either wire form."""

import asyncio
import json
import os
import sys

from centrifuge import Client, ClientEventHandler, SubscriptionEventHandler
from start import begin_at

WAIT_S = 20

# The server is on this machine: a proxy that the environment names is not for it.
os.environ["no_proxy"] = "*"

BINARY = os.environ["FORM"] == "protobuf"
SOCKET_URL = os.environ["SOCKET_URL"]
ANN_TOKEN = os.environ["ANN_TOKEN"]
BOB_TOKEN = os.environ["BOB_TOKEN"]
EXPIRED_TOKEN = os.environ["EXPIRED_TOKEN"]
CONVERSATION = os.environ["CONVERSATION"]
EPOCH = os.environ["EPOCH"]

# Options that say that a subscription is to begin at the start. Empty: this release cannot be told so.
FROM_START = begin_at(0, EPOCH)


def pack(value):
    """A value as the SDK takes it: itself, or in Protobuf the bytes of its JSON."""
    return json.dumps(value).encode() if BINARY else value


def line(data):
    """What the SDK handed out, as the bytes that it would have on a line."""
    return data.decode() if BINARY else json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def unpack(data):
    """What the SDK handed out, as a value."""
    return json.loads(data) if BINARY else data


class Heard:
    """Keeps what happened, in order, and lets one wait for it."""

    def __init__(self):
        self.items = []
        self._changed = asyncio.Condition()

    async def add(self, name, context):
        async with self._changed:
            self.items.append((name, context))
            self._changed.notify_all()

    async def until(self, what, fits, start=0):
        """The first item from number `start` on that fits, when it is there."""

        def found():
            return next((context for name, context in self.items[start:] if fits(name, context)), None)

        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(lambda: found() is not None), WAIT_S)
            except asyncio.TimeoutError:
                raise AssertionError(f"waited in vain for {what}") from None
            return found()

    async def event(self, name, start=0):
        return await self.until(name, lambda heard, _: heard == name, start)


class ClientEvents(ClientEventHandler):
    def __init__(self):
        self.heard = Heard()

    async def on_connected(self, ctx):
        await self.heard.add("connected", ctx)

    async def on_disconnected(self, ctx):
        await self.heard.add("disconnected", ctx)


class SubscriptionEvents(SubscriptionEventHandler):
    def __init__(self):
        self.heard = Heard()
        self.lines = []

    async def on_subscribed(self, ctx):
        await self.heard.add("subscribed", ctx)

    async def on_unsubscribed(self, ctx):
        await self.heard.add("unsubscribed", ctx)

    async def on_join(self, ctx):
        await self.heard.add("join", ctx)

    async def on_leave(self, ctx):
        await self.heard.add("leave", ctx)

    async def on_publication(self, ctx):
        event = unpack(ctx.pub.data)
        assert ctx.pub.offset == event["offset"], "the offset beside an event is the one in it"
        self.lines.append(line(ctx.pub.data))
        await self.heard.add("publication", event)

    async def text(self, text):
        def fits(name, data):
            return name == "publication" and data["body"].get("text") == text

        return await self.heard.until(text, fits)

    async def at(self, offset):
        def fits(name, data):
            return name == "publication" and data["offset"] >= offset

        return await self.heard.until(f"the event at {offset}", fits)


def client(**options):
    events = ClientEvents()
    delays = {"min_reconnect_delay": 0.02, "max_reconnect_delay": 0.2}
    one = Client(SOCKET_URL, events=events, use_protobuf=BINARY, **delays, **options)
    return one, events.heard


def subscription(one, **options):
    events = SubscriptionEvents()
    return one.new_subscription(CONVERSATION, events=events, recoverable=True, **options), events


async def rpc(one, method, request):
    """Asks the server to do something, and gives its answer."""
    return unpack((await one.rpc(method, pack(request))).data)


def step(name):
    """Tells the test that a step is done."""
    print("step", name, flush=True)


async def orders():
    """Lines from the test that started the script."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def done(result):
    """The last line is for the test."""
    print(json.dumps(result, ensure_ascii=False), flush=True)
