package main

// One connection outlives several tokens: the SDK asks for the next one each time one ends.

import (
	"fmt"
	"time"

	"github.com/centrifugal/centrifuge-go"
)

// tokensAsked is one to connect, and three to go on: that the last was asked for shows that those before it were taken.
const tokensAsked = 4

func refresh() {
	asked, enough := 0, make(chan struct{})
	token := func(centrifuge.ConnectionTokenEvent) (string, error) {
		asked++
		if asked == tokensAsked {
			close(enough)
		}
		fmt.Println("token")
		return order(), nil
	}
	ann, heard := client(centrifuge.Config{GetToken: token})
	must(0, ann.Connect())
	next[centrifuge.ConnectedEvent](heard, 0)
	select {
	case <-enough:
	case <-time.After(wait):
		check(false, "waited in vain for the last token")
	}
	check(post(ann, "still here", "").Offset > 0, "not posted")
	check(ann.State() == centrifuge.StateConnected, "not connected")
	check(heard.len() == 1, "another connection: %+v", heard.items)
	step("tokens are renewed on one connection")
	done(object{})
}
