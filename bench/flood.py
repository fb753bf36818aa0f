"""`python -m bench.flood FRAMES SIZE`: a WebSocket server that answers each message with FRAMES frames of SIZE bytes, at once.

It has a process of its own: what a client measures of itself is the client's. Prints its port; ends with its standard input.
"""

import base64
import hashlib
import socket
import sys
import threading

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frames(n: int, size: int) -> bytes:
    """Binary frames of a server: no mask, the payload's first byte counts them."""
    head = bytes([0x82, size]) if size < 126 else bytes([0x82, 126, size >> 8, size & 255])
    return b"".join(head + bytes([i & 255]) + bytes(size - 1) for i in range(n))


def serve(client: socket.socket, answer: bytes) -> None:
    with client, client.makefile("rb") as lines:
        key = b""
        while (line := lines.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"sec-websocket-key":
                key = value.strip()
        accept = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        client.sendall(head + accept + b"\r\n\r\n")
        while len(asked := lines.read(2)) == 2:
            lines.read((asked[1] & 127) + 4)  # masked, and shorter than 126 bytes
            if asked[0] & 15 == 8:
                return
            client.sendall(answer)


def main() -> None:
    answer = frames(int(sys.argv[1]), int(sys.argv[2]))
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)

        def accept() -> None:
            while True:
                threading.Thread(target=serve, args=(server.accept()[0], answer), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
