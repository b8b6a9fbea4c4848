// A gorilla/websocket server without any code for tickets. The gate sends the user in a header.
package main

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/gorilla/websocket"
)

var upgrader = websocket.Upgrader{}

func echo(w http.ResponseWriter, r *http.Request) {
	user, _ := url.QueryUnescape(r.Header.Get("X-Ticket-Subject"))
	socket, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer socket.Close()
	for {
		kind, message, err := socket.ReadMessage()
		if err != nil {
			return
		}
		if kind == websocket.TextMessage {
			message = []byte(user + ": " + string(message))
		}
		if socket.WriteMessage(kind, message) != nil {
			return
		}
	}
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "3005"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		panic(err)
	}
	fmt.Println("listening on", listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, http.HandlerFunc(echo)))
}
