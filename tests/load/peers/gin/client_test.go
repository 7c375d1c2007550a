package main

import (
	"net/http"
	"testing"

	"tidings.example/peers/internal/peertest"
)

func TestMessagesThatWaitComeInOneFrame(t *testing.T) {
	send := make(chan []byte, 3)
	for _, message := range []string{"a", "b", "c"} {
		send <- []byte(message)
	}
	url := peertest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := upgrader.Upgrade(w, r, nil); err == nil {
			go (&client{conn: conn, send: send}).writePump()
		}
	}))
	defer close(send)
	if _, frame, err := peertest.Dial(t, url("/")).ReadMessage(); err != nil || string(frame) != "a\nb\nc" {
		t.Fatalf("read %q, %v", frame, err)
	}
}
