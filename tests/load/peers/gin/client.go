package main

import (
	"bytes"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"
)

const (
	// How long a write may take.
	writeWait = 10 * time.Second
	// How long the peer may be silent: it answers pings.
	pongWait = 60 * time.Second
	// How often it is pinged.
	pingPeriod = pongWait * 9 / 10
	// The longest message that a client may send, in bytes.
	maxMessageSize = 64 * 1024
	// Messages that may wait for one client.
	sendBuffer = 256
)

var (
	newline = []byte{'\n'}
	space   = []byte{' '}
)

var upgrader = websocket.Upgrader{
	ReadBufferSize:  1024,
	WriteBufferSize: 1024,
}

// client stands between a connection and the hub of its room.
type client struct {
	hub  *hub
	conn *websocket.Conn
	// Messages to be written. The hub closes it.
	send chan []byte
}

// serveWs connects somebody to the room of the path.
func serveWs(rooms *rooms, c *gin.Context) {
	conn, err := upgrader.Upgrade(c.Writer, c.Request, nil)
	if err != nil {
		// Upgrade has answered.
		return
	}
	name := c.Param("room")
	client := &client{hub: rooms.enter(name), conn: conn, send: make(chan []byte, sendBuffer)}
	client.hub.register <- client
	go client.writePump()
	go func() {
		defer rooms.leave(name)
		client.readPump()
	}()
}

// readPump hands what the client sends to the hub. The only reader of the connection.
func (c *client) readPump() {
	defer func() {
		c.hub.unregister <- c
		_ = c.conn.Close()
	}()
	alive := func(string) error { return c.conn.SetReadDeadline(time.Now().Add(pongWait)) }
	c.conn.SetReadLimit(maxMessageSize)
	c.conn.SetPongHandler(alive)
	if alive("") != nil {
		return
	}
	for {
		_, message, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		// A line end would look like the end of a message to those who get several in a frame.
		message = bytes.TrimSpace(bytes.ReplaceAll(message, newline, space))
		c.hub.broadcast <- message
	}
}

// writePump writes what the hub has for the client, and pings. The only writer of the connection.
func (c *client) writePump() {
	ticker := time.NewTicker(pingPeriod)
	defer func() {
		ticker.Stop()
		_ = c.conn.Close()
	}()
	for {
		select {
		case message, open := <-c.send:
			if c.conn.SetWriteDeadline(time.Now().Add(writeWait)) != nil {
				return
			}
			if !open {
				_ = c.conn.WriteMessage(websocket.CloseMessage, []byte{})
				return
			}
			if c.write(message) != nil {
				return
			}
		case <-ticker.C:
			if c.conn.SetWriteDeadline(time.Now().Add(writeWait)) != nil {
				return
			}
			if c.conn.WriteMessage(websocket.PingMessage, nil) != nil {
				return
			}
		}
	}
}

// write writes the message, and those that wait behind it, in one frame with line ends between them.
func (c *client) write(message []byte) error {
	w, err := c.conn.NextWriter(websocket.TextMessage)
	if err != nil {
		return err
	}
	if _, err := w.Write(message); err != nil {
		return err
	}
	for range len(c.send) {
		if _, err := w.Write(newline); err != nil {
			return err
		}
		if _, err := w.Write(<-c.send); err != nil {
			return err
		}
	}
	return w.Close()
}
