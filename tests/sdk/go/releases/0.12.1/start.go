package main

import "github.com/centrifugal/centrifuge-go"

// beginAt says where a subscription is to begin, and whether this release can be told so.
func beginAt(config *centrifuge.SubscriptionConfig, position centrifuge.StreamPosition) bool {
	config.GetState = func(centrifuge.SubscriptionGetStateEvent) (centrifuge.StreamPosition, error) {
		return position, nil
	}
	return true
}
