# The conversation of conversation.ts, held with xmpp4r.
require 'xmpp4r'
require 'xmpp4r/roster'
require 'xmpp4r/muc'

$stdout.sync = true
host, port, tls, jid, password, peer, room = ARGV
answered = Queue.new
heard = Queue.new

client = Jabber::Client.new(Jabber::JID.new(jid))
client.on_exception do |error, _, where|
  next if error.nil?
  puts "failed: #{error.inspect} in #{where}"
  exit! 1
end
client.use_ssl = tls == 'direct'
client.connect(host, port.to_i)
client.auth(password)
puts 'online'
# Not Roster::Helper: it asks without an id, which Prosody and ejabberd refuse.
client.send_with_id(Jabber::Iq.new_rosterget).query.each_element('item') { |item| puts "contact #{item.jid}" }
client.send(Jabber::Presence.new)

client.add_message_callback { |message| answered << true if message.body == 'a word back' }
client.send(Jabber::Message.new(peer, 'a word for you').set_type(:chat))
answered.pop
puts 'answered'

occupied = Jabber::MUC::SimpleMUCClient.new(client)
occupied.on_message { |_, _, text| heard << true if text == 'a word for one' }
occupied.join("#{room}/client")
puts 'joined'
occupied.say('a word for all')
heard.pop
puts 'heard in the room'
client.on_exception { nil }
client.close
puts 'ended'
