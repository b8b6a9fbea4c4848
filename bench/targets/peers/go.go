// Go's net/http, gorilla/websocket and golang-jwt, as Debian has them. Tickets as in the Express peer.
package main

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt"
	"github.com/gorilla/websocket"
	"golang.org/x/crypto/argon2"
)

const tokenLifetime = 15 * time.Minute

var (
	secret         = []byte(os.Getenv("PEER_SECRET"))
	ticketLifetime time.Duration
	users          map[string]string
	upgrader       = websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024}
	parser         = jwt.Parser{ValidMethods: []string{"HS256"}}
)

// The ids of used tickets, until they expire.
type usedTickets struct {
	sync.Mutex
	expiry map[string]int64
}

func (used *usedTickets) claim(id string, expires int64) bool {
	used.Lock()
	defer used.Unlock()
	if _, found := used.expiry[id]; found {
		return false
	}
	used.expiry[id] = expires
	return true
}

func (used *usedTickets) sweep() {
	for now := range time.Tick(10 * time.Second) {
		used.Lock()
		for id, expires := range used.expiry {
			if expires < now.Unix() {
				delete(used.expiry, id)
			}
		}
		used.Unlock()
	}
}

// The connections of each channel.
type hub struct {
	sync.RWMutex
	channels map[string]map[*client]bool
}

type client struct {
	conn          *websocket.Conn
	user, channel string
	send          chan []byte
}

var (
	used = usedTickets{expiry: map[string]int64{}}
	all  = hub{channels: map[string]map[*client]bool{}}
)

func (h *hub) join(c *client) {
	h.Lock()
	defer h.Unlock()
	if h.channels[c.channel] == nil {
		h.channels[c.channel] = map[*client]bool{}
	}
	h.channels[c.channel][c] = true
}

func (h *hub) leave(c *client) {
	h.Lock()
	defer h.Unlock()
	delete(h.channels[c.channel], c)
	if len(h.channels[c.channel]) == 0 {
		delete(h.channels, c.channel)
	}
	close(c.send)
}

func (h *hub) publish(from *client, text []byte) {
	h.RLock()
	defer h.RUnlock()
	for c := range h.channels[from.channel] {
		if c == from {
			continue
		}
		select {
		case c.send <- text:
		default: // a slow reader
			c.conn.Close()
		}
	}
}

func (c *client) write() {
	for text := range c.send {
		if c.conn.WriteMessage(websocket.TextMessage, text) != nil {
			c.conn.Close()
		}
	}
	c.conn.Close()
}

func (c *client) read() {
	defer all.leave(c)
	c.conn.SetReadLimit(16384)
	for {
		_, bytes, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		var message struct {
			Type string
			Data json.RawMessage
			ID   *json.RawMessage
		}
		if json.Unmarshal(bytes, &message) != nil || message.Type != "publish" {
			continue
		}
		text, _ := json.Marshal(map[string]any{"type": "message", "channel": c.channel, "data": message.Data, "user": c.user})
		all.publish(c, text)
		if message.ID != nil {
			ok, _ := json.Marshal(map[string]any{"type": "ok", "id": message.ID})
			c.send <- ok
		}
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, code string) {
	answer(w, http.StatusUnauthorized, map[string]string{"code": code})
}

func sign(claims jwt.StandardClaims) string {
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
	if err != nil {
		log.Panic(err)
	}
	return text
}

func verify(text, audience string) (*jwt.StandardClaims, bool) {
	claims := &jwt.StandardClaims{}
	_, err := parser.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return secret, nil })
	return claims, err == nil && claims.VerifyAudience(audience, true) && claims.VerifyExpiresAt(time.Now().Unix(), true)
}

func holds(phc, password string) bool {
	var memory, rounds uint32
	var threads uint8
	parts := strings.Split(phc, "$")
	if len(parts) != 6 {
		return false
	}
	fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &rounds, &threads)
	salt, _ := base64.RawStdEncoding.DecodeString(parts[4])
	hash, _ := base64.RawStdEncoding.DecodeString(parts[5])
	given := argon2.IDKey([]byte(password), salt, rounds, memory, threads, uint32(len(hash)))
	return subtle.ConstantTimeCompare(given, hash) == 1
}

func auth(w http.ResponseWriter, r *http.Request) {
	var credentials struct{ User, Pwd string }
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, 8192)).Decode(&credentials) != nil {
		answer(w, http.StatusBadRequest, map[string]string{"code": "bad_request"})
		return
	}
	if !holds(users[credentials.User], credentials.Pwd) {
		refuse(w, "bad_credentials")
		return
	}
	expires := time.Now().Add(tokenLifetime).Unix()
	token := sign(jwt.StandardClaims{Subject: credentials.User, Audience: "api", ExpiresAt: expires})
	answer(w, http.StatusOK, map[string]any{"token": token, "expires": expires})
}

func ticket(w http.ResponseWriter, r *http.Request) {
	claims, valid := verify(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), "api")
	if !valid {
		refuse(w, "token_invalid")
		return
	}
	id := make([]byte, 16)
	rand.Read(id)
	expires := time.Now().Add(ticketLifetime).Unix()
	text := sign(jwt.StandardClaims{
		Subject: claims.Subject, Audience: "ticket", ExpiresAt: expires, Id: base64.RawURLEncoding.EncodeToString(id),
	})
	answer(w, http.StatusOK, map[string]any{"ticket": text, "expires": expires})
}

func channel(w http.ResponseWriter, r *http.Request) {
	claims, valid := verify(r.URL.Query().Get("ticket"), "ticket")
	if !valid {
		refuse(w, "ticket_invalid")
		return
	}
	if !used.claim(claims.Id, claims.ExpiresAt) {
		refuse(w, "ticket_used")
		return
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	c := &client{conn: conn, user: claims.Subject, channel: strings.TrimPrefix(r.URL.Path, "/channel/"), send: make(chan []byte, 256)}
	welcome, _ := json.Marshal(map[string]string{"type": "welcome", "user": c.user, "channel": c.channel})
	c.send <- welcome
	all.join(c)
	go c.write()
	c.read()
}

func main() {
	seconds, err := strconv.Atoi(os.Getenv("PEER_TICKET_SECONDS"))
	if err != nil {
		log.Fatal(err)
	}
	ticketLifetime = time.Duration(seconds) * time.Second
	if err := json.Unmarshal([]byte(os.Getenv("PEER_USERS")), &users); err != nil {
		log.Fatal(err)
	}
	go used.sweep()
	http.HandleFunc("/auth", auth)
	http.HandleFunc("/ws_ticket", ticket)
	http.HandleFunc("/channel/", channel)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("{\"msg\":\"listening\",\"url\":\"http://%s\"}\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
