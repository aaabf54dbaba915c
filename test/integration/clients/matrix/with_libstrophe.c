/* The conversation of conversation.ts, held with libstrophe. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strophe.h>

static xmpp_ctx_t *ctx;
static const char *peer, *room;
static int joined;

static void say_to(xmpp_conn_t *conn, const char *to, const char *type, const char *body) {
  xmpp_stanza_t *message = xmpp_message_new(ctx, type, to, NULL);
  xmpp_message_set_body(message, body);
  xmpp_send(conn, message);
  xmpp_stanza_release(message);
}

static int heard(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *data) {
  char *body = xmpp_message_get_body(stanza);
  (void)data;
  if (!body) return 1;
  if (!strcmp(body, "a word back")) {
    puts("answered");
    xmpp_stanza_t *presence = xmpp_presence_new(ctx), *x = xmpp_stanza_new(ctx);
    char nick[512];
    snprintf(nick, sizeof nick, "%s/client", room);
    xmpp_stanza_set_to(presence, nick);
    xmpp_stanza_set_name(x, "x");
    xmpp_stanza_set_ns(x, "http://jabber.org/protocol/muc");
    xmpp_stanza_add_child_ex(presence, x, 0);
    xmpp_send(conn, presence);
    xmpp_stanza_release(presence);
  } else if (!strcmp(body, "a word for one")) {
    puts("heard in the room");
    xmpp_disconnect(conn);
  }
  xmpp_free(ctx, body);
  return 1;
}

static int seen(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *data) {
  char nick[512];
  const char *from = xmpp_stanza_get_from(stanza);
  (void)data;
  snprintf(nick, sizeof nick, "%s/client", room);
  if (from && !joined && !strcmp(from, nick) && !xmpp_stanza_get_type(stanza)) {
    joined = 1;
    puts("joined");
    say_to(conn, room, "groupchat", "a word for all");
  }
  return 1;
}

static int listed(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *data) {
  xmpp_stanza_t *query = xmpp_stanza_get_child_by_name(stanza, "query");
  (void)data;
  for (xmpp_stanza_t *item = query ? xmpp_stanza_get_children(query) : NULL; item; item = xmpp_stanza_get_next(item))
    printf("contact %s\n", xmpp_stanza_get_attribute(item, "jid"));
  xmpp_stanza_t *presence = xmpp_presence_new(ctx);
  xmpp_send(conn, presence);
  xmpp_stanza_release(presence);
  say_to(conn, peer, "chat", "a word for you");
  return 0;
}

static void changed(xmpp_conn_t *conn, xmpp_conn_event_t status, int error, xmpp_stream_error_t *stream_error,
                    void *data) {
  (void)data;
  if (status != XMPP_CONN_CONNECT) {
    if (error || stream_error) printf("failed: %d\n", error);
    else puts("ended");
    xmpp_stop(ctx);
    return;
  }
  puts("online");
  xmpp_handler_add(conn, heard, NULL, "message", NULL, NULL);
  xmpp_handler_add(conn, seen, NULL, "presence", NULL, NULL);
  xmpp_id_handler_add(conn, listed, "roster", NULL);
  xmpp_stanza_t *iq = xmpp_iq_new(ctx, "get", "roster"), *query = xmpp_stanza_new(ctx);
  xmpp_stanza_set_name(query, "query");
  xmpp_stanza_set_ns(query, XMPP_NS_ROSTER);
  xmpp_stanza_add_child_ex(iq, query, 0);
  xmpp_send(conn, iq);
  xmpp_stanza_release(iq);
}

int main(int count, char **argument) {
  if (count != 8) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  peer = argument[6];
  room = argument[7];
  xmpp_initialize();
  ctx = xmpp_ctx_new(NULL, xmpp_get_default_logger(XMPP_LEVEL_WARN));
  xmpp_conn_t *conn = xmpp_conn_new(ctx);
  xmpp_conn_set_flags(conn, XMPP_CONN_FLAG_TRUST_TLS | (strcmp(argument[3], "direct") ? XMPP_CONN_FLAG_MANDATORY_TLS
                                                                                      : XMPP_CONN_FLAG_LEGACY_SSL));
  xmpp_conn_set_jid(conn, argument[4]);
  xmpp_conn_set_pass(conn, argument[5]);
  if (xmpp_connect_client(conn, argument[1], (unsigned short)atoi(argument[2]), changed, NULL) != XMPP_EOK) return 1;
  xmpp_run(ctx);
  xmpp_conn_release(conn);
  xmpp_ctx_free(ctx);
  return 0;
}
