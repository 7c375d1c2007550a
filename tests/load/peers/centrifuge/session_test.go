package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/gorilla/websocket"

	"tidings.example/peers/internal/peertest"
)

// session is a client that speaks the client protocol in JSON, version 2, frame by frame.
type session struct {
	conn *websocket.Conn
	// The id of the last command.
	id      int
	waiting [][]byte
	// Publications that came before the reply to a command, in their order.
	early []publication
}

type publication struct {
	Offset uint64
	Data   string
}

type subscribed struct {
	Recoverable, Positioned, Recovered bool
	WasRecovering                      bool `json:"was_recovering"`
	Epoch                              string
	Offset                             uint64
	Publications                       []publication
}

// reply is any of those that the tests look at.
type reply struct {
	ID    int
	Error *struct {
		Code    int
		Message string
	}
	Connect   *struct{ Client string }
	Subscribe *subscribed
	Publish   *struct{}
	Push      *struct {
		Channel string
		Pub     *publication
	}
}

// next gives the next reply or push. Pings are answered.
func (s *session) next(t *testing.T) reply {
	t.Helper()
	for {
		for len(s.waiting) == 0 {
			_, frame, err := s.conn.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			s.waiting = bytes.Split(bytes.TrimSpace(frame), []byte{'\n'})
		}
		line := s.waiting[0]
		s.waiting = s.waiting[1:]
		if string(line) == "{}" {
			s.send(t, "{}")
			continue
		}
		var read reply
		if err := json.Unmarshal(line, &read); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		return read
	}
}

func (s *session) send(t *testing.T, frame string) {
	t.Helper()
	if err := s.conn.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		t.Fatal(err)
	}
}

// command sends a command without waiting for its reply.
func (s *session) command(t *testing.T, name, body string) {
	t.Helper()
	s.id++
	s.send(t, fmt.Sprintf(`{"id":%d,%q:%s}`, s.id, name, body))
}

// call sends a command and gives its reply. Replies to publish commands before it are passed over.
func (s *session) call(t *testing.T, name, body string) reply {
	t.Helper()
	s.command(t, name, body)
	for {
		got := s.next(t)
		switch {
		case got.Push != nil && got.Push.Pub != nil:
			s.early = append(s.early, *got.Push.Pub)
		case got.ID == s.id && got.Error == nil:
			return got
		case got.Publish != nil && got.ID < s.id:
		default:
			t.Fatalf("unexpected reply to %s %s: %+v", name, body, got)
		}
	}
}

// publication gives the next publication; replies to publish commands are passed over.
func (s *session) publication(t *testing.T) publication {
	t.Helper()
	if len(s.early) > 0 {
		first := s.early[0]
		s.early = s.early[1:]
		return first
	}
	for {
		got := s.next(t)
		switch {
		case got.Push != nil && got.Push.Pub != nil:
			return *got.Push.Pub
		case got.Publish == nil:
			t.Fatalf("neither a publication nor the reply to one: %+v", got)
		}
	}
}

// connect gives a session that has connected without a token.
func connect(t *testing.T, url string) *session {
	t.Helper()
	opened := &session{conn: peertest.Dial(t, url)}
	if got := opened.call(t, "connect", `{}`); got.Connect == nil || got.Connect.Client == "" {
		t.Fatalf("not connected: %+v", got)
	}
	return opened
}

// subscribe subscribes to tea from now on, or from a position if there is one.
func (s *session) subscribe(t *testing.T, from *subscribed) subscribed {
	t.Helper()
	body := `{"channel":"tea"}`
	if from != nil {
		body = fmt.Sprintf(`{"channel":"tea","recover":true,"offset":%d,"epoch":%q}`, from.Offset, from.Epoch)
	}
	got := s.call(t, "subscribe", body)
	if got.Subscribe == nil {
		t.Fatalf("not subscribed: %+v", got)
	}
	return *got.Subscribe
}

// publish publishes to tea, and waits until that is done.
func (s *session) publish(t *testing.T, text string) {
	t.Helper()
	if got := s.call(t, "publish", fmt.Sprintf(`{"channel":"tea","data":%q}`, text)); got.Publish == nil {
		t.Fatalf("not published: %+v", got)
	}
}
