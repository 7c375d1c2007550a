package main

import "github.com/centrifugal/centrifuge-go"

// beginAt says where a subscription is to begin, and whether this release can be told so.
func beginAt(*centrifuge.SubscriptionConfig, centrifuge.StreamPosition) bool {
	return false
}
