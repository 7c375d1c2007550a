package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"tidings.example/peers/internal/peertest"
)

// person is a client of the chat, and what it has read of frames with several messages.
type person struct {
	conn    *websocket.Conn
	waiting [][]byte
}

func say(t *testing.T, p *person, message string) {
	t.Helper()
	if err := p.conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, p *person) string {
	t.Helper()
	if len(p.waiting) == 0 {
		_, frame, err := p.conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		p.waiting = bytes.Split(frame, newline)
	}
	message := string(p.waiting[0])
	p.waiting = p.waiting[1:]
	return message
}

// enter lets so many people into a room, and waits until each of them is in the hub.
func enter(t *testing.T, url string, count int) []*person {
	t.Helper()
	people := make([]*person, count)
	for at := range people {
		people[at] = &person{conn: peertest.Dial(t, url)}
		say(t, people[at], "here")
		for hearer := range at + 1 {
			if heard := hear(t, people[hearer]); heard != "here" {
				t.Fatalf("heard %q", heard)
			}
		}
	}
	return people
}

func TestEverybodyInTheRoomHearsEachMessageOnceAndInOneOrder(t *testing.T) {
	url := peertest.Serve(t, chat(newRooms()))
	// All that is said fits into a client's channel, so nobody is dropped.
	const each = 80
	people, stranger := enter(t, url("/ws/tea"), 3), enter(t, url("/ws/coffee"), 1)[0]
	for number := range each {
		for sender, person := range people {
			say(t, person, peertest.Name(sender, number))
		}
	}
	heard := make([][]string, len(people))
	for at, person := range people {
		for range len(people) * each {
			heard[at] = append(heard[at], hear(t, person))
		}
	}
	peertest.OnceAndInOrder(t, heard, len(people), each)
	// Whatever came twice would come before this.
	say(t, people[0], "end")
	for at, person := range people {
		if last := hear(t, person); last != "end" {
			t.Errorf("client %d has heard %q after all", at, last)
		}
	}
	say(t, stranger, "alone")
	if message := hear(t, stranger); message != "alone" {
		t.Errorf("in another room, %q was heard", message)
	}
}

func TestAMessageOfSeveralLinesStaysOne(t *testing.T) {
	url := peertest.Serve(t, chat(newRooms()))
	person := enter(t, url("/ws/tea"), 1)[0]
	long := strings.Repeat("x", maxMessageSize-4)
	say(t, person, "\na\nb"+long)
	if heard := hear(t, person); heard != "a b"+long {
		t.Errorf("heard %d bytes: %.10q", len(heard), heard)
	}
}

func TestARoomIsGoneWhenAllHaveLeft(t *testing.T) {
	rooms := newRooms()
	url := peertest.Serve(t, chat(rooms))
	for _, person := range enter(t, url("/ws/tea"), 3) {
		if err := person.conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for late := time.Now().Add(peertest.Wait); ; time.Sleep(time.Millisecond) {
		rooms.mutex.Lock()
		left := len(rooms.named)
		rooms.mutex.Unlock()
		if left == 0 {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("%d rooms are left", left)
		}
	}
}
