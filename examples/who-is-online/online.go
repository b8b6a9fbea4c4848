// Keeps a table of who is online, and prints it whenever it changes.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sort"
	"strings"
	"time"
)

type entry struct{ ID, Socket, User string }

var admin = os.Getenv("ADMIN")  // http://127.0.0.1:8081
var users = map[string]string{} // by the id of their socket
var lastID string

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func get(path string) *http.Response {
	request := must(http.NewRequest("GET", admin+path, nil))
	request.Header.Set("Authorization", "Bearer "+os.Getenv("TICKETGATE_ADMIN_KEY"))
	request.Header.Set("Last-Event-ID", lastID)
	reply := must(http.DefaultClient.Do(request))
	if reply.StatusCode != http.StatusOK {
		panic(path + ": " + reply.Status)
	}
	return reply
}

// reload reads the state of now: something was missed.
func reload() {
	users = map[string]string{}
	for query, more := "?limit=1000", true; more; {
		var page struct {
			Connections []entry
			Next        string
		}
		reply := get("/connections" + query)
		must(0, json.NewDecoder(reply.Body).Decode(&page))
		reply.Body.Close()
		for _, each := range page.Connections {
			users[each.ID] = each.User
		}
		query, more = "?limit=1000&after="+page.Next, page.Next != ""
	}
}

func take(event string, data entry) {
	switch event {
	case "reset":
		reload()
	case "opened":
		users[data.Socket] = data.User
	case "closed":
		delete(users, data.Socket)
	default:
		return
	}
	names, seen := []string{}, map[string]bool{"": true} // no user: a socket that has yet to authenticate
	for _, user := range users {
		if !seen[user] {
			names = append(names, user)
		}
		seen[user] = true
	}
	sort.Strings(names)
	fmt.Println(strings.Join(names, " "))
}

func follow() {
	defer func() { fmt.Fprintln(os.Stderr, recover()) }()
	body := get("/events").Body
	silence := time.AfterFunc(15*time.Second, func() { body.Close() }) // it says something every 5 seconds
	fields := map[string]string{}
	for lines := bufio.NewScanner(body); lines.Scan(); silence.Reset(15 * time.Second) {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		fields[name] = value
		if name == "" && fields["event"] != "" {
			var data entry
			must(0, json.Unmarshal([]byte(fields["data"]), &data))
			take(fields["event"], data)
			lastID = fields["id"]
			fields = map[string]string{}
		}
	}
}

func main() {
	for ; ; time.Sleep(500 * time.Millisecond) {
		follow()
	}
}
