"""Mints a ticket as specified in src/ticket/FORMAT.md, with only the standard library, and prints it.

python3 mint.py --key-id 1 --key BASE64URL --node gate-1 --user maggie --session-end 1769497200 [--ttl 10] [--channel lobby] [--claim org=acme] [--epoch HEX]
"""

import argparse
import base64
import hmac
import os
import struct
import time

flags = argparse.ArgumentParser()
flags.add_argument("--key-id", type=int, required=True, help="1 to 255")
flags.add_argument("--key", required=True, help="32 bytes or more, base64url")
flags.add_argument("--node", default="", help="the name of the gate that accepts the ticket")
flags.add_argument("--user", required=True, help="the name of the user")
flags.add_argument("--session-end", type=int, required=True, help="when the session ends, Unix seconds")
flags.add_argument("--ttl", type=int, default=10, help="lifetime of the ticket, 1 to 3600 seconds")
flags.add_argument("--channel", help="the only channel that it opens")
flags.add_argument("--claim", action="append", default=[], help="NAME=TEXT, a claim that the ticket carries; up to 15 times")
flags.add_argument("--epoch", help="the epoch of the Redis that it is spent in: the first 32 characters of the value of ticketgate:epoch")
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
