"""One connection outlives several tokens: the SDK asks for the next one each time one ends."""

import asyncio

from centrifuge import ClientState
from kit import CONVERSATION, WAIT_S, client, done, orders, rpc, step

# One to connect, and three to go on: that the last was asked for shows that those before it were taken.
TOKENS = 4


async def main():
    lines = await orders()
    asked = 0
    enough = asyncio.Event()

    async def token():
        nonlocal asked
        asked += 1
        if asked == TOKENS:
            enough.set()
        print("token", flush=True)
        return (await lines.readline()).decode().strip()

    ann, heard = client(get_token=token)
    await ann.connect()
    await heard.event("connected")
    await asyncio.wait_for(enough.wait(), WAIT_S)
    posted = await rpc(ann, "message.post", {"conversation": CONVERSATION, "text": "still here"})
    assert posted["offset"] > 0
    assert ann.state == ClientState.CONNECTED
    assert [name for name, _ in heard.items] == ["connected"]
    step("tokens are renewed on one connection")
    await ann.disconnect()
    done({})


asyncio.run(main())
