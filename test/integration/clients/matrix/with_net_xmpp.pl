# The conversation of conversation.ts, held with Net::XMPP, which sendxmpp also uses.
use strict;
use warnings;
use Net::XMPP;

$| = 1;
my ($host, $port, $tls, $jid, $password, $peer, $room) = @ARGV;
my ($user, $domain, $resource) = $jid =~ m{^(.*)@(.*)/(.*)$};
my $client = Net::XMPP::Client->new;
my %seen;

sub say { print "$_[0]\n" }

sub await {
  my ($what) = @_;
  for (1 .. 100) {
    return if $seen{$what};
    defined $client->Process(0.1) or last;
  }
  say "failed: no $what";
  exit 1;
}

$client->SetCallBacks(
  message => sub {
    $seen{answer}++ if $_[1]->GetBody eq 'a word back';
    $seen{word}++ if $_[1]->GetBody eq 'a word for one';
  },
  presence => sub { $seen{room}++ if $_[1]->GetFrom eq "$room/client" },
);
my %security = $tls eq 'direct' ? (ssl => 1) : (tls => 1);
defined $client->Connect(
  hostname => $host, port => $port, componentname => $domain, %security, ssl_verify => 0,
) or do { say "failed: $!"; exit 1 };
my @outcome = $client->AuthSend(username => $user, password => $password, resource => $resource);
if ($outcome[0] ne 'ok') { say "failed: @outcome"; exit 1 }
say 'online';
my %roster = $client->RosterGet;
say "contact $_" for sort keys %roster;
$client->PresenceSend;
$client->MessageSend(to => $peer, type => 'chat', body => 'a word for you');
await 'answer';
say 'answered';
$client->Send("<presence to='$room/client'><x xmlns='http://jabber.org/protocol/muc'/></presence>");
await 'room';
say 'joined';
$client->MessageSend(to => $room, type => 'groupchat', body => 'a word for all');
await 'word';
say 'heard in the room';
$client->Disconnect;
say 'ended';
