import { expect, test } from 'vitest';
import { presenceAnnotations } from '../../../src/features/presence-annotations/presence-annotations.js';
import { presenceSession } from '../../../src/features/presence-session/presence-session.js';
import { NS } from '../../../src/xml/namespaces.js';
import { Playbook } from '../session/playbook.js';

const SERVICE = 'chats.shakespeare.lit';
const ROOM = `orchard@${SERVICE}`;
const ME = 'romeo@example.org/lane';
const error = (condition: string) =>
  `<error type='cancel'><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`;
const there = (nick: string, code = '') =>
  `<presence from='${ROOM}/${nick}' to='${ME}'><x xmlns='${NS.mucUser}'><item affiliation='none' role='participant'/>${code}</x></presence>`;
const SELF = there('Romeo', "<status code='110'/>");
const SUBJECT = `<message from='${ROOM}' to='${ME}' type='groupchat'><subject>Balconies</subject></message>`;

/** The other server: who is in the room, and whether it can be reached. */
class Elsewhere {
  isDown = false;
  isIn = false;
  occupants: readonly string[] = ['Juliet', 'Nurse'];
  readonly joins: string[] = [];

  constructor(private readonly play: Playbook) {}

  /** Answers what has been asked, and what that leads to. */
  settles(): void {
    this.play.storeSettles();
    for (let sent = this.play.takeSent('server'); sent !== ''; sent = this.play.takeSent('server')) {
      for (const [stanza = ''] of sent.matchAll(/<(iq|presence)\b.*?<\/\1>/gs)) this.#answer(stanza);
      this.play.storeSettles();
    }
  }

  #answer(stanza: string): void {
    const to = / to='([^']+)'/.exec(stanza)?.[1] ?? '';
    const id = / id='([^']+)'/.exec(stanza)?.[1] ?? '';
    if (stanza.startsWith('<presence') && to === `${ROOM}/Romeo`) {
      this.joins.push(stanza);
      this.isIn = true;
      for (const xml of [...this.occupants.map((nick) => there(nick)), SELF, SUBJECT]) this.play.server(xml);
    } else if (stanza.startsWith('<iq') && to.endsWith(SERVICE) && this.isDown)
      this.play.server(`<iq type='error' id='${id}' from='${to}'>${error('remote-server-timeout')}</iq>`);
    else if (stanza.startsWith('<iq') && to === `${ROOM}/Romeo` && !this.isIn)
      this.play.server(`<iq type='error' id='${id}' from='${to}'>${error('not-acceptable')}</iq>`);
    else if (stanza.startsWith('<iq')) {
      const query = stanza.includes(NS.discoInfo) ? `<query xmlns='${NS.discoInfo}'/>` : '';
      const from = to === '' ? '' : ` from='${to}'`;
      this.play.server(`<iq type='result' id='${id}'${from}>${query}</iq>`);
    }
  }

  passes(seconds: number): void {
    for (let n = 0; n < seconds * 4; n += 1) {
      this.play.passes(0.25);
      this.settles();
    }
  }
}

test('an outage puts a client out of a room that it is annotated in: it is brought back as by a resume, once, without ghosts', () => {
  const play = new Playbook({ features: [presenceAnnotations, presenceSession] }).bound({ jid: ME });
  const elsewhere = new Elsewhere(play);
  elsewhere.settles();
  play.client('<presence/>');
  play.client(
    `<presence to='${ROOM}/Romeo'><x xmlns='${NS.muc}'/><presence-session xmlns='${NS.presenceSession}'/></presence>`,
  );
  elsewhere.settles();
  const first = play.takeSent('client');
  const [, session] = / session='([^']+)'/.exec(first) ?? [];
  expect(session).toBeDefined();
  // The nurse goes while the link is down, and the room loses the client.
  elsewhere.isDown = true;
  elsewhere.isIn = false;
  elsewhere.occupants = ['Juliet', 'Tybalt'];
  play.server(
    `<message from='x@${SERVICE}' to='${ME}' type='error'>${error('remote-server-timeout')}</message>`,
  );
  elsewhere.passes(2);
  elsewhere.isDown = false;
  elsewhere.passes(20);
  expect(elsewhere.joins).toHaveLength(2);
  const told = play.takeSent('client');
  const presences = [...told.matchAll(/<presence\b.*?<\/presence>/gs)].map(([xml]) => xml);
  const about = presences.map(
    (xml) => /\/(\w+)'/.exec(xml)?.[1] + (xml.includes("type='unavailable'") ? ' gone' : ''),
  );
  expect(about).toEqual(['Nurse gone', 'Tybalt', 'Romeo']);
  for (const xml of presences) {
    expect(xml).toContain(NS.presenceSession);
    expect(xml).not.toContain(`session='${session}'`);
  }
  // It is in again: another outage finds it so, and nothing is done twice.
  elsewhere.passes(60);
  expect(elsewhere.joins).toHaveLength(2);
  play.server(there('Paris'));
  expect(play.takeSent('client')).toContain('presence-session');
  play.sendsOnly();
});
