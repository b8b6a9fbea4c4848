"""Mints a ticket as src/ticket/FORMAT.md says, with the standard library alone. Prints its text.

python3 mint.py --key-id 1 --key BASE64URL --node gate-1 --user maggie --session-end 1769497200 [--ttl 10] [--channel lobby] [--claim org=acme] [--epoch HEX]
"""

import argparse
import base64
import hmac
import os
import struct
import time

flags = argparse.ArgumentParser()
flags.add_argument("--key-id", type=int, required=True)
flags.add_argument("--key", required=True, help="32 bytes or more, base64url")
flags.add_argument("--node", default="", help="the gate the ticket is for")
flags.add_argument("--user", required=True)
flags.add_argument("--session-end", type=int, required=True, help="Unix seconds")
flags.add_argument("--ttl", type=int, default=10, help="seconds")
flags.add_argument("--channel", help="the one channel it opens")
flags.add_argument("--claim", action="append", default=[], help="NAME=TEXT, a claim that travels with the ticket; up to 15")
flags.add_argument("--epoch", help="of the Redis it is spent in: the first 32 characters of its key ticketgate:epoch")
args = flags.parse_args()


def text(value):
    data = value.encode()
    if len(data) < 32:
        return bytes([0xA0 | len(data)]) + data
    return struct.pack(">BH", 0xDA, len(data)) + data


claims = {"u": text(args.user), "x": struct.pack(">BI", 0xCE, args.session_end)}
if args.channel is not None:
    claims["c"] = text(args.channel)
if args.claim:
    carried = [text(part) for claim in args.claim for part in claim.split("=", 1)]
    claims["d"] = bytes([0x80 | len(args.claim)]) + b"".join(carried)
    assert len(args.claim) < 16 and len(claims["d"]) <= 256
if args.epoch is not None:
    claims["e"] = b"\xc4\x10" + bytes.fromhex(args.epoch)
packed = bytes([0x80 | len(claims)]) + b"".join(text(key) + value for key, value in claims.items())
assert len(packed) <= 512 and 1 <= args.ttl <= 3600

issued_at = time.time_ns() // 1_000_000
body = bytes([1, args.key_id]) + issued_at.to_bytes(6, "big") + struct.pack(">H", args.ttl) + os.urandom(16) + packed
key = base64.urlsafe_b64decode(args.key + "=" * (-len(args.key) % 4))
mac = hmac.digest(key, b"ticketgate.ticket.v1\0" + args.node.encode() + b"\0" + body, "sha256")
encoded = base64.urlsafe_b64encode(body + mac).rstrip(b"=").decode()
print(f"{args.node}.{encoded}" if args.node else encoded)
