package main

// What the scripts share: the settings, and the SDK as it comes from its module, in either wire form.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/centrifugal/centrifuge-go"
)

const wait = 20 * time.Second

var (
	form         = os.Getenv("FORM")
	socketURL    = os.Getenv("SOCKET_URL")
	annToken     = os.Getenv("ANN_TOKEN")
	bobToken     = os.Getenv("BOB_TOKEN")
	expiredToken = os.Getenv("EXPIRED_TOKEN")
	conversation = os.Getenv("CONVERSATION")
	start        = centrifuge.StreamPosition{Offset: 0, Epoch: os.Getenv("EPOCH")}
)

type object = map[string]any

// always is for calls: the SDK itself gives them up after a while.
var always = context.Background()

// check ends the program if something does not hold.
func check(holds bool, format string, args ...any) {
	if !holds {
		_ = log.Output(2, fmt.Sprintf(format, args...))
		os.Exit(1)
	}
}

// must ends the program if a call failed.
func must[T any](value T, err error) T {
	if err != nil {
		_ = log.Output(2, err.Error())
		os.Exit(1)
	}
	return value
}

// pack gives a value as the SDK takes it, which is the same in both forms: the bytes of its JSON.
func pack(value any) []byte {
	return must(json.Marshal(value))
}

// client gives a client and what happens to it.
func client(config centrifuge.Config) (*centrifuge.Client, *story) {
	config.MinReconnectDelay = 20 * time.Millisecond
	config.MaxReconnectDelay = 200 * time.Millisecond
	config.HandshakeTimeout = wait
	create := centrifuge.NewJsonClient
	if form == "protobuf" {
		create = centrifuge.NewProtobufClient
	}
	one, heard := create(socketURL, config), newStory()
	one.OnConnected(func(event centrifuge.ConnectedEvent) { heard.add(event) })
	one.OnDisconnected(func(event centrifuge.DisconnectedEvent) { heard.add(event) })
	return one, heard
}

// connected gives a client with a token, when it is connected.
func connected(token string) *centrifuge.Client {
	one, heard := client(centrifuge.Config{Token: token})
	must(0, one.Connect())
	next[centrifuge.ConnectedEvent](heard, 0)
	return one
}

// subscription gives a subscription and what happens to it.
func subscription(one *centrifuge.Client, channel string, config centrifuge.SubscriptionConfig) (*centrifuge.Subscription, *story) {
	config.Recoverable, config.JoinLeave = true, true
	sub, heard := must(one.NewSubscription(channel, config)), newStory()
	sub.OnSubscribed(func(event centrifuge.SubscribedEvent) { heard.add(event) })
	sub.OnUnsubscribed(func(event centrifuge.UnsubscribedEvent) { heard.add(event) })
	sub.OnJoin(func(event centrifuge.JoinEvent) { heard.add(event) })
	sub.OnLeave(func(event centrifuge.LeaveEvent) { heard.add(event) })
	sub.OnPublication(func(event centrifuge.PublicationEvent) { heard.add(published(event.Publication)) })
	return sub, heard
}

// rpc asks the server to do something, and gives its answer.
func rpc(one *centrifuge.Client, method string, request object) (answer, error) {
	var answer answer
	result, err := one.RPC(always, method, pack(request))
	if err == nil {
		err = json.Unmarshal(result.Data, &answer)
	}
	return answer, err
}

// post posts a message.
func post(one *centrifuge.Client, text string, id string) answer {
	request := object{"conversation": conversation, "text": text}
	if id != "" {
		request["client_message_id"] = id
	}
	return must(rpc(one, "message.post", request))
}

type answer struct {
	Offset    uint64 `json:"offset"`
	Epoch     string `json:"epoch"`
	EventID   string `json:"event_id"`
	Duplicate bool   `json:"duplicate"`
}

// refusal gives the code of the error that a call must end with.
func refusal[T any](value T, err error) uint32 {
	var refused *centrifuge.Error
	check(errors.As(err, &refused), "this must be refused: %v %v", value, err)
	return refused.Code
}

// step tells the test that a step is done.
func step(name string) {
	fmt.Println("step", name)
}

var lines = bufio.NewScanner(os.Stdin)

// order gives a line from the test that started the program.
func order() string {
	check(lines.Scan(), "no line: %v", lines.Err())
	return lines.Text()
}

// done ends with the result: the last line is for the test.
func done(result object) {
	fmt.Println(string(pack(result)))
}
