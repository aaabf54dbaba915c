import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { capabilitiesProbe } from '../../../../src/features/capabilities-probe/capabilities-probe.js';
import { routing } from '../../../../src/features/routing/routing.js';
import { account } from '../../../../src/knowledge/account/account.js';
import { presence } from '../../../../src/knowledge/presence/presence.js';
import { roomsUpTo } from '../../../../src/knowledge/rooms/rooms.js';
import type {
  Feature,
  FeatureContext,
  KnowledgeKey,
  PassingStanza,
} from '../../../../src/session/feature.js';
import { Pipeline, PipelineSession, watchedNamespaces } from '../../../../src/session/pipeline.js';
import { Frame } from '../../../../src/xml/frame.js';
import { NamespaceTable, NS } from '../../../../src/xml/namespaces.js';
import { parseStanza } from '../../../../src/xml/tokenizer.js';
import { FakeDomain, NOT_SHOWN } from '../playbook.js';

/*
 * A private message to somebody in a room (XEP-0045 §7.5) that went to the room's bare JID would be published. Tried: rooms on the account's own
 * domain, where every address else is a user's, on a domain that the operator has named, and on others; joins with and without `<x/>`, answered in time, late
 * or never; leaving, changes of nick, being thrown out, going unavailable; more rooms than are remembered; restarts with the snapshot of the process
 * before. The world knows what the session has told the rooms; it must never see one published.
 */

const ROOMS = [
  'a@capulet.lit',
  'b@capulet.lit',
  'c@capulet.lit',
  'd@named.lit',
  'e@named.lit',
  'f@elsewhere.lit',
  'g@Elsewhere.lit',
] as const;
const NICKS = ['juliet', 'Juliet', 'ju/liet'] as const;
const FEW = 3;

const table = new NamespaceTable([...Object.values(NS), ...watchedNamespaces([routing])]);
const forgetful = roomsUpTo(FEW);

/** The same feature with a memory for few rooms. */
const feature: Feature = {
  ...routing,
  needs: [account, forgetful, presence, capabilitiesProbe],
};
const pipeline = new Pipeline(
  [{ ...feature, needs: [account, forgetful, { ...presence, needs: [forgetful] }, capabilitiesProbe] }],
  table,
);

type Step =
  | { readonly do: 'join'; readonly room: string; readonly nick: string; readonly bareJoin: boolean }
  | { readonly do: 'confirm'; readonly room: string; readonly nick: string }
  | { readonly do: 'leave'; readonly room: string; readonly nick: string; readonly toBare: boolean }
  | { readonly do: 'left'; readonly room: string; readonly nick: string; readonly code: string }
  | { readonly do: 'occupant'; readonly room: string; readonly nick: string; readonly marked: boolean }
  | { readonly do: 'unavailable' }
  | { readonly do: 'available' }
  | { readonly do: 'restart' }
  | { readonly do: 'whisper'; readonly room: string; readonly nick: string; readonly type: string };

const room = fc.constantFrom(...ROOMS);
const nick = fc.constantFrom(...NICKS);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('join' as const), room, nick, bareJoin: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('confirm' as const), room, nick }) },
  fc.record({ do: fc.constant('leave' as const), room, nick, toBare: fc.boolean() }),
  fc.record({
    do: fc.constant('left' as const),
    room,
    nick,
    code: fc.constantFrom('110', '307', '303', '332'),
  }),
  fc.record({ do: fc.constant('occupant' as const), room, nick, marked: fc.boolean() }),
  fc.constant({ do: 'unavailable' as const }),
  fc.constant({ do: 'available' as const }),
  fc.constant({ do: 'restart' as const }),
  {
    weight: 6,
    arbitrary: fc.record({
      ...{ do: fc.constant('whisper' as const), room, nick },
      type: fc.constantFrom("type='chat'", "type='normal'", ''),
    }),
  },
);

class World {
  /** Rooms that may take the session for somebody in them: it has asked to be let in there once. */
  readonly #entered = new Set<string>();
  #session: PipelineSession;
  published: string[] = [];
  readdressed = 0;

  constructor() {
    this.#session = this.#open({});
  }

  #open(snapshots: Record<string, string>): PipelineSession {
    const domain = new FakeDomain();
    const identity = {
      ...{ full: 'juliet@capulet.lit/balcony', bare: 'juliet@capulet.lit' },
      ...{ local: 'juliet', domain: 'capulet.lit', resource: 'balcony' },
    };
    domain.enter(identity);
    const contextFor = (opened: Feature, session: PipelineSession): FeatureContext => ({
      ...{
        identity,
        serverKind: 'prosody',
        upstream: '',
        enabledAtStart: new Set([NS.carbons2]),
        domain,
        now: 0,
      },
      ...{ send: () => {}, sendAsClient: () => {}, request: () => {}, wakeAt: () => {}, count: () => {} },
      namespaces: table,
      ...NOT_SHOWN,
      ...{ tell: () => {}, wallClock: () => 0, randomId: () => '1' },
      settings: (schema) => schema.parse({ userDomains: ['named.lit'] }),
      store: { write: () => {}, load: () => {} },
      attend: (interest, on) => session.attend(interest, on),
      know: <T>(key: KnowledgeKey<T>): T =>
        session.know(pipeline.features[pipeline.features.indexOf(opened)]!, key),
    });
    return new PipelineSession(pipeline, identity, contextFor, snapshots);
  }

  #handle(direction: PassingStanza['direction'], xml: string): string {
    const frame = parseStanza(Buffer.from(xml), table);
    if (!(frame instanceof Frame)) throw new Error(frame.reason);
    const outcome = this.#session.handle(direction, frame, 0);
    return outcome.kind === 'changed' ? outcome.bytes.toString() : xml;
  }

  take(what: Step): void {
    switch (what.do) {
      case 'join':
        this.#entered.add(what.room.toLowerCase());
        this.#handle(
          'to-server',
          `<presence to='${what.room}/${what.nick}'>${what.bareJoin ? '' : `<x xmlns='${NS.muc}'/>`}</presence>`,
        );
        return;
      case 'confirm':
        this.#handle('to-client', occupant(what.room, what.nick, '', "<status code='110'/>"));
        return;
      case 'leave':
        this.#handle(
          'to-server',
          `<presence to='${what.room}${what.toBare ? '' : `/${what.nick}`}' type='unavailable'/>`,
        );
        return;
      case 'left':
        this.#handle(
          'to-client',
          occupant(
            what.room,
            what.nick,
            "type='unavailable'",
            `<status code='110'/><status code='${what.code}'/>`,
          ),
        );
        return;
      case 'occupant':
        this.#handle(
          'to-client',
          what.marked
            ? occupant(what.room, what.nick, '', '')
            : `<presence from='${what.room}/${what.nick}'/>`,
        );
        return;
      case 'unavailable':
        this.#handle('to-server', "<presence type='unavailable'/>");
        return;
      case 'available':
        this.#handle('to-server', '<presence/>');
        return;
      case 'restart':
        this.#session = this.#open(this.#session.snapshots());
        return;
      case 'whisper': {
        const sent = this.#handle(
          'to-server',
          `<message to='${what.room}/${what.nick}' ${what.type}><body>just you</body></message>`,
        );
        const isBare = sent.includes(`to='${what.room}'`);
        if (isBare && this.#entered.has(what.room.toLowerCase())) this.published.push(sent);
        if (isBare) this.readdressed += 1;
      }
    }
  }
}

function occupant(room: string, nick: string, type: string, codes: string): string {
  return `<presence from='${room}/${nick}' ${type}><x xmlns='${NS.mucUser}'><item affiliation='none' role='participant'/>${codes}</x></presence>`;
}

test('property: a private message never reaches a room’s bare JID, whatever has happened before', () => {
  let readdressed = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const world = new World();
      for (const each of steps) world.take(each);
      readdressed += world.readdressed;
      expect(world.published).toEqual([]);
    }),
    { numRuns: 1_000 },
  );
  // Or it would not have been tried.
  expect(readdressed).toBeGreaterThan(100);
});
