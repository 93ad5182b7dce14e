"""nf_tables asked without nft. One element of a pinhole set: how long it will be there, to the
millisecond, and between which two moments that was true. The nft program needs longer to start than
what is measured here, and lists a whole set to show one element."""
import socket, struct, time

import harness as h

NFTABLES, GETSETELEM, GETGEN, INET = 10, 13, 16, 1  # NFNL_SUBSYS_NFTABLES, NFT_MSG_*, NFPROTO_INET
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


def left(ns, name, octets):
    """(seconds left, asked at, answered at), times of time.monotonic(); None: it is not there."""
    body = struct.pack("=BBH", INET, 0, 0) + attr(LIST_TABLE, b"sallyport\0") + attr(LIST_SET, name.encode() + b"\0")
    body += attr(LIST_ELEMENTS | NESTED, attr(ELEM | NESTED, attr(KEY | NESTED, attr(VALUE, octets))))
    with h.inside(ns):
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    s.settimeout(2)
    with s:
        asked = time.monotonic()
        s.send(struct.pack("=IHHII", 16 + len(body), NFTABLES << 8 | GETSETELEM, 1, 1, 0) + body)
        data = s.recv(65536)
        answered = time.monotonic()
    kind, = struct.unpack_from("=H", data, 4)
    if kind == 2:  # NLMSG_ERROR
        err = -struct.unpack_from("=i", data, 16)[0]
        if err == ENOENT:
            return None
        raise OSError(err, "GETSETELEM")
    element = attrs(attrs(attrs(data[20:])[LIST_ELEMENTS])[ELEM])
    return struct.unpack("!Q", element[EXPIRATION])[0] / 1000, asked, answered


def transactions(ns):
    """How many transactions of nf_tables this network namespace has seen: the generation's number."""
    with h.inside(ns):
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    s.settimeout(2)
    with s:
        body = struct.pack("=BBH", 0, 0, 0)
        s.send(struct.pack("=IHHII", 16 + len(body), NFTABLES << 8 | GETGEN, 1, 1, 0) + body)
        return struct.unpack("!I", attrs(s.recv(65536)[20:])[GEN_ID])[0]
