import { describe, expect, it } from 'vitest';
import { parseUpstream } from '../../../src/config/addresses.js';
import { ADVICE_CODES } from '../../../src/stream/advice.js';
import {
  assessUpstream,
  describeFeatures,
  mechanismsOf,
  type StreamView,
  type TlsView,
  type UpstreamView,
} from '../../../src/stream/assessment.js';
import type { StreamHeader } from '../../../src/xml/header.js';
import { NS } from '../../../src/xml/namespaces.js';
import { parseElement } from '../../../src/xml/tree.js';

const PROSODY_ID = '52ac2b3c-ed37-490d-8c54-4c420718baef';
const EJABBERD_ID = '11712322007639991100';
const PIN = 'ab'.repeat(32);

const STARTTLS = `<starttls xmlns='${NS.tls}'/>`;
const STARTTLS_REQUIRED = `<starttls xmlns='${NS.tls}'><required/></starttls>`;
const REGISTER = `<register xmlns='${NS.registerFeature}'/>`;
const SM = `<sm xmlns='${NS.sm2}'><optional/></sm><sm xmlns='${NS.sm3}'/>`;

function mechanisms(...names: string[]): string {
  const list = names.map((name) => `<mechanism>${name}</mechanism>`).join('');
  return `<mechanisms xmlns='${NS.sasl}'>${list}</mechanisms>`;
}

function bindings(...types: string[]): string {
  const list = types.map((type) => `<channel-binding type='${type}'/>`).join('');
  return `<sasl-channel-binding xmlns='${NS.saslChannelBinding}'>${list}</sasl-channel-binding>`;
}

function stream(
  features: string | undefined,
  id = PROSODY_ID,
  declarations: [string, string][] = [],
): StreamView {
  const header: StreamHeader = {
    to: undefined,
    from: 'example.org',
    id,
    lang: 'en',
    version: '1.0',
    defaultNamespace: NS.client,
    prefix: 'stream',
    declarations: new Map(declarations),
  };
  const xml = `<stream:features xmlns:stream='${NS.stream}'>${features ?? ''}</stream:features>`;
  return { header, features: features === undefined ? undefined : parseElement(Buffer.from(xml)) };
}

function tls(fields: Partial<TlsView> = {}): TlsView {
  return {
    protocol: 'TLSv1.3',
    certificateSha256: PIN,
    certificateFault: undefined,
    daysLeft: 80,
    ...fields,
  };
}

function view(fields: Partial<UpstreamView>): UpstreamView {
  const nothing = {
    beforeTls: undefined,
    tls: undefined,
    behindTls: undefined,
    behindAuth: undefined,
    end: undefined,
  };
  return { domain: 'example.org', ...nothing, ...fields };
}

function advised(fields: Partial<UpstreamView>, url: string, presented?: string): string[] {
  const { advice } = assessUpstream(view(fields), parseUpstream(url), presented);
  return advice.map(({ code, weight }) => `${weight} ${code}`);
}

describe('what becomes of each feature', () => {
  const treated = (fields: Partial<UpstreamView>, url: string, presented?: string) =>
    assessUpstream(view(fields), parseUpstream(url), presented).treatments.map(
      ({ offer, action }) => `${action} ${offer}`,
    );

  it('ends STARTTLS and stream management, hides compression and SASL2, passes the rest', () => {
    const compression = `<compression xmlns='${NS.compressFeature}'><method>zlib</method></compression>`;
    const sasl2 = `<authentication xmlns='${NS.sasl2}'/>`;
    expect(
      treated(
        {
          beforeTls: stream(STARTTLS + mechanisms('PLAIN', 'SCRAM-SHA-1') + compression + sasl2 + REGISTER),
          behindAuth: stream(`<bind xmlns='${NS.bind}'/>${SM}`),
        },
        'xmpp://127.0.0.1',
      ),
    ).toEqual([
      'ended starttls',
      'passed mechanism PLAIN',
      'passed mechanism SCRAM-SHA-1',
      'hidden compression',
      'hidden sasl2',
      'passed registration',
      'passed bind',
      'ended sm:2',
      'ended sm:3',
    ]);
  });

  it('adds stream management where the server has none but an ancient form', () => {
    const fields = {
      beforeTls: stream(mechanisms('PLAIN')),
      behindAuth: stream(
        `<ack xmlns='${NS.smLegacy}'/><bind xmlns='${NS.bind}'/><unbind xmlns='${NS.bind}'/>`,
      ),
    };
    expect(treated(fields, 'xmpp://127.0.0.1').slice(1)).toEqual([
      'hidden sm (before XEP-0198)',
      'passed bind',
      'hidden unbind',
      'added sm:2',
      'added sm:3',
    ]);
  });

  it('hides EXTERNAL and the mechanisms that bind to one leg', () => {
    const behindTls = stream(mechanisms('EXTERNAL', 'SCRAM-SHA-1-PLUS', 'SCRAM-SHA-1'));
    expect(treated({ tls: tls(), behindTls }, 'xmpps://127.0.0.1')).toEqual([
      'hidden mechanism EXTERNAL',
      'hidden mechanism SCRAM-SHA-1-PLUS',
      'passed mechanism SCRAM-SHA-1',
    ]);
  });

  it('passes -PLUS with tls-server-end-point when both legs present one certificate', () => {
    const behindTls = stream(
      mechanisms('SCRAM-SHA-1-PLUS') + bindings('tls-server-end-point', 'tls-exporter'),
    );
    const assessment = assessUpstream(
      view({ tls: tls(), behindTls }),
      parseUpstream('xmpps://127.0.0.1'),
      PIN,
    );
    expect(assessment.binding).toBe('same-certificate');
    expect(assessment.treatments[0]).toMatchObject({ action: 'passed', offer: 'mechanism SCRAM-SHA-1-PLUS' });
    expect(assessment.advice.map(({ code }) => code)).toEqual(['prosody-rate-limit']);
  });

  it('takes the limit that the server announces (XEP-0478), unless the operator knows better', () => {
    const limits = `<limits xmlns='${NS.streamLimits}'><max-bytes>100000</max-bytes></limits>`;
    const seen = view({ beforeTls: stream(mechanisms('PLAIN') + limits) });
    const assessment = assessUpstream(seen, parseUpstream('xmpp://127.0.0.1'));
    expect(assessment.limits.stanzaBytes).toBe(100_000);
    expect(assessment.treatments[1]).toMatchObject({ offer: 'limits', action: 'changed' });
    const configured = { ...parseUpstream('xmpp://127.0.0.1'), limits: { stanzaBytes: 50_000 } };
    expect(assessUpstream(seen, configured).limits.stanzaBytes).toBe(50_000);
  });

  it('leaves the view as it was', () => {
    const beforeTls = stream(STARTTLS + mechanisms('PLAIN'));
    assessUpstream(view({ beforeTls }), parseUpstream('xmpp://127.0.0.1'));
    expect(describeFeatures(beforeTls.features)).toEqual(['starttls', 'mechanisms PLAIN']);
    expect(mechanismsOf(beforeTls.features)).toEqual(['PLAIN']);
  });
});

describe('who the server is', () => {
  const kindOf = (fields: Partial<UpstreamView>) => {
    const { kind, certainty, limits } = assessUpstream(view(fields), parseUpstream('xmpp://127.0.0.1'));
    return [kind, certainty, limits.stanzaBytes];
  };

  const groundsOf = (fields: Partial<UpstreamView>) =>
    assessUpstream(view(fields), parseUpstream('xmpp://127.0.0.1')).grounds;

  it('is guessed from the form of the stream id before authentication, and says what the guess rests on', () => {
    expect(kindOf({ beforeTls: stream('', PROSODY_ID) })).toEqual(['prosody', 'guessed', 262_144]);
    expect(groundsOf({ beforeTls: stream('', PROSODY_ID) })).toContain('a random UUID');
    expect(kindOf({ beforeTls: stream('', EJABBERD_ID) })).toEqual(['ejabberd', 'guessed', 262_144]);
    expect(groundsOf({ beforeTls: stream('', EJABBERD_ID) })).toContain('a number');
    expect(kindOf({ beforeTls: stream('', 'x') })).toEqual(['unknown', 'unknown', 262_144]);
    expect(groundsOf({ beforeTls: stream('', 'x') })).toBeUndefined();
  });

  it('is announced behind it, and by jabberd2 in its header', () => {
    const caps = `<c xmlns='${NS.caps}' node='http://www.process-one.net/en/ejabberd/' hash='sha-1' ver='x'/>`;
    const signedIn = { beforeTls: stream('', PROSODY_ID), behindAuth: stream(caps) };
    expect(kindOf(signedIn)).toEqual(['ejabberd', 'announced', 262_144]);
    expect(groundsOf(signedIn)).toContain('XEP-0115');
    expect(kindOf({ beforeTls: stream('', 'x', [['ack', NS.smLegacy]]) })).toEqual([
      'jabberd2',
      'announced',
      65_535,
    ]);
  });
});

describe('channel binding', () => {
  const plus = mechanisms('SCRAM-SHA-1-PLUS', 'SCRAM-SHA-1');

  it('is a problem on a TLS 1.2 leg of a server that refuses the gs2 flag y', () => {
    const fields = { tls: tls({ protocol: 'TLSv1.2' }), behindTls: stream(plus) };
    const { advice } = assessUpstream(view(fields), parseUpstream('xmpps://127.0.0.1'));
    expect(advice[0]).toMatchObject({ code: 'binding-refuses-y', weight: 'problem' });
    expect(advice[0]?.sentence).toContain('TLS 1.3');
  });

  it('is none with ejabberd, which accepts the flag, as long as it is one that lists no types', () => {
    const fields = { tls: tls({ protocol: 'TLSv1.2' }), behindTls: stream(plus, EJABBERD_ID) };
    expect(advised(fields, 'xmpps://127.0.0.1')).not.toContain('problem binding-refuses-y');
    const later = { tls: tls(), behindTls: stream(plus + bindings('tls-exporter'), EJABBERD_ID) };
    expect(advised(later, 'xmpps://127.0.0.1')).toContain('problem binding-refuses-y');
  });

  it('is none on a TLS 1.3 leg where nothing is offered', () => {
    const fields = { tls: tls(), behindTls: stream(mechanisms('SCRAM-SHA-1')) };
    expect(advised(fields, 'xmpps://127.0.0.1')).toEqual(['hint prosody-rate-limit']);
  });

  it('could be had with one certificate for both legs', () => {
    const fields = { tls: tls(), behindTls: stream(plus + bindings('tls-server-end-point')) };
    expect(advised(fields, 'xmpps://127.0.0.1', 'cd'.repeat(32))).toEqual([
      'problem binding-refuses-y',
      'hint binding-cert-differs',
      'hint prosody-rate-limit',
    ]);
  });

  it('and EXTERNAL alone leave nothing to log in with', () => {
    const fields = { tls: tls(), behindTls: stream(mechanisms('EXTERNAL')) };
    expect(advised(fields, 'xmpps://127.0.0.1')).toContain('problem no-mechanism-left');
  });
});

describe('the leg to the server', () => {
  const before = stream(mechanisms('PLAIN'));

  it.each<[string, Partial<UpstreamView>, string, string]>([
    ['no STARTTLS', { beforeTls: before }, 'xmpp://10.0.0.1', 'starttls-not-offered'],
    [
      'TLS is required',
      { beforeTls: stream(STARTTLS_REQUIRED) },
      'xmpp://127.0.0.1',
      'starttls-required-but-off',
    ],
    [
      'cleartext over a network',
      { beforeTls: before },
      'xmpp://10.0.0.1?tls=off',
      'plaintext-leg-off-loopback',
    ],
    [
      'certificate',
      { tls: tls({ certificateFault: 'CERT_HAS_EXPIRED' }) },
      'xmpps://10.0.0.1',
      'cert-not-valid',
    ],
    ['pin', { tls: tls() }, `xmpps://10.0.0.1?verify=pin:${'cd'.repeat(32)}`, 'cert-not-pinned'],
    ['nobody looks', { tls: tls() }, 'xmpps://10.0.0.1?verify=off', 'cert-unchecked'],
  ])('%s', (_what, fields, url, code) => {
    expect(advised(fields, url)).toContain(`problem ${code}`);
  });

  it('is in order in the clear on loopback, and with a certificate that is pinned', () => {
    expect(advised({ beforeTls: before }, 'xmpp://127.0.0.1')).toEqual(['hint prosody-rate-limit']);
    const fault = { tls: tls({ certificateFault: 'DEPTH_ZERO_SELF_SIGNED_CERT' }), behindTls: before };
    expect(advised(fault, `xmpps://10.0.0.1?verify=pin:${PIN}`)).toEqual(['hint prosody-rate-limit']);
    expect(advised(fault, 'xmpps://127.0.0.1')).toEqual(['hint prosody-rate-limit']);
  });

  it('has a certificate that ends soon', () => {
    const fields = { tls: tls({ daysLeft: 5 }), behindTls: before };
    expect(advised(fields, 'xmpps://10.0.0.1')).toContain('hint cert-expires');
  });

  it.each<[NonNullable<UpstreamView['end']>['kind'], string, string]>([
    ['refused', 'ECONNREFUSED', 'server-not-reached'],
    ['unresolvable', 'ENOTFOUND', 'server-not-reached'],
    ['unreachable', 'ENETUNREACH', 'server-not-reached'],
    ['silent', 'a stream header', 'server-silent'],
    ['closed', 'the connection was closed', 'server-closes'],
    ['unreadable', 'text-outside-stream', 'server-unreadable'],
    ['stream-error', 'host-unknown', 'domain-not-served'],
    ['stream-error', 'policy-violation', 'server-closes'],
    ['tls-failed', 'EPROTO', 'tls-failed'],
    ['starttls-refused', 'failure', 'tls-failed'],
    ['sign-in-refused', 'not-authorized', 'sign-in-refused'],
  ])('ends with %s (%s)', (kind, detail, code) => {
    const { advice } = assessUpstream(view({ end: { kind, detail } }), parseUpstream('xmpp://10.0.0.1'));
    expect(advice.map((one) => one.code)).toEqual([code]);
  });
});

describe('what the three servers do under load', () => {
  it('ejabberd: one address, backlog, registration, sessions, shaper', () => {
    const beforeTls = stream(mechanisms('PLAIN') + REGISTER, EJABBERD_ID);
    expect(advised({ beforeTls }, 'xmpp://127.0.0.1')).toEqual([
      'hint ejabberd-backlog',
      'hint ejabberd-one-address',
      'hint ejabberd-registration-timeout',
      'hint ejabberd-max-user-sessions',
      'hint ejabberd-shaper',
    ]);
    expect(advised({ beforeTls }, 'xmpp://127.0.0.1?proxy=v2')).toEqual([
      'hint ejabberd-backlog',
      'hint ejabberd-max-user-sessions',
      'hint ejabberd-shaper',
    ]);
  });

  it('jabberd2: the stanza that stops it, churn, no stream management, no PROXY header', () => {
    const beforeTls = stream(mechanisms('PLAIN'), 'x', [['ack', NS.smLegacy]]);
    expect(advised({ beforeTls }, 'xmpp://127.0.0.1')).toEqual([
      'hint no-stream-management',
      'hint jabberd2-stanza-limit',
      'hint jabberd2-churn',
    ]);
    const upstream = { ...parseUpstream('xmpp://127.0.0.1?proxy=v1'), limits: { stanzaBytes: 100_000 } };
    const { advice } = assessUpstream(view({ beforeTls }), upstream);
    const problems = advice.filter(({ weight }) => weight === 'problem').map(({ code }) => code);
    expect(problems).toEqual(['proxy-header-unknown', 'jabberd2-limit-too-high']);
  });

  it('says each thing in one sentence, with a word from the closed set', () => {
    const { advice } = assessUpstream(
      view({ beforeTls: stream(mechanisms('PLAIN') + REGISTER, EJABBERD_ID) }),
      parseUpstream('xmpp://10.0.0.1?tls=off'),
    );
    for (const { code, sentence } of advice) {
      expect(ADVICE_CODES).toContain(code);
      expect(sentence).toMatch(/^[A-Z"'a-z].*[^.]\.$/);
    }
  });
});
