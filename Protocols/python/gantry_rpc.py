"""JSON-RPC 2.0, one object a line, over a Unix socket: all it takes to use a Gantry service. Standard library only."""
import json
import socket


class Fault(Exception):
    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error.get("data", {}).get("code")  # a name of errors.json


class Service:
    def __init__(self, path, on_notification=lambda method, params: None):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines, self.last, self.on_notification = self.socket.makefile("rb"), 0, on_notification

    def call(self, method, **params):
        self.last += 1
        request = {"jsonrpc": "2.0", "id": self.last, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        while message := self.receive():
            if message.get("id") == self.last:
                if "error" in message:
                    raise Fault(message["error"])
                return message["result"]

    def receive(self):
        line = self.lines.readline()
        if not line:
            raise ConnectionError("the service has closed the connection")
        message = json.loads(line)
        if "method" in message:
            self.on_notification(message["method"], message["params"])
        return message


def stream(address):
    """The socket of raw bytes that a StreamAddress promises. shutdown(SHUT_WR) ends the input."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address["socket"])
    connection.sendall(address["token"].encode() + b"\n")
    return connection


def frames(connection):
    """(1 or 2 for standard output or error, bytes) for each piece of output without a terminal."""
    reader = connection.makefile("rb")
    while header := reader.read(8):
        yield header[0], reader.read(int.from_bytes(header[4:], "big"))
