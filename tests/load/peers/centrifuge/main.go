// Program centrifuge is a server on the library Centrifuge with its memory broker: anybody may connect to
// /connection/websocket, subscribe to any channel, recover what they missed there, and publish to it.
package main

import (
	"log"
	"net/http"

	"github.com/centrifugal/centrifuge"

	"tidings.example/peers/internal/serve"
)

func main() {
	serve.Main(func() (serve.Server, error) {
		node, err := newNode()
		if err != nil {
			return serve.Server{}, err
		}
		return serve.Server{Handler: routes(node), Close: node.Shutdown}, nil
	})
}

func routes(node *centrifuge.Node) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}))
	return mux
}

func logTo(entry centrifuge.LogEntry) {
	log.Printf("%s: %v", entry.Message, entry.Fields)
}
