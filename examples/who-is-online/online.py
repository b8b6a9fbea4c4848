"""Keeps a table of who is online, and prints it whenever it changes."""

import http.client
import json
import os
import sys
import time
import urllib.request

ADMIN = os.environ.get("ADMIN", "http://127.0.0.1:8081")
KEY = os.environ.get("TICKETGATE_ADMIN_KEY", "")
users = {}  # by the id of their socket
last_id = None


def get(path, **headers):
    request = urllib.request.Request(ADMIN + path, headers={"authorization": f"Bearer {KEY}", **headers})
    return urllib.request.urlopen(request, timeout=15)  # the gate says something every 5 seconds


def reload():
    """Something was missed: reads the state of now."""
    users.clear()
    query = "?limit=1000"
    while query:
        page = json.load(get("/connections" + query))
        users.update((each["id"], each["user"]) for each in page["connections"] if "user" in each)
        query = f"?limit=1000&after={page['next']}" if "next" in page else None


def take(event, data):
    if event == "reset":
        reload()
    elif event == "opened":
        users[data["socket"]] = data["user"]
    elif event == "closed":
        users.pop(data["socket"], None)
    else:
        return
    print(*sorted(set(users.values())), flush=True)


while True:
    try:
        fields = {}
        for line in get("/events", **({"last-event-id": last_id} if last_id else {})):
            name, _, value = line.decode().rstrip("\n").partition(": ")
            fields[name] = value
            if name == "" and "event" in fields:
                take(fields["event"], json.loads(fields["data"]))
                last_id = fields["id"]
                fields = {}
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(error, file=sys.stderr)
    time.sleep(0.5)
