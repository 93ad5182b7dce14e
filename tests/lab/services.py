"""The lab's small servers and clients.

    services.py https ADDRESS PORT TLSDIR     serves one file
    services.py web ADDRESS PORT              says hello over HTTP
    services.py tcp ADDRESS PORT              greets whoever connects
    services.py syslog ADDRESS PORT           prints datagrams
    services.py dns ADDRESS PORT              the attacker's own resolver: answers anything
    services.py connect NAME PORT [SOURCE]    a TCP client: connects by name and prints the greeting
    services.py send NAME PORT TEXT           a UDP client
"""
import http.server, socket, socketserver, ssl, sys


def https(address, port, tls):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"a signed package\n"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    # Not HTTPServer: it asks the DNS for the address's name before it serves.
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    server = socketserver.ThreadingTCPServer((address, int(port)), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{tls}/cert.pem", f"{tls}/key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


def web(address, port):
    s = socket.create_server((address, int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        conn, _ = s.accept()
        try:
            conn.recv(4096)
            conn.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")
        except OSError:
            pass
        conn.close()


def tcp(address, port):
    s = socket.create_server((address, int(port)))
    while True:
        conn, _ = s.accept()
        try:
            conn.sendall(f"hello from {address}:{port}\n".encode())
        except OSError:
            pass
        conn.close()


def syslog(address, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, int(port)))
    while True:
        data, who = s.recvfrom(2048)
        print(who[0], data.decode(errors="replace"), flush=True)


def dns(address, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, int(port)))
    while True:
        q, who = s.recvfrom(2048)
        s.sendto(q[:2] + b"\x81\x80" + q[4:], who)


def connect(name, port, source=None):
    s = socket.create_connection((name, int(port)), timeout=3, source_address=(source, 0) if source else None)
    s.settimeout(1)
    print("connected to", s.getpeername()[0])
    try:
        print(s.recv(100).decode(errors="replace").strip())
    except OSError:
        pass


def send(name, port, text):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(text.encode(), (socket.getaddrinfo(name, int(port), socket.AF_INET)[0][4][0], int(port)))
    print("sent")


verb, *rest = sys.argv[1:]
globals()[verb](*rest)
