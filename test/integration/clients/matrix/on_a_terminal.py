"""The conversation of conversation.ts, held with a client that wants a terminal and a person at it.

The first argument is its name. It is run on a pseudo-terminal with a home of its
own; commands are typed when what they wait for has appeared on the screen.
"""

import os
import pty
import re
import select
import shutil
import signal
import sys
import tempfile
import time

name, host, port, tls, jid, password, peer, room = sys.argv[1:]
account, resource = jid.split("/")
# A person names people, not their devices.
peer = peer.split("/")[0]
home = tempfile.mkdtemp(prefix="interstanza-terminal-")


def write(path, text):
    path = os.path.join(home, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o600)
    return path


# Each step: what has to be on the screen, what is reported then, what is typed then.
if name == "mcabber":
    secure = "set ssl = 1" if tls == "direct" else "set tls = 1"
    rc = write(
        "mcabberrc",
        f"set jid = {account}\nset resource = {resource}\nset password = {password}\nset server = {host}\n"
        f"set port = {port}\n{secure}\nset ssl_ignore_checks = 1\n",
    )
    command = ["mcabber", "-f", rc]
    steps = [
        # The bare Return shows what is said with the one who was searched.
        (
            r"friend@example",
            ["online", "contact friend@example.org"],
            f"/say_to {peer} a word for you\r/roster search {peer}\r",
        ),
        (r"a word back", ["answered"], f"/room join {room} client"),
        (r"(You have joined|The room|has joined)", ["joined"], f"/say_to {room} a word for all"),
        (r"a word for one", ["heard in the room"], "/quit"),
    ]
elif name == "profanity":
    command = ["profanity", "-a", "matrix"]
    write(
        ".local/share/profanity/accounts",
        f"[matrix]\nenabled=true\njid={account}\nresource={resource}\npassword={password}\n"
        f"server={host}\nport={port}\ntls.policy={'legacy' if tls == 'direct' else 'trust'}\n"
        "presence.last=online\npresence.login=online\n",
    )
    steps = [
        *([(r"Use '/tls deny'", [], "/tls allow")] if tls == "direct" else []),
        (r"logged in successfully", ["online"], "/roster"),
        (r"friend@example.org", ["contact friend@example.org"], f"/msg {peer} a word for you"),
        (r"a word back", ["answered"], f"/join {room} nick client"),
        (r"You have joined the room|-> You", ["joined"], "a word for all"),
        (r"a word for one", ["heard in the room"], "/quit"),
    ]
else:
    sys.exit(f"unknown client {name}")

child, terminal = pty.fork()
if child == 0:
    settings = {"HOME": home, "TERM": "xterm", "LANG": "C.UTF-8", "COLUMNS": "200", "LINES": "60"}
    os.execvpe(command[0], command, {**os.environ, **settings})

screen = ""
ended = False


def look(seconds):
    """Reads what is drawn, without the sequences that say where and in which colour."""
    global screen, ended
    if not select.select([terminal], [], [], seconds)[0]:
        return
    try:
        drawn = os.read(terminal, 65536).decode("utf8", "replace")
    except OSError:
        ended = True
        return
    screen += re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>78]|\][^\x07]*\x07)", " ", drawn)


deadline = time.monotonic() + 10
for wanted, reports, typed in steps:
    while not re.search(wanted, screen):
        if ended or time.monotonic() > deadline:
            print(f"failed: nothing like {wanted!r} on the screen:\n{screen[-1500:]}", flush=True)
            os.kill(child, signal.SIGKILL)
            sys.exit(1)
        look(0.2)
    for report in reports:
        print(report, flush=True)
    screen = ""
    os.write(terminal, f"{typed}\r".encode())
while not ended and time.monotonic() < deadline:
    look(0.2)
status = os.waitpid(child, 0)[1] if ended else -1
shutil.rmtree(home, ignore_errors=True)
print("ended" if status == 0 else f"failed: it ended with {status}", flush=True)
