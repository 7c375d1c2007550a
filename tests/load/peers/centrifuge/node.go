package main

import (
	"context"
	"time"

	"github.com/centrifugal/centrifuge"
)

const (
	// Publications that a channel's history keeps.
	historySize = 300
	// How long a channel's history is kept after the last publication.
	historyTTL = 5 * time.Minute
)

// newNode gives a running node.
func newNode() (*centrifuge.Node, error) {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelError, LogHandler: logTo})
	if err != nil {
		return nil, err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		// A user without an id is anonymous.
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{
				EnablePositioning: true,
				EnableRecovery:    true,
			}}, nil)
		})
		client.OnPublish(func(_ centrifuge.PublishEvent, answer centrifuge.PublishCallback) {
			answer(centrifuge.PublishReply{Options: centrifuge.PublishOptions{
				HistorySize: historySize,
				HistoryTTL:  historyTTL,
			}}, nil)
		})
	})
	return node, node.Run()
}
