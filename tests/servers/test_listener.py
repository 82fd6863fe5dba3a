"""A client that goes away leaves nothing open: a warning of it would fail a test."""

import gc
import socket
import ssl
import struct
from http.server import BaseHTTPRequestHandler

from servers.authority import Authority
from servers.listener import Listener

# Closed like this, a connection is reset.
NO_LINGER = struct.pack("ii", 1, 0)


def test_client_that_resets_its_connection_leaves_none_open(
    authority: Authority,
) -> None:
    server = Listener(0, BaseHTTPRequestHandler, authority.server_context())
    try:
        context = ssl.create_default_context(cafile=str(authority.ca_file))
        raw = socket.create_connection(("127.0.0.1", server.server_port))
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as client:
            client.sendall(b"GET / HTTP/1.1\r\n")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    finally:
        server.end()
    gc.collect()  # pytest makes an error of a socket that nobody closed
