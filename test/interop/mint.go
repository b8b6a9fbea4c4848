// Mints a ticket as specified in src/ticket/FORMAT.md, with only the standard library, and prints it.
//
//	go run mint.go -key-id 1 -key BASE64URL -node gate-1 -user maggie -session-end 1769497200 [-ttl 10] [-channel lobby] [-claim org=acme] [-epoch HEX]
package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"log"
	"strings"
	"time"
)

func text(s string) []byte {
	if len(s) < 32 {
		return append([]byte{0xa0 | byte(len(s))}, s...)
	}
	return append([]byte{0xda, byte(len(s) >> 8), byte(len(s))}, s...)
}

func main() {
	keyID := flag.Uint("key-id", 0, "1 to 255")
	encodedKey := flag.String("key", "", "32 bytes or more, base64url")
	node := flag.String("node", "", "the name of the gate that accepts the ticket")
	user := flag.String("user", "", "the name of the user")
	sessionEnd := flag.Uint("session-end", 0, "when the session ends, Unix seconds")
	ttl := flag.Uint("ttl", 10, "lifetime of the ticket, 1 to 3600 seconds")
	var channel *string
	flag.Func("channel", "the only channel that it opens", func(s string) error { channel = &s; return nil })
	carried := []byte{0x80}
	flag.Func("claim", "NAME=TEXT, a claim that the ticket carries; up to 15 times", func(s string) error {
		name, value, _ := strings.Cut(s, "=")
		carried[0]++
		carried = append(append(carried, text(name)...), text(value)...)
		return nil
	})
	encodedEpoch := flag.String("epoch", "", "the epoch of the Redis that it is spent in: the first 32 characters of the value of ticketgate:epoch")
	flag.Parse()
	key, err := base64.RawURLEncoding.DecodeString(*encodedKey)
	if err != nil {
		log.Fatal("the key is not base64url")
	}

	claims := append(append([]byte{0x82}, text("u")...), text(*user)...)
	claims = binary.BigEndian.AppendUint32(append(append(claims, text("x")...), 0xce), uint32(*sessionEnd))
	if channel != nil {
		claims[0]++
		claims = append(append(claims, text("c")...), text(*channel)...)
	}
	if len(carried) > 1 {
		claims[0]++
		claims = append(append(claims, text("d")...), carried...)
	}
	if *encodedEpoch != "" {
		epoch, err := hex.DecodeString(*encodedEpoch)
		if err != nil || len(epoch) != 16 {
			log.Fatal("the epoch is not 32 hexadecimal digits")
		}
		claims[0]++
		claims = append(append(append(claims, text("e")...), 0xc4, 16), epoch...)
	}
	if len(carried) > 256 || carried[0] > 0x8f || len(claims) > 512 || *ttl < 1 || *ttl > 3600 {
		log.Fatal("the claims are too large, or the ttl is out of range")
	}

	body := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixMilli())) // the upper two bytes are zero
	body[0], body[1] = 1, byte(*keyID)
	body = binary.BigEndian.AppendUint16(body, uint16(*ttl))
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		log.Fatal(err)
	}
	body = append(append(body, nonce...), claims...)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("ticketgate.ticket.v1\x00" + *node + "\x00"))
	mac.Write(body)
	ticket := base64.RawURLEncoding.EncodeToString(mac.Sum(body))
	if *node != "" {
		ticket = *node + "." + ticket
	}
	fmt.Println(ticket)
}
