// Program gin is a chat as one writes it with Gin and gorilla/websocket: rooms, and the hub of gorilla's own
// chat example for each. What a client of /ws/ROOM sends goes to every client of the room, itself included.
package main

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"tidings.example/peers/internal/serve"
)

func main() {
	serve.Main(func() (serve.Server, error) { return serve.Server{Handler: chat(newRooms())}, nil })
}

// chat serves the rooms.
func chat(rooms *rooms) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(gin.Recovery())
	engine.GET("/ws/:room", func(c *gin.Context) { serveWs(rooms, c) })
	return engine
}
