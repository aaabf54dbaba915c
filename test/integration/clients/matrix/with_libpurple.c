/* The conversation of conversation.ts, held with libpurple, the library of Pidgin and Finch. */
#include <purple.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static GMainLoop *loop;
static PurpleAccount *account;
static const char *peer, *room;

/* What the library asks of its user interface: to watch files, and to answer when it asks about a certificate. */

typedef struct {
  PurpleInputFunction call;
  gpointer data;
} Watch;

static gboolean ready(GIOChannel *channel, GIOCondition condition, gpointer data) {
  Watch *watch = data;
  PurpleInputCondition seen = 0;
  if (condition & (G_IO_IN | G_IO_HUP | G_IO_ERR)) seen |= PURPLE_INPUT_READ;
  if (condition & (G_IO_OUT | G_IO_HUP | G_IO_ERR)) seen |= PURPLE_INPUT_WRITE;
  watch->call(watch->data, g_io_channel_unix_get_fd(channel), seen);
  return TRUE;
}

static guint watch_file(int file, PurpleInputCondition wanted, PurpleInputFunction call, gpointer data) {
  Watch *watch = g_new0(Watch, 1);
  GIOCondition condition = G_IO_HUP | G_IO_ERR;
  watch->call = call;
  watch->data = data;
  if (wanted & PURPLE_INPUT_READ) condition |= G_IO_IN;
  if (wanted & PURPLE_INPUT_WRITE) condition |= G_IO_OUT;
  GIOChannel *channel = g_io_channel_unix_new(file);
  guint id = g_io_add_watch_full(channel, G_PRIORITY_DEFAULT, condition, ready, watch, g_free);
  g_io_channel_unref(channel);
  return id;
}

static void *accept_first(const char *title, const char *primary, const char *secondary, int standard,
                          PurpleAccount *of, const char *who, PurpleConversation *conversation, void *data,
                          size_t count, va_list choices) {
  (void)title, (void)primary, (void)secondary, (void)standard, (void)of, (void)who, (void)conversation;
  if (count > 0) {
    (void)va_arg(choices, char *);
    va_arg(choices, PurpleRequestActionCb)(data, 0);
  }
  return NULL;
}

static PurpleCoreUiOps core;
static PurpleRequestUiOps requests = {.request_action = accept_first};
static PurpleEventLoopUiOps events = {
    .timeout_add = g_timeout_add,
    .timeout_remove = g_source_remove,
    .input_add = watch_file,
    .input_remove = g_source_remove,
    .timeout_add_seconds = g_timeout_add_seconds,
};

static gboolean leave(gpointer data) {
  (void)data;
  purple_core_quit();
  puts("ended");
  g_main_loop_quit(loop);
  return FALSE;
}

static gboolean listed(gpointer data) {
  GSList *buddies = purple_find_buddies(account, NULL);
  (void)data;
  if (!buddies) return TRUE;
  for (GSList *each = buddies; each; each = each->next) printf("contact %s\n", purple_buddy_get_name(each->data));
  g_slist_free(buddies);
  PurpleConversation *talk = purple_conversation_new(PURPLE_CONV_TYPE_IM, account, peer);
  purple_conv_im_send(PURPLE_CONV_IM(talk), "a word for you");
  return FALSE;
}

static void signed_on(PurpleConnection *connection, gpointer data) {
  (void)connection, (void)data;
  puts("online");
  g_timeout_add(20, listed, NULL);
}

static void heard(PurpleAccount *of, char *who, char *text, PurpleConversation *talk, int flags, gpointer data) {
  (void)of, (void)who, (void)talk, (void)flags, (void)data;
  if (!strstr(text, "a word back")) return;
  puts("answered");
  char **parts = g_strsplit(room, "@", 2);
  GHashTable *where = g_hash_table_new(g_str_hash, g_str_equal);
  g_hash_table_insert(where, "room", parts[0]);
  g_hash_table_insert(where, "server", parts[1]);
  g_hash_table_insert(where, "handle", "client");
  serv_join_chat(purple_account_get_connection(account), where);
}

static void joined(PurpleConversation *talk, gpointer data) {
  (void)data;
  puts("joined");
  purple_conv_chat_send(PURPLE_CONV_CHAT(talk), "a word for all");
}

static void heard_in_room(PurpleAccount *of, char *who, char *text, PurpleConversation *talk, int flags, gpointer data) {
  (void)of, (void)who, (void)talk, (void)flags, (void)data;
  if (!strstr(text, "a word for one")) return;
  puts("heard in the room");
  g_timeout_add(0, leave, NULL);
}

static void changed(PurpleAccount *of, const PurpleConnectionErrorInfo *old, const PurpleConnectionErrorInfo *error,
                    gpointer data) {
  (void)of, (void)old, (void)data;
  if (!error) return;
  printf("failed: %s\n", error->description);
  g_main_loop_quit(loop);
}

static void hear(void *from, const char *signal, void (*call)(void)) {
  static int here;
  purple_signal_connect(from, signal, &here, call, NULL);
}

int main(int count, char **argument) {
  char home[] = "/tmp/interstanza-libpurple-XXXXXX";
  if (count != 8) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  peer = argument[6];
  room = argument[7];
  purple_util_set_user_dir(mkdtemp(home));
  purple_core_set_ui_ops(&core);
  purple_eventloop_set_ui_ops(&events);
  purple_request_set_ui_ops(&requests);
  if (!purple_core_init("interstanza")) return 1;
  purple_set_blist(purple_blist_new());
  loop = g_main_loop_new(NULL, FALSE);

  account = purple_account_new(argument[4], "prpl-jabber");
  purple_account_set_password(account, argument[5]);
  purple_account_set_string(account, "connect_server", argument[1]);
  purple_account_set_int(account, "port", atoi(argument[2]));
  purple_account_set_string(account, "connection_security", strcmp(argument[3], "direct") ? "require_tls" : "old_ssl");
  hear(purple_connections_get_handle(), "signed-on", PURPLE_CALLBACK(signed_on));
  hear(purple_accounts_get_handle(), "account-error-changed", PURPLE_CALLBACK(changed));
  hear(purple_conversations_get_handle(), "received-im-msg", PURPLE_CALLBACK(heard));
  hear(purple_conversations_get_handle(), "received-chat-msg", PURPLE_CALLBACK(heard_in_room));
  hear(purple_conversations_get_handle(), "chat-joined", PURPLE_CALLBACK(joined));
  purple_account_set_enabled(account, "interstanza", TRUE);
  purple_savedstatus_activate(purple_savedstatus_new(NULL, PURPLE_STATUS_AVAILABLE));
  g_main_loop_run(loop);

  char *remove = g_strdup_printf("rm -rf '%s'", home);
  return system(remove) == 0 ? 0 : 1;
}
