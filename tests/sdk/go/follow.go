package main

// Stays subscribed from the beginning, whatever happens to the server, until it is told that an offset is the last one.

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/centrifugal/centrifuge-go"
)

func follow() {
	ann, _ := client(centrifuge.Config{Token: annToken})
	var config centrifuge.SubscriptionConfig
	beginAt(&config, start)
	hers, heard := subscription(ann, conversation, config)
	var mu sync.Mutex
	recovered := []bool{}
	hers.OnSubscribed(func(event centrifuge.SubscribedEvent) {
		mu.Lock()
		defer mu.Unlock()
		recovered = append(recovered, event.Recovered)
		fmt.Println("subscribed", len(recovered))
	})
	must(0, hers.Subscribe())
	must(0, ann.Connect())
	heard.at(must(strconv.ParseUint(order(), 10, 64)))
	mu.Lock()
	defer mu.Unlock()
	done(object{"recovered": recovered, "events": heard.lines()})
}
