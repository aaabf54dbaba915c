import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Direction,
  type Feature,
  type FeatureContext,
  PASS,
  type Verdict,
  type Watch,
} from '../../../src/session/feature.js';
import { commonInterestsKey, Interest } from '../../../src/session/interests.js';
import { Pipeline, PipelineSession, watchedNamespaces } from '../../../src/session/pipeline.js';
import { Frame } from '../../../src/xml/frame.js';
import { NamespaceTable, NS } from '../../../src/xml/namespaces.js';
import { parseStanza } from '../../../src/xml/tokenizer.js';
import { FakeDomain } from '../features/playbook.js';

const IDENTITY = {
  ...{ full: 'a@example.org/r', bare: 'a@example.org', local: 'a', domain: 'example.org', resource: 'r' },
};

/** A pipeline that says what becomes of a stanza. */
function opened(features: readonly Feature[], domain = new FakeDomain('example.org')) {
  const namespaces = new NamespaceTable([...Object.values(NS), ...watchedNamespaces(features)]);
  const pipeline = new Pipeline(features, namespaces);
  const session = new PipelineSession(pipeline, IDENTITY, (_, around) => {
    const attend: FeatureContext['attend'] = (interest, on) => around.attend(interest, on);
    return { domain, attend } as unknown as FeatureContext;
  });
  const pass = (direction: Direction, xml: string): string => {
    const frame = parseStanza(Buffer.from(xml), namespaces);
    if (!(frame instanceof Frame)) throw new Error(frame.reason);
    const outcome = session.handle(direction, frame, 0);
    return outcome.kind === 'changed' ? outcome.bytes.toString() : outcome.kind;
  };
  return { session, pass, domain };
}

const MESSAGES: Watch = { direction: 'to-client', stanza: 'message' };
const EDITED: Verdict = { action: 'edit', reason: 'test-injected' };

/** Notes whom it has seen. */
function watching(seen: string[], name: string, ...watches: Watch[]): Feature {
  const note = (id: string | undefined, watch: number): Verdict => {
    seen.push(`${name}${watch}:${id}`);
    return PASS;
  };
  return { name, watches, open: () => ({ onStanza: ({ frame }, watch) => note(frame.id, watch) }) };
}

describe('a watch that is for an interest', () => {
  const interest = new Interest('test');

  test('is asked only while it is on', () => {
    const seen: string[] = [];
    const { session, pass } = opened([watching(seen, 'f', { ...MESSAGES, when: [interest] })]);
    pass('to-client', "<message id='1'/>");
    session.attend(interest, true);
    pass('to-client', "<message id='2'/>");
    session.attend(interest, false);
    pass('to-client', "<message id='3'/>");
    expect(seen).toEqual(['f0:2']);
  });

  test('leaves the place to the next one of the same feature that fits', () => {
    const seen: string[] = [];
    const { session, pass } = opened([watching(seen, 'f', { ...MESSAGES, when: [interest] }, MESSAGES)]);
    pass('to-client', "<message id='1'/>");
    session.attend(interest, true);
    pass('to-client', "<message id='2'/>");
    expect(seen).toEqual(['f1:1', 'f0:2']);
  });

  test('is asked while any of several is on', () => {
    const seen: string[] = [];
    const other = new Interest('other');
    const { session, pass } = opened([watching(seen, 'f', { ...MESSAGES, when: [interest, other] })]);
    session.attend(other, true);
    pass('to-client', "<message id='1'/>");
    expect(seen).toEqual(['f0:1']);
  });

  test('counts for the stanza that has switched it on, for those who are asked later', () => {
    const seen: string[] = [];
    const switching: Feature = {
      name: 'switching',
      watches: [MESSAGES],
      open: (context) => ({
        onStanza: () => {
          context.attend(interest, true);
          return PASS;
        },
      }),
    };
    const { pass } = opened([
      watching(seen, 'late', { ...MESSAGES, when: [interest] }),
      switching,
      watching(seen, 'early', { ...MESSAGES, when: [interest] }),
    ]);
    pass('to-client', "<message id='1'/>");
    pass('to-client', "<message id='2'/>");
    expect(seen).toEqual(['late0:1', 'early0:2', 'late0:2']);
  });

  test('can be switched for all sessions of a domain', () => {
    const seen: string[] = [];
    const feature = watching(seen, 'f', { ...MESSAGES, when: [interest] });
    const one = opened([feature]);
    const two = opened([feature], one.domain);
    const elsewhere = opened([feature]);
    one.domain.shared(commonInterestsKey).attend(interest, true);
    for (const { pass } of [one, two, elsewhere]) pass('to-client', "<message id='1'/>");
    expect(seen).toEqual(['f0:1', 'f0:1']);
    two.session.attend(interest, false);
    two.pass('to-client', "<message id='2'/>");
    one.domain.shared(commonInterestsKey).attend(interest, false);
    two.pass('to-client', "<message id='3'/>");
    expect(seen).toEqual(['f0:1', 'f0:1', 'f0:2']);
  });

  test('that nobody here knows is no mistake', () => {
    const { session, pass } = opened([]);
    session.attend(interest, true);
    expect(pass('to-client', '<message/>')).toBe('pass');
  });
});

test('there are tables for so many combinations, and for others the one in which all are asked', () => {
  const seen: string[] = [];
  const interests = Array.from({ length: 8 }, (_, n) => new Interest(`${n}`));
  const feature = watching(seen, 'f', ...interests.map((interest) => ({ ...MESSAGES, when: [interest] })));
  const { session } = opened([feature]);
  const tables = new Set<unknown>();
  for (let combination = 0; combination < 256; combination++) {
    interests.forEach((interest, n) => {
      session.attend(interest, (combination & (1 << n)) !== 0);
    });
    tables.add(session.pipeline.tables.table(combination));
  }
  expect(tables.size).toBeLessThanOrEqual(65);
  expect(tables.has(session.pipeline.tables.all)).toBe(true);
});

const TYPES = ['', 'chat', 'groupchat', 'error'] as const;
const NAMESPACES = ['urn:x', 'urn:y'] as const;
const SHARED = [new Interest('p'), new Interest('q'), new Interest('r')] as const;

const watches = fc.record(
  {
    direction: fc.constantFrom('to-server', 'to-client'),
    stanza: fc.constantFrom('message', 'presence'),
    types: fc.uniqueArray(fc.constantFrom(...TYPES), { minLength: 1, maxLength: 2 }),
    child: fc.constantFrom(...NAMESPACES).map((namespace) => ({ namespace })),
    when: fc.uniqueArray(fc.constantFrom(...SHARED), { minLength: 1, maxLength: 2 }),
  },
  { requiredKeys: ['direction', 'stanza'] },
);

/** What a handler does, when what it is for is on. */
const deeds = fc.oneof(
  fc.constant({ do: 'pass' } as const),
  fc.constant({ do: 'drop' } as const),
  fc.constantFrom(...TYPES).map((type) => ({ do: 'type', type }) as const),
  fc.constantFrom(...NAMESPACES).map((namespace) => ({ do: 'append', namespace }) as const),
  fc.record({ do: fc.constant('attend' as const), interest: fc.nat(2), on: fc.boolean(), all: fc.boolean() }),
);
type Deed = typeof deeds extends fc.Arbitrary<infer D> ? D : never;

const features = fc.array(
  fc.record({ watches: fc.array(watches, { maxLength: 4 }), deeds: fc.array(deeds) }),
  {
    maxLength: 5,
  },
);

const events = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.tuple(fc.constantFrom('to-server', 'to-client'), fc.nat(1), fc.nat(3), fc.nat(2)),
    },
    fc.record({ interest: fc.nat(2), on: fc.boolean(), all: fc.boolean() }),
  ),
  { maxLength: 30 },
);

test('property: what comes of a stanza is the same as if everybody were always asked', () => {
  fc.assert(
    fc.property(features, events, (made, happens) => {
      const play = (optimised: boolean): string[] => {
        const told: string[] = [];
        const on = { own: new Set<number>(), all: new Set<number>() };
        const isOn = (when: readonly Interest[] | undefined) =>
          when === undefined ||
          when.some((interest) => {
            const index = SHARED.indexOf(interest);
            return on.own.has(index) || on.all.has(index);
          });
        let attend = (_: number, __: boolean, ___: boolean): void => {};
        const all = made.map(({ watches: written, deeds: list }, index): Feature => {
          let next = 0;
          const open: Feature['open'] = () => ({
            onStanza(stanza, watch) {
              // Who is asked for nothing passes: which of its watches would fit then is the one that is on.
              const when = written[watch]?.when;
              if (!optimised && !isOn(when)) throw new Error('the model asks only who is interested');
              const deed: Deed | undefined = list[next++ % Math.max(1, list.length)];
              told.push(`${index}.${watch} ${deed?.do} ${stanza.frame.toString()}`);
              switch (deed?.do) {
                case 'drop':
                  return { action: 'drop', reason: 'test-dropped' };
                case 'type':
                  stanza.edit().setAttribute('type', deed.type);
                  return EDITED;
                case 'append':
                  stanza.edit().appendChild(`<c xmlns='${deed.namespace}'/>`);
                  return EDITED;
                case 'attend':
                  attend(deed.interest, deed.on, deed.all);
                  return PASS;
                default:
                  return PASS;
              }
            },
          });
          return { name: `f${index}`, watches: written as readonly Watch[], open };
        });
        if (optimised) {
          const { session, pass, domain } = opened(all);
          attend = (interest, isIt, everywhere) => {
            const which = SHARED[interest]!;
            if (everywhere) domain.shared(commonInterestsKey).attend(which, isIt);
            else session.attend(which, isIt);
          };
          for (const event of happens) {
            if (Array.isArray(event)) told.push(pass(event[0], stanzaOf(event)));
            else attend(event.interest, event.on, event.all);
          }
          return told;
        }
        attend = (interest, isIt, everywhere) => {
          const set = everywhere ? on.all : on.own;
          if (isIt) set.add(interest);
          else set.delete(interest);
        };
        for (const event of happens) {
          if (Array.isArray(event)) told.push(plainly(all, isOn, event[0], stanzaOf(event)));
          else attend(event.interest, event.on, event.all);
        }
        return told;
      };
      expect(play(true)).toEqual(play(false));
    }),
    { numRuns: 2_000 },
  );
});

function stanzaOf([, kind, type, child]: readonly [string, number, number, number]): string {
  const name = kind === 0 ? 'message' : 'presence';
  const written = TYPES[type] === '' ? '' : ` type='${TYPES[type]}'`;
  const inside = child === 2 ? '' : `<c xmlns='${NAMESPACES[child]}'/>`;
  return `<${name}${written}>${inside}</${name}>`;
}

/** The model: everybody in turn, each by the first of its watches that fits and is of interest. */
function plainly(
  all: readonly Feature[],
  isOn: (when: readonly Interest[] | undefined) => boolean,
  direction: Direction,
  xml: string,
): string {
  const namespaces = new NamespaceTable([...Object.values(NS), ...watchedNamespaces(all)]);
  let current = xml;
  let changed = false;
  for (const feature of direction === 'to-server' ? all : [...all].reverse()) {
    const frame = parseStanza(Buffer.from(current), namespaces);
    if (!(frame instanceof Frame)) throw new Error(frame.reason);
    const kind = xml.slice(1, xml.search(/[ >]/));
    const watch = feature.watches.findIndex(
      (each) =>
        each.direction === direction &&
        each.stanza === kind &&
        isOn(each.when) &&
        (each.types?.includes(frame.type ?? '') ?? true) &&
        (each.child === undefined || frame.findChild(undefined, each.child.namespace) >= 0),
    );
    if (watch < 0) continue;
    // One feature alone, always asked, is the whole pipeline.
    const alone = {
      ...feature,
      watches: feature.watches.map((each, n) => (n === watch ? withoutInterest(each) : NEVER)),
    };
    const { pass } = opened([{ ...alone, open: () => instanceOf(feature) }]);
    const outcome = pass(direction, current);
    if (outcome === 'dropped') return outcome;
    if (outcome === 'pass') continue;
    current = outcome;
    changed = true;
  }
  return changed ? current : 'pass';
}

const NEVER: Watch = { direction: 'to-server', stanza: 'iq', types: ['never'] };
const instances = new WeakMap<Feature, ReturnType<Feature['open']>>();

function instanceOf(feature: Feature): ReturnType<Feature['open']> {
  const instance = instances.get(feature) ?? feature.open({} as FeatureContext);
  instances.set(feature, instance);
  return instance;
}

function withoutInterest({ when: _, ...watch }: Watch): Watch {
  return watch;
}
