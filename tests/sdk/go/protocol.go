package main

// Everything that the SDK offers, against the real server.

import (
	"reflect"
	"slices"

	"github.com/centrifugal/centrifuge-go"
)

const odd = "posted \u2028 <b>é</b> 🍵\n\ttail"

func protocol() {
	tokens()
	ann, bob := connected(annToken), connected(bobToken)

	var config centrifuge.SubscriptionConfig
	fromStart := beginAt(&config, start)
	hers, herStory := subscription(ann, conversation, config)
	must(0, hers.Subscribe())
	began := next[centrifuge.SubscribedEvent](herStory, 0)
	check(began.StreamPosition.Epoch == start.Epoch, "another epoch: %+v", began)
	if fromStart {
		check(began.Recovered, "not recovered: %+v", began)
		check(herStory.at(1).Type == "ConversationCreated", "not the beginning")
		step("a subscription from the start recovers everything")
	}

	nowhere, nowhereStory := subscription(ann, "nowhere", centrifuge.SubscriptionConfig{})
	must(0, nowhere.Subscribe())
	check(next[centrifuge.UnsubscribedEvent](nowhereStory, 0).Code == 102, "another code")
	step("an unknown conversation is refused for good")

	his, hisStory := subscription(bob, conversation, centrifuge.SubscriptionConfig{})
	must(0, his.Subscribe())
	check(!next[centrifuge.SubscribedEvent](hisStory, 0).Recovered, "nothing was to be recovered")
	await(herStory, 0, "bob", func(join centrifuge.JoinEvent) bool { return join.User == "bob" && join.Client != "" })
	step("who comes is announced")

	must(bob.Publish(always, conversation, pack(object{"text": "published", "client_message_id": "p-1"})))
	echo := hisStory.text("published")
	check(echo.EventID == "p-1" && echo.Actor == "bob" && echo.Offset > 0, "another echo: %+v", echo)
	check(herStory.text("published").Offset == echo.Offset, "another offset")
	must(bob.Publish(always, conversation, pack("only a text")))
	herStory.text("only a text")
	step("a published message comes back to its sender, with its offset")

	posted := post(ann, odd, "r-1")
	check(posted == answer{posted.Offset, start.Epoch, "r-1", false}, "another answer: %+v", posted)
	check(hisStory.text(odd).Offset == posted.Offset, "another offset")
	again := post(ann, odd, "r-1")
	check(again.Offset == posted.Offset && again.Duplicate, "done twice: %+v", again)
	step("a posted message is answered with its place")

	refusals(ann, bob)
	history(hers, herStory, *began.StreamPosition)
	presence(hers)
	returns(ann, bob, his, herStory, hisStory)

	last := post(bob, "the end", "").Offset
	herStory.at(last)
	hisStory.at(last)
	done(object{"ann": herStory.lines(), "bob": hisStory.lines()})
}

func tokens() {
	stranger, heard := client(centrifuge.Config{Token: annToken[:len(annToken)-4] + "AAAA"})
	_ = stranger.Connect()
	check(next[centrifuge.DisconnectedEvent](heard, 0).Code == 3500, "another code")
	check(stranger.State() == centrifuge.StateDisconnected, "not disconnected")
	step("a wrong token is refused for good")

	asked := 0
	renew := func(centrifuge.ConnectionTokenEvent) (string, error) {
		asked++
		return annToken, nil
	}
	late, heard := client(centrifuge.Config{Token: expiredToken, GetToken: renew})
	_ = late.Connect()
	next[centrifuge.ConnectedEvent](heard, 0)
	check(asked == 1, "asked %d times", asked)
	must(0, late.Disconnect())
	step("an expired token is renewed")

	late, heard = client(centrifuge.Config{Token: expiredToken})
	_ = late.Connect()
	check(next[centrifuge.DisconnectedEvent](heard, 0).Code == 1, "another code")
	step("an expired token that nobody renews is the end")
}

func refusals(ann, bob *centrifuge.Client) {
	edit := func(messageID string) object {
		return object{"conversation": conversation, "message_id": messageID, "text": "x"}
	}
	codes := []uint32{
		refusal(rpc(ann, "message.edit", edit("no-such-message"))),
		refusal(rpc(bob, "message.edit", edit("r-1"))),
		refusal(rpc(ann, "message.post", object{"conversation": "nowhere", "text": "x"})),
		refusal(rpc(ann, "message.post", object{"conversation": conversation, "text": " "})),
		refusal(rpc(ann, "conversation.create", object{"conversation": conversation})),
		refusal(rpc(ann, "no.such.method", object{})),
		refusal(bob.Publish(always, conversation, pack(object{"text": ""}))),
	}
	check(slices.Equal(codes, []uint32{404, 103, 102, 107, 409, 104, 107}), "other codes: %v", codes)
	step("refusals have their codes")
}

func history(hers *centrifuge.Subscription, herStory *story, began centrifuge.StreamPosition) {
	read := func(limit int32, since *centrifuge.StreamPosition, reverse bool) (centrifuge.HistoryResult, error) {
		return hers.History(always, centrifuge.WithHistoryLimit(limit), centrifuge.WithHistorySince(since), centrifuge.WithHistoryReverse(reverse))
	}
	offsets := func(page centrifuge.HistoryResult) []uint64 {
		offsets := []uint64{}
		for _, publication := range page.Publications {
			offsets = append(offsets, publication.Offset)
		}
		return offsets
	}
	at := func(offset uint64) *centrifuge.StreamPosition {
		return &centrifuge.StreamPosition{Offset: offset, Epoch: start.Epoch}
	}
	reversed := func(offsets []uint64) []uint64 {
		offsets = slices.Clone(offsets)
		slices.Reverse(offsets)
		return offsets
	}

	lines := []string{}
	for _, publication := range must(read(100, &began, false)).Publications {
		lines = append(lines, string(publication.Data))
	}
	check(slices.Equal(lines, herStory.lines()), "the history is not what was sent: %q", lines)
	page := must(read(100, &start, false))
	all := offsets(page)
	newest := all[len(all)-2:]
	check(reflect.DeepEqual(offsets(must(read(1, at(all[0]), false))), all[1:2]), "another page")
	check(reflect.DeepEqual(offsets(must(read(2, nil, true))), reversed(newest)), "others are the newest")
	older := offsets(must(read(100, at(newest[0]), true)))
	check(reflect.DeepEqual(older, reversed(all[:len(all)-2])), "others are older: %v", older)
	top := must(read(0, nil, false))
	check(len(top.Publications) == 0 && top.Epoch == start.Epoch && top.Offset == page.Offset, "another top: %+v", top)
	lost := refusal(read(1, &centrifuge.StreamPosition{Offset: 1, Epoch: "another"}, false))
	check(lost == 112, "another code: %d", lost)
	step("history pages both ways")
}

func presence(hers *centrifuge.Subscription) {
	users := []string{}
	for _, info := range must(hers.Presence(always)).Clients {
		users = append(users, info.User)
	}
	slices.Sort(users)
	check(slices.Equal(users, []string{"ann", "bob"}), "others are here: %v", users)
	stats := must(hers.PresenceStats(always))
	check(stats.NumClients == 2 && stats.NumUsers == 2, "another count: %+v", stats)
	step("presence tells who is here")
}

func returns(ann, bob *centrifuge.Client, his *centrifuge.Subscription, herStory, hisStory *story) {
	must(0, his.Unsubscribe())
	await(herStory, 0, "bob", func(leave centrifuge.LeaveEvent) bool { return leave.User == "bob" })
	for _, text := range []string{"missed 1", "missed 2", "missed 3"} {
		post(ann, text, "")
	}
	before := hisStory.len()
	must(0, his.Subscribe())
	back := next[centrifuge.SubscribedEvent](hisStory, before)
	check(back.WasRecovering && back.Recovered, "not recovered: %+v", back)
	hisStory.text("missed 3")
	step("who goes is announced, and finds on return what was missed")

	must(0, bob.Disconnect())
	post(ann, "missed 4", "")
	before = hisStory.len()
	must(0, bob.Connect())
	check(next[centrifuge.SubscribedEvent](hisStory, before).Recovered, "not recovered")
	hisStory.text("missed 4")
	step("a connection that was away finds what was missed")
}
