package main

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/centrifugal/centrifuge-go"
)

// A story keeps what happened, in order, and lets one wait for it.
type story struct {
	mu      sync.Mutex
	items   []any
	changed chan struct{}
}

// An event of the log, and the bytes that it has on a line.
type event struct {
	Offset  uint64 `json:"offset"`
	EventID string `json:"event_id"`
	Type    string `json:"type"`
	Actor   string `json:"actor"`
	Body    struct {
		Text string `json:"text"`
	} `json:"body"`
	line string
}

func newStory() *story {
	return &story{changed: make(chan struct{})}
}

func published(publication centrifuge.Publication) event {
	var event event
	must(0, json.Unmarshal(publication.Data, &event))
	check(event.Offset == publication.Offset, "the offset beside an event is the one in it")
	event.line = string(publication.Data)
	return event
}

func (s *story) add(item any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items = append(s.items, item)
	close(s.changed)
	s.changed = make(chan struct{})
}

// len says how much has happened.
func (s *story) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.items)
}

// lines gives the events, each as its line.
func (s *story) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := []string{}
	for _, item := range s.items {
		if event, ok := item.(event); ok {
			lines = append(lines, event.line)
		}
	}
	return lines
}

// text waits for the message with this text.
func (s *story) text(text string) event {
	return await(s, 0, text, func(event event) bool { return event.Body.Text == text })
}

// at waits for the event at this offset, or a later one.
func (s *story) at(offset uint64) event {
	return await(s, 0, "an offset", func(event event) bool { return event.Offset >= offset })
}

// next waits for the first item of its kind, from number `from` on.
func next[T any](s *story, from int) T {
	return await(s, from, "what comes next", func(T) bool { return true })
}

// await waits for the first item, from number `from` on, that fits.
func await[T any](s *story, from int, what string, fits func(T) bool) T {
	deadline := time.After(wait)
	for {
		s.mu.Lock()
		items, changed := s.items[from:], s.changed
		s.mu.Unlock()
		for _, item := range items {
			if item, ok := item.(T); ok && fits(item) {
				return item
			}
		}
		select {
		case <-changed:
		case <-deadline:
			var kind T
			check(false, "waited in vain for %s (%T)", what, kind)
		}
	}
}
