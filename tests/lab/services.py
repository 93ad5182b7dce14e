"""The lab's small servers and clients.

    services.py https ADDRESS PORT TLSDIR     serves one file
    services.py web ADDRESS PORT              says hello over HTTP
    services.py tcp ADDRESS PORT              greets whoever connects
    services.py syslog ADDRESS PORT           prints datagrams
    services.py resolver ADDRESS PORT         the attacker's own resolver: answers anything
    services.py dns_before ADDRESS PORT SERVER LIE   asks SERVER and tells its answers; while the file LIE
                                              has "NAME ADDRESS", it tells that address for the name
    services.py connect NAME PORT [SOURCE]    a TCP client: connects by name and prints the greeting
    services.py send NAME PORT TEXT           a UDP client
"""
import http.server, socket, socketserver, ssl, sys, threading

import dns.flags, dns.message, dns.query, dns.rdata, dns.rdatatype


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


def resolver(address, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, int(port)))
    while True:
        q, who = s.recvfrom(2048)
        s.sendto(q[:2] + b"\x81\x80" + q[4:], who)


def told(query, server, lie):
    message = dns.message.from_wire(query)
    answer = dns.query.tcp(message, server, timeout=2)
    try:
        name, address = open(lie).read().split()
    except (OSError, ValueError):
        return answer, message
    for rrset in answer.answer:
        if rrset.name.to_text().lower() == name and rrset.rdtype == dns.rdatatype.A:
            rrset.clear()
            rrset.add(dns.rdata.from_text("IN", "A", address))
    return answer, message


def dns_before(address, port, server, lie):
    class Datagram(socketserver.BaseRequestHandler):
        def handle(self):
            data, sock = self.request
            answer, message = told(data, server, lie)
            wire = answer.to_wire(max_size=65535)
            if len(wire) > 1232:
                message.flags |= dns.flags.QR | dns.flags.TC
                wire = message.to_wire()
            sock.sendto(wire, self.client_address)

    class Stream(socketserver.StreamRequestHandler):
        def handle(self):
            while len(head := self.rfile.read(2)) == 2:
                answer, _ = told(self.rfile.read(int.from_bytes(head, "big")), server, lie)
                wire = answer.to_wire(max_size=65535)
                self.wfile.write(len(wire).to_bytes(2, "big") + wire)

    socketserver.ThreadingTCPServer.allow_reuse_address = True
    tcp_server = socketserver.ThreadingTCPServer((address, int(port)), Stream)
    threading.Thread(target=tcp_server.serve_forever, daemon=True).start()
    socketserver.ThreadingUDPServer((address, int(port)), Datagram).serve_forever()


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
