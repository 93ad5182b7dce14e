"""Unbound as a peer: one thread that forwards all it is asked to an upstream on loopback."""

CONFIG = """\
server:
    interface: 127.0.0.1
    port: 5311
    do-ip6: no
    num-threads: 1
    username: ""
    chroot: ""
    directory: "FOLDER"
    pidfile: ""
    use-syslog: no
    do-not-query-localhost: no
    local-zone: "test." nodefault
    outgoing-range: 4096
    num-queries-per-thread: 2048
    access-control: 127.0.0.0/8 allow
SERVER\
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@UPSTREAM
"""


def config(folder, upstream, *server):
    """For an upstream at that port; `server`: lines of its server clause that not every peer has."""
    lines = "".join(f"    {line}\n" for line in server)
    return CONFIG.replace("FOLDER", folder).replace("UPSTREAM", str(upstream)).replace("SERVER", lines)
