/* The conversation of conversation.ts, held with loudmouth, the library of mcabber. */
#include <loudmouth/loudmouth.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static GMainLoop *loop;
static const char *peer, *room, *password, *resource;
static char *user, *nick;
static gboolean joined;

static void say_to(LmConnection *connection, const char *to, LmMessageSubType type, const char *body) {
  LmMessage *message = lm_message_new_with_sub_type(to, LM_MESSAGE_TYPE_MESSAGE, type);
  lm_message_node_add_child(message->node, "body", body);
  lm_connection_send(connection, message, NULL);
  lm_message_unref(message);
}

static LmHandlerResult heard(LmMessageHandler *handler, LmConnection *connection, LmMessage *message, gpointer data) {
  LmMessageNode *child = lm_message_node_get_child(message->node, "body");
  const char *body = child ? lm_message_node_get_value(child) : NULL;
  (void)handler, (void)data;
  if (body && !strcmp(body, "a word back")) {
    puts("answered");
    LmMessage *presence = lm_message_new(nick, LM_MESSAGE_TYPE_PRESENCE);
    LmMessageNode *x = lm_message_node_add_child(presence->node, "x", NULL);
    lm_message_node_set_attribute(x, "xmlns", "http://jabber.org/protocol/muc");
    lm_connection_send(connection, presence, NULL);
    lm_message_unref(presence);
  } else if (body && !strcmp(body, "a word for one")) {
    puts("heard in the room");
    lm_connection_close(connection, NULL);
  }
  return LM_HANDLER_RESULT_REMOVE_MESSAGE;
}

static LmHandlerResult seen(LmMessageHandler *handler, LmConnection *connection, LmMessage *message, gpointer data) {
  const char *from = lm_message_node_get_attribute(message->node, "from");
  (void)handler, (void)data;
  if (from && !strcmp(from, nick) && !joined && lm_message_get_sub_type(message) != LM_MESSAGE_SUB_TYPE_ERROR) {
    joined = TRUE;
    puts("joined");
    say_to(connection, room, LM_MESSAGE_SUB_TYPE_GROUPCHAT, "a word for all");
  }
  return LM_HANDLER_RESULT_REMOVE_MESSAGE;
}

static LmHandlerResult listed(LmMessageHandler *handler, LmConnection *connection, LmMessage *message, gpointer data) {
  LmMessageNode *query = lm_message_node_get_child(message->node, "query");
  (void)handler, (void)data;
  for (LmMessageNode *item = query ? query->children : NULL; item; item = item->next)
    printf("contact %s\n", lm_message_node_get_attribute(item, "jid"));
  LmMessage *presence = lm_message_new(NULL, LM_MESSAGE_TYPE_PRESENCE);
  lm_connection_send(connection, presence, NULL);
  lm_message_unref(presence);
  say_to(connection, peer, LM_MESSAGE_SUB_TYPE_CHAT, "a word for you");
  return LM_HANDLER_RESULT_REMOVE_MESSAGE;
}

static void authenticated(LmConnection *connection, gboolean success, gpointer data) {
  (void)data;
  if (!success) {
    puts("failed: authentication");
    g_main_loop_quit(loop);
    return;
  }
  puts("online");
  LmMessage *request = lm_message_new_with_sub_type(NULL, LM_MESSAGE_TYPE_IQ, LM_MESSAGE_SUB_TYPE_GET);
  LmMessageNode *query = lm_message_node_add_child(request->node, "query", NULL);
  lm_message_node_set_attribute(query, "xmlns", "jabber:iq:roster");
  lm_connection_send_with_reply(connection, request, lm_message_handler_new(listed, NULL, NULL), NULL);
  lm_message_unref(request);
}

static void opened(LmConnection *connection, gboolean success, gpointer data) {
  (void)data;
  if (success && lm_connection_authenticate(connection, user, password, resource, authenticated, NULL, NULL, NULL)) return;
  puts("failed: connection");
  g_main_loop_quit(loop);
}

static void closed(LmConnection *connection, LmDisconnectReason reason, gpointer data) {
  (void)connection, (void)data;
  if (reason == LM_DISCONNECT_REASON_OK) puts("ended");
  else printf("failed: disconnected, %d\n", reason);
  g_main_loop_quit(loop);
}

static LmSSLResponse trust(LmSSL *ssl, LmSSLStatus status, gpointer data) {
  (void)ssl, (void)status, (void)data;
  return LM_SSL_RESPONSE_CONTINUE;
}

int main(int count, char **argument) {
  if (count != 8) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  char *jid = g_strdup(argument[4]), *slash = strchr(jid, '/');
  *slash = '\0';
  resource = slash + 1;
  user = g_strndup(jid, strcspn(jid, "@"));
  password = argument[5];
  peer = argument[6];
  room = argument[7];
  nick = g_strconcat(room, "/client", NULL);
  loop = g_main_loop_new(NULL, FALSE);

  LmConnection *connection = lm_connection_new(argument[1]);
  lm_connection_set_port(connection, (guint)atoi(argument[2]));
  lm_connection_set_jid(connection, jid);
  LmSSL *ssl = lm_ssl_new(NULL, trust, NULL, NULL);
  if (strcmp(argument[3], "direct")) lm_ssl_use_starttls(ssl, TRUE, TRUE);
  lm_connection_set_ssl(connection, ssl);
  lm_connection_set_disconnect_function(connection, closed, NULL, NULL);
  lm_connection_register_message_handler(connection, lm_message_handler_new(heard, NULL, NULL),
                                         LM_MESSAGE_TYPE_MESSAGE, LM_HANDLER_PRIORITY_NORMAL);
  lm_connection_register_message_handler(connection, lm_message_handler_new(seen, NULL, NULL),
                                         LM_MESSAGE_TYPE_PRESENCE, LM_HANDLER_PRIORITY_NORMAL);
  if (!lm_connection_open(connection, opened, NULL, NULL, NULL)) return 1;
  g_main_loop_run(loop);
  return 0;
}
