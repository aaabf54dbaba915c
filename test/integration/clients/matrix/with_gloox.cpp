// The conversation of conversation.ts, held with gloox.
#include <gloox/client.h>
#include <gloox/connectionlistener.h>
#include <gloox/connectiontcpclient.h>
#include <gloox/connectiontls.h>
#include <gloox/message.h>
#include <gloox/messagehandler.h>
#include <gloox/mucroom.h>
#include <gloox/mucroomhandler.h>
#include <gloox/rosterlistener.h>
#include <gloox/rostermanager.h>
#include <cstdlib>
#include <iostream>
#include <string>

using namespace gloox;

class Conversation : public ConnectionListener, public MessageHandler, public RosterListener, public MUCRoomHandler {
public:
  Conversation(char **argument)
      : client(JID(argument[4]), argument[5]), room(&client, JID(std::string(argument[7]) + "/client"), this),
        peer(argument[6]) {
    int port = std::atoi(argument[2]);
    if (std::string(argument[3]) == "direct") {
      auto *tcp = new ConnectionTCPClient(client.logInstance(), argument[1], port);
      client.setConnectionImpl(new ConnectionTLS(&client, tcp, client.logInstance()));
      client.setTls(TLSDisabled);
    } else {
      client.setServer(argument[1]);
      client.setPort(port);
      client.setTls(TLSRequired);
    }
    client.setCompression(false);
    client.setStreamManagement(true, false);
    client.registerConnectionListener(this);
    client.registerMessageHandler(this);
    client.rosterManager()->registerRosterListener(this);
  }

  void run() { client.connect(); }

  void onConnect() override { say("online"); }
  bool onTLSConnect(const CertInfo &) override { return true; }
  void onDisconnect(ConnectionError error) override {
    if (error == ConnUserDisconnected) say("ended");
    else say("failed: " + std::to_string(error));
  }

  void handleRoster(const Roster &roster) override {
    for (auto &item : roster) say("contact " + item.first);
    client.send(Message(Message::Chat, JID(peer), "a word for you"));
  }

  void handleMessage(const Message &message, MessageSession *) override {
    if (message.body() != "a word back") return;
    say("answered");
    room.join();
  }

  void handleMUCParticipantPresence(MUCRoom *, const MUCRoomParticipant participant, const Presence &) override {
    if (joined || !(participant.flags & UserSelf)) return;
    joined = true;
    say("joined");
    room.send("a word for all");
  }

  void handleMUCMessage(MUCRoom *, const Message &message, bool) override {
    if (message.body() != "a word for one") return;
    say("heard in the room");
    client.disconnect();
  }

  bool handleMUCRoomCreation(MUCRoom *) override { return true; }
  void handleMUCSubject(MUCRoom *, const std::string &, const std::string &) override {}
  void handleMUCInviteDecline(MUCRoom *, const JID &, const std::string &) override {}
  void handleMUCError(MUCRoom *, StanzaError error) override { say("failed: room, " + std::to_string(error)); }
  void handleMUCInfo(MUCRoom *, int, const std::string &, const DataForm *) override {}
  void handleMUCItems(MUCRoom *, const Disco::ItemList &) override {}
  void handleItemAdded(const JID &) override {}
  void handleItemSubscribed(const JID &) override {}
  void handleItemRemoved(const JID &) override {}
  void handleItemUpdated(const JID &) override {}
  void handleItemUnsubscribed(const JID &) override {}
  void handleRosterPresence(const RosterItem &, const std::string &, Presence::PresenceType, const std::string &) override {}
  void handleSelfPresence(const RosterItem &, const std::string &, Presence::PresenceType, const std::string &) override {}
  bool handleSubscriptionRequest(const JID &, const std::string &) override { return false; }
  bool handleUnsubscriptionRequest(const JID &, const std::string &) override { return false; }
  void handleNonrosterPresence(const Presence &) override {}
  void handleRosterError(const IQ &) override { say("failed: roster"); }

private:
  static void say(const std::string &line) { std::cout << line << std::endl; }

  Client client;
  MUCRoom room;
  std::string peer;
  bool joined = false;
};

int main(int count, char **argument) {
  if (count != 8) return 2;
  Conversation(argument).run();
  return 0;
}
