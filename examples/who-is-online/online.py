# Keeps a table of who is online, and prints it after each event.
import http.client
import json
import os
import sys
import time
import urllib.request

ADMIN = os.environ.get("ADMIN", "http://127.0.0.1:8081")
headers = {"authorization": f"Bearer {os.environ.get('TICKETGATE_ADMIN_KEY', '')}"}
users = {}  # by the id of their socket


def get(path):
    request = urllib.request.Request(ADMIN + path, headers=headers)
    return urllib.request.urlopen(request, timeout=15)  # the gate says something every 5 seconds


# Something was missed: reads the state of now, page by page.
def reload():
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
    print(event, *sorted(set(users.values())), flush=True)


while True:
    try:
        fields = {}
        for line in get("/events"):
            name, _, value = line.decode().rstrip("\n").partition(": ")
            fields[name] = value
            if line == b"\n" and "data" in fields:
                take(fields.pop("event"), json.loads(fields.pop("data")))
                headers["last-event-id"] = fields["id"]
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(error, file=sys.stderr)
    time.sleep(0.5)
