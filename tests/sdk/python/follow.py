"""Stays subscribed from the beginning, whatever happens to the server, until it is told that an offset is the last one."""

import asyncio

from kit import ANN_TOKEN, FROM_START, client, done, orders, subscription


async def main():
    ann, _ = client(token=ANN_TOKEN)
    hers, events = subscription(ann, **FROM_START)
    recovered = []
    told = events.on_subscribed

    async def on_subscribed(context):
        recovered.append(context.recovered)
        print("subscribed", len(recovered), flush=True)
        await told(context)

    events.on_subscribed = on_subscribed
    await hers.subscribe()
    await ann.connect()
    lines = await orders()
    await events.at(int(await lines.readline()))
    await ann.disconnect()
    done({"recovered": recovered, "events": events.lines})


asyncio.run(main())
