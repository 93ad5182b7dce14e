"""nf_tables asked without nft. One element of a pinhole set: how long it will be there, to the
millisecond, and between which two moments that was true; whether the table is there. The nft program
needs longer to start than what is measured here, and lists a whole set to show one element."""
import socket, struct, time

import harness as h

NFTABLES, GETTABLE, GETSETELEM, GETGEN, INET = 10, 1, 13, 16, 1  # NFNL_SUBSYS_NFTABLES, NFT_MSG_*, NFPROTO_INET
GEN_ID = 1
LIST_TABLE, LIST_SET, LIST_ELEMENTS, ELEM, KEY, VALUE, EXPIRATION = 1, 2, 3, 1, 1, 1, 5
NESTED = 0x8000
ENOENT = 2


def attr(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def attrs(data):
    """{kind: octets} of a row of attributes."""
    out, at = {}, 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        out[kind & 0x3FFF] = data[at + 4:at + size]
        at += (size + 3) & ~3
    return out


def key(src, dst, proto=None, port=None):
    family = socket.AF_INET6 if ":" in dst else socket.AF_INET
    out = socket.inet_pton(family, src) + socket.inet_pton(family, dst)
    if proto is not None:
        out += struct.pack("=Bxxx", proto)
    if port is not None:
        out += struct.pack("!Hxx", port)
    return out


def ask(ns, kind, family, body=b""):
    """The answer to one question: its message type, and what is behind the head of nf_tables."""
    with h.inside(ns):
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    s.settimeout(2)
    body = struct.pack("=BBH", family, 0, 0) + body
    with s:
        s.send(struct.pack("=IHHII", 16 + len(body), NFTABLES << 8 | kind, 1, 1, 0) + body)
        data = s.recv(65536)
    if struct.unpack_from("=H", data, 4)[0] != 2:  # NLMSG_ERROR
        return data[20:]
    err = -struct.unpack_from("=i", data, 16)[0]
    if err == ENOENT:
        return None
    raise OSError(err, "nf_tables")


def left(ns, name, octets):
    """(seconds left, asked at, answered at), times of time.monotonic(); None: it is not there."""
    body = attr(LIST_TABLE, b"sallyport\0") + attr(LIST_SET, name.encode() + b"\0")
    body += attr(LIST_ELEMENTS | NESTED, attr(ELEM | NESTED, attr(KEY | NESTED, attr(VALUE, octets))))
    asked = time.monotonic()
    data = ask(ns, GETSETELEM, INET, body)
    answered = time.monotonic()
    if data is None:
        return None
    element = attrs(attrs(attrs(data)[LIST_ELEMENTS])[ELEM])
    return struct.unpack("!Q", element[EXPIRATION])[0] / 1000, asked, answered


def has_table(ns, name="sallyport"):
    return ask(ns, GETTABLE, INET, attr(1, name.encode() + b"\0")) is not None


def transactions(ns):
    """How many transactions of nf_tables this network namespace has seen: the generation's number."""
    return struct.unpack("!I", attrs(ask(ns, GETGEN, 0))[GEN_ID])[0]
