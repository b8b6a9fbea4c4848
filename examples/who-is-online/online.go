// Keeps a table of who is online, and prints it after each event.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"time"
)

var users = map[string]string{} // by the id of their socket
var header = http.Header{"Authorization": {"Bearer " + os.Getenv("TICKETGATE_ADMIN_KEY")}}

// must ends this connection if there is an error. main begins another.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func get(path string) *http.Response {
	request := must(http.NewRequest("GET", os.Getenv("ADMIN")+path, nil))
	request.Header = header
	reply := must(http.DefaultClient.Do(request))
	if reply.StatusCode != http.StatusOK {
		panic(path + ": " + reply.Status)
	}
	return reply
}

// reload reads the state of now, page by page: something was missed.
func reload(after string) {
	reply := get("/connections?limit=1000" + after)
	defer reply.Body.Close()
	var page struct {
		Connections []struct{ ID, User string }
		Next        string
	}
	must(0, json.NewDecoder(reply.Body).Decode(&page))
	for _, each := range page.Connections {
		if each.User != "" {
			users[each.ID] = each.User
		}
	}
	if page.Next != "" {
		reload("&after=" + page.Next)
	}
}

func follow() {
	defer func() { fmt.Fprintln(os.Stderr, recover()) }()
	body := get("/events").Body
	silence := time.AfterFunc(15*time.Second, func() { body.Close() }) // the gate says something every 5 seconds
	events := textproto.NewReader(bufio.NewReader(body))               // an event has the form of a MIME header
	for ; ; silence.Reset(15 * time.Second) {
		event := must(events.ReadMIMEHeader())
		var data struct{ Socket, User string }
		json.Unmarshal([]byte(event.Get("data")), &data)
		switch event.Get("event") {
		case "": // a comment
			continue
		case "reset":
			users = map[string]string{}
			reload("")
		case "opened":
			users[data.Socket] = data.User
		case "closed":
			delete(users, data.Socket)
		}
		header.Set("Last-Event-ID", event.Get("id"))
		fmt.Println(event.Get("event"), users)
	}
}

func main() {
	for ; ; time.Sleep(500 * time.Millisecond) {
		follow()
	}
}
