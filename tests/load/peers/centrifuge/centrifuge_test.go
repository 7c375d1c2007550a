package main

import (
	"context"
	"fmt"
	"testing"

	"tidings.example/peers/internal/peertest"
)

// start serves a node until the test ends, and gives its address.
func start(t *testing.T) string {
	t.Helper()
	node, err := newNode()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return peertest.Serve(t, routes(node))("/connection/websocket")
}

func TestEverySubscriberHearsEachPublicationOnceAndInOneOrder(t *testing.T) {
	url := start(t)
	const each = 80
	sessions := make([]*session, 3)
	for at := range sessions {
		sessions[at] = connect(t, url)
		if begun := sessions[at].subscribe(t, nil); !begun.Recoverable || !begun.Positioned {
			t.Fatalf("not recoverable: %+v", begun)
		}
	}
	for number := range each {
		for sender, session := range sessions {
			session.command(t, "publish", fmt.Sprintf(`{"channel":"tea","data":%q}`, peertest.Name(sender, number)))
		}
	}
	heard := make([][]string, len(sessions))
	for at, session := range sessions {
		for number := range uint64(len(sessions) * each) {
			got := session.publication(t)
			if got.Offset != number+1 {
				t.Errorf("session %d: offset %d instead of %d", at, got.Offset, number+1)
			}
			heard[at] = append(heard[at], got.Data)
		}
	}
	peertest.OnceAndInOrder(t, heard, len(sessions), each)
	// Whatever came twice would come before this.
	sessions[0].publish(t, "end")
	for at, session := range sessions {
		if last := session.publication(t); last.Data != "end" {
			t.Errorf("session %d has heard %q after all", at, last.Data)
		}
	}
}

// away publishes so many texts while somebody is away who has seen one, and gives how they subscribed again.
func away(t *testing.T, count int) (url string, back *session, again subscribed) {
	t.Helper()
	url = start(t)
	writer, reader := connect(t, url), connect(t, url)
	begun := reader.subscribe(t, nil)
	writer.publish(t, "seen")
	begun.Offset = reader.publication(t).Offset
	if err := reader.conn.Close(); err != nil {
		t.Fatal(err)
	}
	for number := range count {
		writer.publish(t, peertest.Name(0, number))
	}
	back = connect(t, url)
	again = back.subscribe(t, &begun)
	if !again.WasRecovering || again.Epoch != begun.Epoch || len(back.early) > 0 {
		t.Errorf("unexpected reply: %+v, and before it: %+v", again, back.early)
	}
	return url, back, again
}

func TestWhoWasAwayRecoversAllThatTheHistoryHoldsAndGoesOnLive(t *testing.T) {
	url, back, again := away(t, historySize)
	var heard []string
	for at, recovered := range again.Publications {
		if recovered.Offset != uint64(at)+2 {
			t.Errorf("offset %d instead of %d", recovered.Offset, at+2)
		}
		heard = append(heard, recovered.Data)
	}
	if !again.Recovered {
		t.Error("not recovered")
	}
	peertest.OnceAndInOrder(t, [][]string{heard}, 1, historySize)
	connect(t, url).publish(t, "live")
	if got := back.publication(t); got.Data != "live" || got.Offset != historySize+2 {
		t.Errorf("unexpected publication: %+v", got)
	}
}

func TestWhoMissedMoreThanTheHistoryHoldsIsTold(t *testing.T) {
	if _, _, again := away(t, historySize+1); again.Recovered {
		t.Errorf("recovered: %d publications", len(again.Publications))
	}
}
