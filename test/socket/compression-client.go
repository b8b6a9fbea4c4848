// Two sockets of gorilla/websocket with compression on, one publishing to the other. One line for compression.test.ts.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/gorilla/websocket"
)

type message struct {
	Type string `json:"type"`
	Data string `json:"data,omitempty"`
}

func join(url, ticket string) (*websocket.Conn, bool) {
	dialer := websocket.Dialer{EnableCompression: true}
	socket, response, err := dialer.Dial(url+"?ticket="+ticket, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, _, err := socket.ReadMessage(); err != nil {
		log.Fatal(err)
	}
	return socket, response.Header.Get("Sec-WebSocket-Extensions") != ""
}

func main() {
	url := os.Args[1]
	one, _ := join(url, os.Args[2])
	two, isCompressed := join(url, os.Args[3])
	for _, word := range []string{"a", "b", "c"} {
		data := word + strings.Repeat("0123456789", 500)
		if err := one.WriteJSON(message{Type: "publish", Data: data}); err != nil {
			log.Fatal(err)
		}
		_, bytes, err := two.ReadMessage()
		if err != nil {
			log.Fatal(err)
		}
		var heard message
		if err := json.Unmarshal(bytes, &heard); err != nil || heard.Data != data {
			log.Fatal("something else arrived: ", string(bytes))
		}
	}
	if isCompressed {
		fmt.Println("ok compressed")
	} else {
		fmt.Println("ok plain")
	}
}
