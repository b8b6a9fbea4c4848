"""A Django Channels application without any code for tickets. The gate names the user in a header."""

from urllib.parse import unquote

import django
from channels.generic.websocket import WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import path

settings.configure()
django.setup()


class Echo(WebsocketConsumer):
    def connect(self):
        self.user = unquote(dict(self.scope["headers"])[b"x-ticket-subject"].decode())
        self.accept()

    def receive(self, text_data=None, bytes_data=None):
        if text_data is None:
            self.send(bytes_data=bytes_data)
        else:
            self.send(f"{self.user}: {text_data}")


application = ProtocolTypeRouter({"websocket": URLRouter([path("<room>", Echo.as_asgi())])})
