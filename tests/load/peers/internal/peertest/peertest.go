// Package peertest has what the tests of all servers share.
package peertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// Wait is how long a test waits for anything before it fails.
const Wait = 20 * time.Second

// Serve serves a handler until the test ends, and gives the address of a path as a WebSocket.
func Serve(t *testing.T, handler http.Handler) func(path string) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return func(path string) string { return "ws" + strings.TrimPrefix(server.URL, "http") + path }
}

// Dial gives an open connection, closed when the test ends. What is read from it must come within Wait.
func Dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(Wait)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Name is the message of a sender with a number, as OnceAndInOrder expects it.
func Name(sender, number int) string {
	return fmt.Sprintf("%d-%d", sender, number)
}

// OnceAndInOrder fails the test unless everybody has heard each sender's messages, numbered from 0, once and
// in the order of their numbers, and all have heard all of them in the same order.
func OnceAndInOrder(t *testing.T, heard [][]string, senders, each int) {
	t.Helper()
	for client, messages := range heard {
		if len(messages) != senders*each {
			t.Errorf("client %d has heard %d messages", client, len(messages))
		}
		for sender := range senders {
			prefix := fmt.Sprintf("%d-", sender)
			number := 0
			for _, message := range messages {
				if !strings.HasPrefix(message, prefix) {
					continue
				}
				if message != Name(sender, number) {
					t.Fatalf("client %d has heard %q instead of %q", client, message, Name(sender, number))
				}
				number++
			}
			if number != each {
				t.Errorf("client %d has heard %d messages of sender %d", client, number, sender)
			}
		}
		if !slices.Equal(messages, heard[0]) {
			t.Errorf("clients 0 and %d have heard different orders", client)
		}
	}
}
