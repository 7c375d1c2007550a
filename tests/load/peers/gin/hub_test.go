package main

import "testing"

func TestAClientWhoseChannelIsFullIsDroppedAndTheOthersAreNot(t *testing.T) {
	hub := newHub()
	go hub.run()
	defer close(hub.empty)
	slow := &client{send: make(chan []byte, 1)}
	quick := &client{send: make(chan []byte, 2)}
	hub.register <- slow
	hub.register <- quick
	hub.broadcast <- []byte("first")
	hub.broadcast <- []byte("second")
	// The hub takes it when it is done with the messages.
	hub.unregister <- quick

	expect := func(name string, client *client, messages ...string) {
		t.Helper()
		var heard []string
		for message := range client.send {
			heard = append(heard, string(message))
		}
		if len(heard) != len(messages) {
			t.Fatalf("%s has heard %q instead of %q", name, heard, messages)
		}
		for at, message := range messages {
			if heard[at] != message {
				t.Fatalf("%s has heard %q instead of %q", name, heard, messages)
			}
		}
	}
	expect("slow", slow, "first")
	expect("quick", quick, "first", "second")
	// Its readPump does so when the connection has been closed.
	hub.unregister <- slow
}
