// Chat on a channel: lines from standard input are published, and messages of others are printed.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

var (
	gate     = env("GATE", "http://127.0.0.1:8080")
	user     = env("GATE_USER", "maggie")
	password = os.Getenv("GATE_PASSWORD")
	channel  = "lobby"
)

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// refusal is the body of a refusal by the gate (RFC 9457).
type refusal struct {
	Status int
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (r refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.Status, r.Code, r.Detail) }

// ask sends JSON and reads the reply into out.
func ask(path, token string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequest("POST", gate+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("content-type", "application/json")
	if token != "" {
		request.Header.Set("authorization", "Bearer "+token)
	}
	client := http.Client{Timeout: 10 * time.Second}
	reply, err := client.Do(request)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		problem := refusal{Status: reply.StatusCode}
		// A proxy in front may say something that is not JSON; the status is enough then.
		_ = json.NewDecoder(reply.Body).Decode(&problem)
		return problem
	}
	return json.NewDecoder(reply.Body).Decode(out)
}

func takeTicket() (string, error) {
	var login struct{ Token string }
	if err := ask("/auth", "", map[string]string{"user": user, "pwd": password}, &login); err != nil {
		return "", err
	}
	var reply struct{ Ticket string }
	err := ask("/ws_ticket", login.Token, map[string]string{"channel": channel}, &reply)
	return reply.Ticket, err
}

type message struct {
	Type, User, Channel string
	Data                any
}

// session is one socket, from its ticket to its end. It is done when there are no more lines.
func session(lines <-chan string) (done bool, err error) {
	ticket, err := takeTicket()
	if err != nil {
		return false, err
	}
	// Among the subprotocols, no URL holds the ticket.
	dialer := websocket.Dialer{
		HandshakeTimeout: 10 * time.Second,
		Subprotocols:     []string{"ticketgate.v1.json", "ticket." + ticket},
	}
	socket, _, err := dialer.Dial(strings.Replace(gate, "http", "ws", 1)+"/channel/"+channel, nil)
	if err != nil {
		return false, err
	}
	defer socket.Close()
	ended := make(chan error, 1)
	go func() {
		for {
			var heard message
			if err := socket.ReadJSON(&heard); err != nil {
				ended <- err
				return
			}
			switch heard.Type {
			case "welcome":
				fmt.Printf("* %s in %s\n", heard.User, heard.Channel)
			case "message":
				fmt.Printf("%s: %v\n", heard.User, heard.Data)
			}
		}
	}()
	for {
		select {
		case err := <-ended:
			return false, err
		case line, more := <-lines:
			if !more {
				goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
				_ = socket.WriteMessage(websocket.CloseMessage, goodbye)
				<-ended
				return true, nil
			}
			if err := socket.WriteJSON(map[string]any{"type": "publish", "data": line}); err != nil {
				return false, err
			}
		}
	}
}

func main() {
	if len(os.Args) > 1 {
		channel = os.Args[1]
	}
	lines := make(chan string)
	go func() {
		for input := bufio.NewScanner(os.Stdin); input.Scan(); {
			lines <- input.Text()
		}
		close(lines)
	}()
	for failures := 0; ; {
		began := time.Now()
		done, err := session(lines)
		if done {
			return
		}
		fmt.Fprintln(os.Stderr, "*", err)
		if refused, ok := err.(refusal); ok && (refused.Status == 401 || refused.Status == 403) {
			os.Exit(1)
		}
		// A random time that doubles with each failure, up to half a minute, so that clients do not all come back at once.
		if failures++; failures > 6 {
			failures = 6
		}
		if time.Since(began) > 30*time.Second {
			failures = 0
		}
		time.Sleep(time.Duration(rand.Int63n(int64(500 * time.Millisecond << failures))))
	}
}
