"""The conversation of conversation.ts, held with Twisted's words. It has STARTTLS only."""

import sys

from twisted.internet import reactor, ssl
from twisted.words.protocols.jabber import client, xmlstream
from twisted.words.protocols.jabber.jid import JID
from twisted.words.xish import domish

host, port, _tls, jid, password, peer, room = sys.argv[1:]


def say(line):
    print(line, flush=True)


def message(recipient, kind, body):
    element = domish.Element((None, "message"))
    element["to"], element["type"] = recipient, kind
    element.addElement("body", content=body)
    stream.send(element)


def authenticated(_):
    say("online")
    request = client.IQ(stream, "get")
    request.addElement(("jabber:iq:roster", "query"))
    request.addCallback(listed)
    request.send()


def listed(answer):
    for item in answer.query.elements():
        say(f"contact {item['jid']}")
    stream.send(domish.Element((None, "presence")))
    message(peer, "chat", "a word for you")


def heard(element):
    body = str(element.body or "")
    if body == "a word back":
        say("answered")
        presence = domish.Element((None, "presence"))
        presence["to"] = f"{room}/client"
        presence.addElement(("http://jabber.org/protocol/muc", "x"))
        stream.send(presence)
    elif body == "a word for one":
        say("heard in the room")
        stream.sendFooter()


def seen(element):
    if element["from"] == f"{room}/client" and not element.hasAttribute("type"):
        say("joined")
        message(room, "groupchat", "a word for all")


def failed(failure):
    say(f"failed: {failure.value!r}")
    reactor.stop()


def connected(opened):
    global stream
    stream = opened


def ended(_):
    say("ended")
    reactor.stop()


# Every certificate here is self-signed.
unverified = ssl.CertificateOptions(verify=False)
factory = client.XMPPClientFactory(JID(jid), password, configurationForTLS=unverified)
factory.addBootstrap(xmlstream.STREAM_CONNECTED_EVENT, connected)
factory.addBootstrap(xmlstream.STREAM_AUTHD_EVENT, authenticated)
factory.addBootstrap(xmlstream.INIT_FAILED_EVENT, failed)
factory.addBootstrap(xmlstream.STREAM_END_EVENT, ended)
factory.addBootstrap("/message", heard)
factory.addBootstrap("/presence", seen)
factory.maxRetries = 0
reactor.connectTCP(host, int(port), factory)
reactor.run()
