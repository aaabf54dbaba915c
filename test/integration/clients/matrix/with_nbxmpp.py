"""The conversation of conversation.ts, held with python3-nbxmpp, the library of Gajim."""

import sys

from gi.repository import GLib
from nbxmpp.client import Client
from nbxmpp.const import ConnectionProtocol, ConnectionType
from nbxmpp.protocol import JID, Message, Presence
from nbxmpp.structs import StanzaHandler

host, port, tls, jid, password, peer, room = sys.argv[1:]
jid = JID.from_string(jid)
loop = GLib.MainLoop()


def say(line):
    print(line, flush=True)


def connected(client, _):
    say("online")
    client.get_module("Roster").request_roster(callback=roster_received)


def roster_received(task):
    for item in task.finish().items:
        say(f"contact {item.jid}")
    client.send_stanza(Presence())
    client.send_stanza(Message(to=peer, body="a word for you", typ="chat"))


def message_received(_client, stanza, _properties):
    if stanza.getBody() == "a word back":
        say("answered")
        if client._smacks.enabled:
            say("managed")
        presence = Presence(to=f"{room}/client")
        presence.addChild("x", namespace="http://jabber.org/protocol/muc")
        client.send_stanza(presence)
    elif stanza.getBody() == "a word for one" and stanza.getType() == "groupchat":
        say("heard in the room")
        client.disconnect()


def presence_received(_client, stanza, properties):
    if properties.is_muc_self_presence and str(stanza.getFrom().new_as_bare()) == room:
        say("joined")
        client.send_stanza(Message(to=room, body="a word for all", typ="groupchat"))


def disconnected(client, _):
    error = client.get_error()
    # The end of the stream is told in the same way, also when it was wished for.
    say("ended" if error[1] == "stream-end" else f"failed {error}")
    loop.quit()


client = Client(log_context="conversation")
client.set_domain(jid.domain)
client.set_username(jid.localpart)
client.set_resource(jid.resource)
client.set_password(password)
kind = ConnectionType.DIRECT_TLS if tls == "direct" else ConnectionType.START_TLS
client.set_custom_host(f"{host}:{port}", ConnectionProtocol.TCP, kind)
client.set_ignore_tls_errors(True)
client.subscribe("connected", connected)
client.subscribe("disconnected", disconnected)
client.subscribe("connection-failed", disconnected)
client.register_handler(StanzaHandler(name="message", callback=message_received, priority=60))
client.register_handler(StanzaHandler(name="presence", callback=presence_received, priority=60))
client.connect()
loop.run()
