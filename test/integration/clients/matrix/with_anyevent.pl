# The conversation of conversation.ts, held with AnyEvent::XMPP.
use strict;
use warnings;
use AnyEvent;
use AnyEvent::XMPP::Client;
use AnyEvent::XMPP::Ext::Disco;
use AnyEvent::XMPP::Ext::MUC;

$| = 1;
my ($host, $port, $tls, $jid, $password, $peer, $room) = @ARGV;
my $over = AnyEvent->condvar;
my $client = AnyEvent::XMPP::Client->new;
my $disco = AnyEvent::XMPP::Ext::Disco->new;
$client->add_extension($disco);
my ($account, $online, $ended);

sub say { print "$_[0]\n" }

$client->add_account($jid, $password, $host, $port, { old_style_ssl => $tls eq 'direct' ? 1 : 0 });
$client->reg_cb(
  session_ready => sub {
    (undef, $account) = @_;
    my $connection = $account->connection;
    $connection->reg_cb(disconnect => sub { say 'ended'; $over->send });
    my $muc = AnyEvent::XMPP::Ext::MUC->new(disco => $disco, connection => $connection);
    $client->add_extension($muc);
    $muc->reg_cb(
      enter => sub {
        say 'joined';
        $_[1]->make_message(body => 'a word for all', type => 'groupchat')->send;
      },
      message => sub {
        my (undef, undef, $message) = @_;
        return unless ($message->any_body // '') eq 'a word for one';
        say 'heard in the room';
        # Behind this event, in which the parser is still at work.
        AnyEvent::postpone { $ended = 1; $connection->disconnect('done') };
      },
    );
    $account->{muc} = $muc;
    $client->send_message('a word for you' => $peer, undef, 'chat');
  },
  roster_update => sub {
    # It fetches the roster by itself, before it says that the session is ready.
    my (undef, undef, $roster) = @_;
    return if $online++;
    say 'online';
    say "contact $_" for map { $_->jid } $roster->get_contacts;
  },
  message => sub {
    my (undef, undef, $message) = @_;
    return unless ($message->any_body // '') eq 'a word back';
    say 'answered';
    $account->{muc}->join_room($account->connection, $room, 'client');
  },
  connect_error => sub { say "failed: $_[2]" unless $ended; $over->send },
  error => sub { say 'failed: ' . $_[2]->string; $over->send },
);
$client->start;
$over->recv;
