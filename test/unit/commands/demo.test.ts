import { describe, expect, it } from 'vitest';
import { describe as describePassage, Timeline } from '../../../src/commands/demo/timeline.js';
import { type Crossing, type Passage, Traffic } from '../../../src/commands/demo/traffic.js';
import { NS } from '../../../src/xml/namespaces.js';
import { parseElement } from '../../../src/xml/tree.js';

type Leg = Passage['leg'];

function passage(leg: Leg, direction: Passage['direction'], xml: string, who = 'romeo'): Omit<Passage, 'at'> {
  if (xml === '')
    return { who, leg, direction, kind: 'header', xml: "<stream:stream to='a'>", element: undefined };
  return { who, leg, direction, kind: 'element', xml, element: parseElement(Buffer.from(xml)) };
}

/** What is seen on the legs, in order; `>` towards the server, `<` towards the client. */
function seen(
  ...lines: readonly (readonly [leg: Leg, way: '>' | '<', xml: string, who?: string])[]
): Crossing[] {
  const traffic = new Traffic();
  for (const [leg, way, xml, who] of lines) {
    traffic.record(passage(leg, way === '>' ? 'to-server' : 'to-client', xml, who));
  }
  return traffic.take();
}

const notes = (crossings: readonly Crossing[]) => crossings.map(({ note }) => note);

const MESSAGE = "<message to='juliet@localhost' type='chat'><body>But, soft!</body></message>";
const ASK = `<r xmlns='${NS.sm3}'/>`;
const tell = (h: number) => `<a xmlns='${NS.sm3}' h='${h}'/>`;
const features = (inside: string) =>
  `<stream:features xmlns:stream='${NS.stream}'>${inside}</stream:features>`;

describe('pairing what was seen on both legs', () => {
  it('takes the same bytes on both legs for one stanza that went through', () => {
    const [crossing, ...rest] = seen(['client', '>', MESSAGE], ['server', '>', MESSAGE]);
    expect(rest).toEqual([]);
    expect(crossing).toMatchObject({ through: true, note: undefined });
  });

  it('keeps apart what has changed by a byte, and what is of different sessions', () => {
    expect(
      seen(['client', '>', MESSAGE], ['server', '>', `${MESSAGE} `]).map(({ through }) => through),
    ).toEqual([false, false]);
    expect(seen(['client', '>', MESSAGE], ['server', '>', MESSAGE, 'juliet'])).toHaveLength(2);
  });

  it('does not take the server for the cause of what a client sends', () => {
    expect(seen(['server', '>', MESSAGE], ['client', '>', MESSAGE]).map(({ through }) => through)).toEqual([
      false,
      false,
    ]);
  });

  it('never pairs stream management: each leg has its own, even where the bytes are the same', () => {
    const crossings = seen(['server', '<', ASK], ['client', '<', ASK]);
    expect(crossings.map(({ through }) => through)).toEqual([false, false]);
    expect(notes(crossings)).toEqual([undefined, 'the proxy asks, for the server has asked']);
  });

  it('says how a count is translated, and when there is nothing new', () => {
    expect(notes(seen(['client', '>', tell(3)], ['server', '>', tell(7)]))).toEqual([
      undefined,
      'romeo has said h=3, which is h=7 in the count of this leg',
    ]);
    expect(notes(seen(['server', '<', tell(9)], ['client', '<', tell(2)], ['client', '<', tell(2)]))).toEqual(
      [undefined, 'the server has said h=9, which is h=2 in the count of this leg', 'nothing new yet'],
    );
  });

  it('says what has become of the features', () => {
    const starttls = `<starttls xmlns='${NS.tls}'/>`;
    const bind = `<bind xmlns='${NS.bind}'/>`;
    const sm = `<sm xmlns='${NS.sm3}'/>`;
    expect(notes(seen(['client', '<', features(starttls)]))[0]).toContain("the proxy's own");
    expect(
      notes(seen(['server', '<', features(starttls + bind)], ['client', '<', features(bind + sm)]))[1],
    ).toBe("rewritten: starttls taken out; sm added; sm is the proxy's own");
    expect(notes(seen(['server', '<', features(bind)], ['client', '<', `${features(bind)} `]))[1]).toBe(
      "the server's own, as they are",
    );
  });

  it('forgets what has been taken, and keeps nothing while somebody watches', () => {
    const traffic = new Traffic();
    traffic.record(passage('client', 'to-server', MESSAGE));
    expect(traffic.take()).toHaveLength(1);
    const watched: Passage[] = [];
    traffic.onPassage = (one) => watched.push(one);
    traffic.record(passage('server', 'to-server', MESSAGE));
    expect(watched).toHaveLength(1);
    expect(traffic.take()).toEqual([]);
  });
});

describe('a line of the timeline', () => {
  const lineOf = (crossing: Crossing, coloured = false, width = 120) =>
    new Timeline(coloured, width).line(crossing).replace(/^ *[\d.]+s/, '');
  const crossing = (leg: Leg, direction: Passage['direction'], xml: string, through = false): Crossing => ({
    passage: { ...passage(leg, direction, xml), at: 1_234 },
    through,
    note: undefined,
  });

  it('shows with arrows how far it went', () => {
    expect(lineOf(crossing('client', 'to-server', MESSAGE, true))).toBe(
      "  romeo  ──▶ proxy ──▶ server  <message to='juliet@localhost' type='chat'> “But, soft!”",
    );
    expect(lineOf(crossing('client', 'to-client', ASK))).toBe('  romeo  ◀── proxy             <r sm:3>');
    expect(lineOf(crossing('server', 'to-server', tell(4)))).toBe(
      "             proxy ──▶ server  <a sm:3 h='4'>",
    );
  });

  it('shows no payload of authentication', () => {
    const auth = `<auth xmlns='${NS.sasl}' mechanism='SCRAM-SHA-1'>biwsbj1yb21lbw==</auth>`;
    const text = describePassage({ ...passage('client', 'to-server', auth), at: 0 });
    expect(text).toBe("<auth mechanism='SCRAM-SHA-1'>…");
  });

  it('is no longer than the terminal is wide, and coloured only for one', () => {
    const long = `<message to='a@localhost'><body>${'x'.repeat(500)}</body></message>`;
    expect(lineOf(crossing('client', 'to-server', long)).length).toBeLessThanOrEqual(120);
    expect(lineOf(crossing('client', 'to-server', MESSAGE))).not.toContain('\u001b');
    expect(new Timeline(true, 120).line(crossing('client', 'to-server', MESSAGE))).toContain('\u001b[');
  });
});
