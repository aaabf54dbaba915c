"""One session of slixmpp, told what to do in JSON lines and reporting in JSON lines.

Started by slixmpp.ts. Each line on standard input is {"id": n, "do": name, ...};
it is answered by one line {"id": n, ...}, with "error" in it if it failed. What
happens by itself is reported as {"event": name, ...}.
"""

import asyncio
import json
import logging
import ssl
import sys

from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.plugins.base import register_plugin
from slixmpp.plugins.xep_0198 import XEP_0198
from slixmpp.plugins.xep_0198.stanza import Resume
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath


# The library prints to standard output now and then, which is for the reports alone.
reports = sys.stdout
sys.stdout = sys.stderr


def report(**fields):
    reports.write(json.dumps(fields) + "\n")
    reports.flush()


class KeepingManagement(XEP_0198):
    """COMPAT: slixmpp 1.8.3 clears its queue of unacknowledged stanzas as it sends <resume/>, and so has nothing to send again."""

    def _handle_outgoing(self, stanza):
        kept = list(self.unacked_queue) if isinstance(stanza, Resume) else []
        outgoing = super()._handle_outgoing(stanza)
        self.unacked_queue.extend(kept)
        return outgoing


class Session(ClientXMPP):
    def __init__(self, login):
        super().__init__(f"{login['name']}@{login['domain']}/{login['resource']}", login["password"])
        self.login = login
        self.use_ipv6 = self.use_aiodns = False
        self.stopping = False
        for plugin in ("xep_0030", "xep_0045", "xep_0199"):
            self.register_plugin(plugin)
        if login.get("resume") and not login.get("forgetful"):
            register_plugin(KeepingManagement)
        self.register_plugin("xep_0198")
        self["xep_0198"].allow_resume = login.get("resume", False)
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("sm_enabled", lambda _: report(event="managed"))
        # One refused mechanism is not the end: jabberd2 offers EXTERNAL over TLS to everybody.
        self.add_event_handler("failed_all_auth", lambda _: report(event="failed"))
        self.add_event_handler("session_resumed", lambda _: report(event="resumed"))
        self.add_event_handler("disconnected", self.gone)
        self.add_event_handler("stream_error", lambda error: report(event="error", text=error["condition"]))
        self.add_event_handler("message", self.heard)
        self.add_event_handler("groupchat_message", lambda _: None)
        # What an application that knows nothing of it would have to make sense of.
        event = MatchXPath("{jabber:client}message/{http://jabber.org/protocol/pubsub#event}event")
        self.register_handler(Callback("events", event, lambda _: report(event="pubsub")))
        if login.get("presences"):
            self.add_event_handler("presence", self.saw)

    def get_ssl_context(self):
        # Every certificate here is self-signed.
        context = super().get_ssl_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def started(self, _):
        self.send_presence()
        report(event="session", jid=self.boundjid.full)

    def heard(self, message):
        delayed = message.xml.find("{urn:xmpp:delay}delay") is not None
        report(event="message", sender=message["from"].full, type=message["type"], body=message["body"], delayed=delayed)

    def saw(self, presence):
        # The type of an available one is what the library takes its <show/> for.
        report(event="presence", sender=presence["from"].full, type=presence["type"], text=presence["status"])

    def gone(self, _):
        if self.login.get("resume") and not self.stopping:
            # The library leaves it to the application when to connect again.
            asyncio.ensure_future(self.do_connect(None))
        else:
            report(event="disconnected")

    async def do_connect(self, _):
        tls = self.login["tls"]
        self.connect(
            (self.login["host"], self.login["port"]),
            use_ssl=tls == "direct",
            force_starttls=tls == "starttls",
            disable_starttls=tls == "none",
        )

    async def do_message(self, command):
        self.send_message(mto=command["to"], mbody=command["body"], mtype=command["type"])

    async def do_roster(self, _):
        # What the library knows after asking: with roster versions the answer itself may be empty.
        await self.get_roster()
        return sorted(jid for jid in self.client_roster.keys() if jid != self.boundjid.bare)

    async def do_add(self, command):
        await self.update_roster(command["jid"])

    async def do_join(self, command):
        # Not join_muc_wait(): that waits for a subject, which mu-conference does not send.
        joined = asyncio.get_running_loop().create_future()

        def seen(presence):
            if presence["from"].bare == command["room"] and 110 in presence["muc"]["status_codes"]:
                joined.done() or joined.set_result(True)

        self.add_event_handler("groupchat_presence", seen)
        # By itself the library wants nine characters of history.
        self["xep_0045"].join_muc(command["room"], command["nick"], maxhistory=str(command.get("history", 0)))
        await asyncio.wait_for(joined, 10)

    async def do_leave(self, command):
        self["xep_0045"].leave_muc(command["room"], command["nick"])

    async def do_ping(self, command):
        await self["xep_0199"].send_ping(command["jid"], timeout=10)

    async def do_unacknowledged(self, _):
        management = self["xep_0198"]
        management.request_ack()
        for _ in range(200):
            if not management.unacked_queue:
                break
            await asyncio.sleep(0.05)
        return len(management.unacked_queue)

    async def do_stop(self, _):
        self.stopping = True
        await self.disconnect(wait=5)


async def answer(session, command):
    try:
        value = await getattr(session, "do_" + command["do"])(command)
        report(id=command["id"], value=value)
    except (IqError, IqTimeout) as error:
        report(id=command["id"], error=str(error))
    except Exception as error:  # the test must hear of it, whatever it is
        report(id=command["id"], error=f"{type(error).__name__}: {error}")


async def main():
    session = Session(json.loads(sys.argv[1]))
    reader = asyncio.StreamReader(limit=4_000_000)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running = set()
    while line := await reader.readline():
        task = asyncio.ensure_future(answer(session, json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)


class Complaints(logging.Handler):
    def emit(self, record):
        report(event="error", text=self.format(record))


logging.getLogger().addHandler(Complaints(level=logging.ERROR))
asyncio.get_event_loop().run_until_complete(main())
