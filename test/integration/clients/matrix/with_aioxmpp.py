"""The conversation of conversation.ts, held with aioxmpp."""

import asyncio
import logging
import sys
import warnings

# The library is older than the interpreter, which says so at length.
warnings.simplefilter("ignore")

import aioxmpp
import aioxmpp.connector
import aioxmpp.dispatcher

host, port, tls, jid, password, peer, room = sys.argv[1:]
logging.basicConfig(stream=sys.stderr, level=logging.WARNING)


def say(line):
    print(line, flush=True)


async def main():
    peer_jid = aioxmpp.JID.fromstr(peer)
    room_jid = aioxmpp.JID.fromstr(room)
    connectors = {
        "starttls": aioxmpp.connector.STARTTLSConnector,
        "direct": aioxmpp.connector.XMPPOverTLSConnector,
    }
    client = aioxmpp.PresenceManagedClient(
        aioxmpp.JID.fromstr(jid),
        aioxmpp.make_security_layer(password, no_verify=True),
        override_peer=[(host, int(port), connectors[tls]())],
    )
    answered = asyncio.Event()
    heard = asyncio.Event()

    def message_received(message):
        if message.body.any() == "a word back":
            answered.set()

    def said_in_room(message, member, source, **_):
        if message.body.any() == "a word for one":
            heard.set()

    dispatcher = client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
    dispatcher.register_callback(aioxmpp.MessageType.CHAT, None, message_received)
    roster = client.summon(aioxmpp.RosterClient)
    loaded = asyncio.Event()
    roster.on_initial_roster_received.connect(lambda: loaded.set() or False)
    rooms = client.summon(aioxmpp.MUCClient)

    async with client.connected():
        say("online")
        if client.stream.sm_enabled:
            say("managed")
        await loaded.wait()
        for contact in roster.items:
            say(f"contact {contact}")

        message = aioxmpp.Message(to=peer_jid, type_=aioxmpp.MessageType.CHAT)
        message.body[None] = "a word for you"
        await client.send(message)
        await answered.wait()
        say("answered")

        occupied, joined = rooms.join(room_jid, "client")
        occupied.on_message.connect(said_in_room)
        await joined
        say("joined")
        message = aioxmpp.Message(to=room_jid, type_=aioxmpp.MessageType.GROUPCHAT)
        message.body[None] = "a word for all"
        await client.send(message)
        await heard.wait()
        say("heard in the room")
    say("ended")


asyncio.run(main())
