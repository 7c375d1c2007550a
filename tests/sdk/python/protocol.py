"""Everything that the SDK offers, against the real server. Any failed assertion ends the script with an error."""

import asyncio

from centrifuge import ClientState, ReplyError, StreamPosition
from kit import (
    ANN_TOKEN,
    BOB_TOKEN,
    CONVERSATION,
    EPOCH,
    EXPIRED_TOKEN,
    FROM_START,
    SubscriptionEvents,
    client,
    done,
    line,
    pack,
    rpc,
    step,
    subscription,
)

ODD = "posted \u2028 <b>é</b> 🍵\n\ttail"


async def refusal(call):
    try:
        outcome = await call
    except ReplyError as error:
        return error.code
    raise AssertionError(f"this must be refused: {outcome}")


async def tokens():
    stranger, heard = client(token=ANN_TOKEN[:-4] + "AAAA")
    await stranger.connect()
    assert (await heard.event("disconnected")).code == 3500
    assert stranger.state == ClientState.DISCONNECTED
    step("a wrong token is refused for good")

    asked = 0

    async def renew():
        nonlocal asked
        asked += 1
        return ANN_TOKEN

    late, heard = client(token=EXPIRED_TOKEN, get_token=renew)
    await late.connect()
    await heard.event("connected")
    assert asked == 1
    await late.disconnect()
    step("an expired token is renewed")

    late, heard = client(token=EXPIRED_TOKEN)
    await late.connect()
    assert (await heard.event("disconnected")).code == 1
    step("an expired token that nobody renews is the end")


async def main():
    await tokens()
    ann, heard = client(token=ANN_TOKEN)
    await ann.connect()
    await heard.event("connected")
    bob, heard = client(token=BOB_TOKEN)
    await bob.connect()
    await heard.event("connected")

    async def post(one, text, message_id=None):
        data = {"conversation": CONVERSATION, "text": text, "client_message_id": message_id}
        return await rpc(one, "message.post", data)

    hers, her_events = subscription(ann, join_leave=True, **FROM_START)
    await hers.subscribe()
    began = await her_events.heard.event("subscribed")
    assert began.stream_position.epoch == EPOCH, began
    if FROM_START:
        assert began.recovered
        assert (await her_events.at(1))["type"] == "ConversationCreated"
        step("a subscription from the start recovers everything")

    await unknown(ann)

    his, his_events = subscription(bob, join_leave=True)
    await his.subscribe()
    context = await his_events.heard.event("subscribed")
    assert not context.recovered
    joined = await her_events.heard.until("bob", lambda name, join: name == "join" and join.info.user == "bob")
    assert joined.info.client
    step("who comes is announced")

    await bob.publish(CONVERSATION, pack({"text": "published", "client_message_id": "p-1"}))
    echo = await his_events.text("published")
    assert (echo["event_id"], echo["actor"]) == ("p-1", "bob")
    assert (await her_events.text("published"))["offset"] == echo["offset"] > 0
    await bob.publish(CONVERSATION, pack("only a text"))
    await her_events.text("only a text")
    step("a published message comes back to its sender, with its offset")

    posted = await post(ann, ODD, "r-1")
    assert (posted["epoch"], posted["event_id"], posted["duplicate"]) == (EPOCH, "r-1", False)
    assert (await his_events.text(ODD))["offset"] == posted["offset"]
    again = await post(ann, ODD, "r-1")
    assert (again["offset"], again["duplicate"]) == (posted["offset"], True)
    step("a posted message is answered with its place")

    await refusals(ann, bob)
    await history(hers, her_events, began.stream_position)

    clients = (await hers.presence()).clients.values()
    assert sorted(info.user for info in clients) == ["ann", "bob"]
    stats = await hers.presence_stats()
    assert (stats.num_clients, stats.num_users) == (2, 2)
    step("presence tells who is here")

    await his.unsubscribe()
    await her_events.heard.until("bob", lambda name, leave: name == "leave" and leave.info.user == "bob")
    for text in ["missed 1", "missed 2", "missed 3"]:
        await post(ann, text)
    before = len(his_events.heard.items)
    await his.subscribe()
    context = await his_events.heard.event("subscribed", before)
    assert context.was_recovering and context.recovered
    await his_events.text("missed 3")
    step("who goes is announced, and finds on return what was missed")

    await bob.disconnect()
    await post(ann, "missed 4")
    before = len(his_events.heard.items)
    await bob.connect()
    assert (await his_events.heard.event("subscribed", before)).recovered
    await his_events.text("missed 4")
    step("a connection that was away finds what was missed")

    last = (await post(bob, "the end"))["offset"]
    await her_events.at(last)
    await his_events.at(last)
    await ann.disconnect()
    await bob.disconnect()
    done({"ann": her_events.lines, "bob": his_events.lines})


async def unknown(ann):
    events = SubscriptionEvents()
    nowhere = ann.new_subscription("nowhere", events=events)
    await nowhere.subscribe()
    assert (await events.heard.event("unsubscribed")).code == 102
    step("an unknown conversation is refused for good")


async def refusals(ann, bob):
    def edit(message_id):
        return {"conversation": CONVERSATION, "message_id": message_id, "text": "x"}

    assert await refusal(rpc(ann, "message.edit", edit("no-such-message"))) == 404
    assert await refusal(rpc(bob, "message.edit", edit("r-1"))) == 103
    assert await refusal(rpc(ann, "message.post", {"conversation": "nowhere", "text": "x"})) == 102
    assert await refusal(rpc(ann, "message.post", {"conversation": CONVERSATION, "text": " "})) == 107
    assert await refusal(rpc(ann, "conversation.create", {"conversation": CONVERSATION})) == 409
    assert await refusal(rpc(ann, "no.such.method", {})) == 104
    assert await refusal(bob.publish(CONVERSATION, pack({"text": ""}))) == 107
    step("refusals have their codes")


async def history(hers, her_events, began):
    def offsets(page):
        return [publication.offset for publication in page.publications]

    sent = await hers.history(limit=100, since=began)
    assert [line(publication.data) for publication in sent.publications] == her_events.lines
    everything = await hers.history(limit=100, since=StreamPosition(offset=0, epoch=EPOCH))
    first, second, *_ = offsets(everything)
    page = await hers.history(limit=1, since=StreamPosition(offset=first, epoch=EPOCH))
    assert offsets(page) == [second]
    newest = await hers.history(limit=2, reverse=True)
    assert offsets(newest) == offsets(everything)[:-3:-1]
    before = StreamPosition(offset=newest.publications[1].offset, epoch=EPOCH)
    older = await hers.history(limit=100, reverse=True, since=before)
    assert offsets(older) == offsets(everything)[:-2][::-1]
    top = await hers.history(limit=0)
    assert (offsets(top), top.epoch, top.offset) == ([], EPOCH, everything.offset)
    assert await refusal(hers.history(limit=1, since=StreamPosition(offset=1, epoch="another"))) == 112
    step("history pages both ways")


asyncio.run(main())
