package main

// hub keeps the clients of one room and hands each message to all of them. One goroutine, run, owns the map.
type hub struct {
	clients    map[*client]bool
	broadcast  chan []byte
	register   chan *client
	unregister chan *client
	// Closed when nobody will use the hub any more.
	empty chan struct{}
}

func newHub() *hub {
	return &hub{
		clients:    make(map[*client]bool),
		broadcast:  make(chan []byte),
		register:   make(chan *client),
		unregister: make(chan *client),
		empty:      make(chan struct{}),
	}
}

func (h *hub) run() {
	for {
		select {
		case client := <-h.register:
			h.clients[client] = true
		case client := <-h.unregister:
			if h.clients[client] {
				h.drop(client)
			}
		case message := <-h.broadcast:
			for client := range h.clients {
				select {
				case client.send <- message:
				default:
					// It is stuck or too slow: the others do not wait for it.
					h.drop(client)
				}
			}
		case <-h.empty:
			return
		}
	}
}

// drop has the client's writePump write what is queued, and close the connection.
func (h *hub) drop(client *client) {
	delete(h.clients, client)
	close(client.send)
}
