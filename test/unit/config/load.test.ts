import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type ConfigFlags, loadConfig } from '../../../src/config/load.js';
import { ConfigError, didYouMean } from '../../../src/config/problem.js';
import { selfSignedFiles, selfSignedPair } from '../../../src/transport/self-signed.js';
import { AFTER_AUTH, BEFORE_AUTH, FROM_SERVER } from '../../../src/xml/limits.js';

const folder = mkdtempSync(join(tmpdir(), 'interstanza-config-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const NO_FLAGS: ConfigFlags = { domains: [], upstreams: [], listeners: [] };
const file = join(folder, 'interstanza.yaml');

function load(yaml: string, flags: Partial<ConfigFlags> = {}) {
  writeFileSync(file, yaml);
  return loadConfig({ ...NO_FLAGS, config: file, ...flags }, folder);
}

async function problems(loading: Promise<unknown>): Promise<readonly string[]> {
  try {
    await loading;
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('it was accepted');
}

const DOMAIN = 'domains:\n  a.test:\n    upstreams: ["xmpp://127.0.0.1:1"]\n';

describe('flags alone', () => {
  it('make a whole configuration', async () => {
    const { config, warnings } = await loadConfig(
      {
        domains: ['Example.ORG'],
        upstreams: ['xmpp://127.0.0.1:15222', 'xmpp://127.0.0.1:15223'],
        listeners: ['xmpp://127.0.0.1:0', 'xmpps://127.0.0.1:0'],
        data: 'here',
        admin: '127.0.0.1:0',
        logLevel: 'debug',
      },
      folder,
    );
    expect(config).toMatchObject({
      dataDir: join(folder, 'here'),
      admin: { host: '127.0.0.1', port: 0 },
      logLevel: 'debug',
      limits: {
        beforeAuth: BEFORE_AUTH,
        afterAuth: AFTER_AUTH,
        fromServer: FROM_SERVER,
        unauthenticatedTime: 30,
      },
    });
    expect(config.listeners.map(({ tls }) => tls)).toEqual(['required', 'direct']);
    expect([...config.domains.keys()]).toEqual(['example.org']);
    expect(config.domains.get('example.org')?.upstreams.map(({ port }) => port)).toEqual([15_222, 15_223]);
    expect(warnings).toEqual([]);
  });

  it('have defaults', async () => {
    const { config } = await loadConfig(
      { ...NO_FLAGS, domains: ['a.test'], upstreams: ['xmpp://[::1]:1'] },
      folder,
    );
    expect(config).toMatchObject({
      dataDir: join(folder, 'data'),
      logLevel: 'info',
      listeners: [{ host: '::', port: 5222, tls: 'required' }],
    });
    expect(config.admin).toBeUndefined();
  });

  it('hold a session for five minutes, unless its domain says otherwise', async () => {
    const other = DOMAIN.split('\n').slice(1).join('\n').replace('a.test', 'b.test');
    const { config } = await load(`${DOMAIN}${other}    hold: { seconds: 60 }\n`);
    const held = [...config.domains.values()].map(({ hold }) => hold);
    expect(held.map(({ seconds }) => seconds)).toEqual([300, 60]);
    // What it does not say is as ever.
    expect(held[1]?.stanzas).toBe(held[0]?.stanzas);
  });

  it('are complained about by their name, all at once', async () => {
    expect(
      await problems(
        loadConfig({
          domains: ['a b'],
          upstreams: ['xmpp://h?tls=maybe'],
          listeners: ['nowhere'],
          admin: '9180',
          logLevel: 'wran',
          data: '',
        }),
      ),
    ).toEqual([
      '--admin: "9180" is not HOST:PORT, as in 127.0.0.1:9180',
      '--data names no folder',
      '--listen: "nowhere" is not an address like xmpp://host:port',
      '--log-level must be one of trace, debug, info, warn, error, fatal, silent, not "wran" (did you mean "warn"?)',
      '--upstream: "xmpp://h?tls=maybe" says tls=maybe, which can be off, starttls',
      '--domain: "a b" is not a domain name',
    ]);
  });

  it.each(['xn--a', '256.1.1.1', 'a%b.test', 'a..test', 'a.test.', 'u@a.test', 'a.test/r', ''])(
    'name no domain: %j',
    async (name) => {
      const flags = { ...NO_FLAGS, domains: [name], upstreams: ['xmpp://h'] };
      expect(await problems(loadConfig(flags))).toEqual([`--domain: "${name}" is not a domain name`]);
    },
  );

  it.each([
    ['Bücher.Example', 'bücher.example'],
    ['ＷＩＤＥ.test', 'wide.test'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['[::1]', '[::1]'],
    ['почта.рф', 'почта.рф'],
  ])('name a domain in the spelling in which it is compared: %s', async (written, name) => {
    const { config } = await loadConfig({ ...NO_FLAGS, domains: [written], upstreams: ['xmpp://h'] });
    expect([...config.domains.keys()]).toEqual([name]);
  });

  it('must say what to serve', async () => {
    expect(await problems(loadConfig(NO_FLAGS))).toEqual([
      'there is no domain to serve: say --domain and --upstream, or --config with a file',
    ]);
    expect(await problems(loadConfig({ ...NO_FLAGS, domains: ['a.test'] }))).toEqual([
      '--domain a.test needs --upstream, the address of its server',
    ]);
    expect(await problems(loadConfig({ ...NO_FLAGS, upstreams: ['xmpp://h'] }))).toEqual([
      '--upstream needs --domain, whose server it is',
    ]);
  });
});

describe('flags with a file', () => {
  it('go before what it says', async () => {
    const { config } = await load(
      `${DOMAIN}admin: 127.0.0.1:1\nlogLevel: warn\nlisteners: [xmpp://h]\ndataDir: d\n`,
      {
        domains: ['a.test'],
        upstreams: ['xmpp://127.0.0.1:2'],
        listeners: ['xmpp://127.0.0.1:3'],
        admin: '127.0.0.1:4',
        logLevel: 'error',
        data: 'e',
      },
    );
    expect(config.domains.get('a.test')?.upstreams[0]?.port).toBe(2);
    expect(config.listeners[0]?.port).toBe(3);
    expect(config).toMatchObject({ admin: { port: 4 }, logLevel: 'error', dataDir: join(folder, 'e') });
  });

  it('may pick one of its domains', async () => {
    const { config } = await load(`${DOMAIN}  b.test:\n    upstreams: ["xmpp://127.0.0.1:2"]\n`, {
      domains: ['b.test'],
    });
    expect([...config.domains.keys()]).toEqual(['b.test']);
  });
});

describe('a file', () => {
  it('fills in what it does not say, down to single limits', async () => {
    const { config } = await load(
      `${DOMAIN}limits:\n  beforeAuth: { depth: 30 }\n  queueBytes: 65536\nkeepalive:\n  client: { ping: 30 }\n`,
    );
    expect(config.limits.beforeAuth).toEqual({ ...BEFORE_AUTH, depth: 30 });
    expect(config.limits.afterAuth).toEqual(AFTER_AUTH);
    expect(config.limits.queueBytes).toBe(65_536);
    expect(config.keepalive.client.ping).toBe(30);
    expect(config.keepalive.server.ping).toBe(0);
  });

  it('gives paths relative to itself', async () => {
    const { config } = await load(`dataDir: ../elsewhere\n${DOMAIN}`);
    expect(config.dataDir).toBe(resolve(folder, '../elsewhere'));
  });

  const mistakes: readonly (readonly [string, string, readonly string[]])[] = [
    [
      'an unknown key',
      `listenrs: []\n${DOMAIN}`,
      [`${file}, line 1, listenrs: there is no such key (did you mean "listeners"?)`],
    ],
    [
      'an unknown key further in',
      `${DOMAIN}    certificat: x\n`,
      [`${file}, line 4, domains.a.test.certificat: there is no such key (did you mean "certificate"?)`],
    ],
    [
      'an unknown key of an upstream',
      'domains:\n  a.test:\n    upstreams:\n      - url: xmpp://h\n        parallel: 3\n',
      [`${file}, line 5, domains.a.test.upstreams[0].parallel: there is no such key`],
    ],
    [
      'a wrong type',
      `${DOMAIN}limits:\n  queueBytes: lots\n`,
      [`${file}, line 5, limits.queueBytes: must be a number, not "lots"`],
    ],
    [
      'a value out of range',
      `${DOMAIN}limits:\n  queueBytes: 12\n`,
      [`${file}, line 5, limits.queueBytes: must be at least 16384, not 12`],
    ],
    [
      'a number that is none',
      `${DOMAIN}limits: { unauthenticatedTime: .nan }\n`,
      [`${file}, line 4, limits.unauthenticatedTime: must be a number, not NaN`],
    ],
    [
      'a part of a second where clients are told whole ones',
      `${DOMAIN}    hold: { seconds: 0.5 }\n`,
      [`${file}, line 4, domains.a.test.hold.seconds: must be a whole number, not 0.5`],
    ],
    [
      'a word that is none of those allowed',
      `logLevel: inof\n${DOMAIN}`,
      [
        `${file}, line 1, logLevel: must be one of trace, debug, info, warn, error, fatal, silent, not "inof" (did you mean "info"?)`,
      ],
    ],
    [
      'a bad address, with its line',
      'domains:\n  a.test:\n    upstreams:\n      - xmpp://127.0.0.1:1\n      - xmpp://h?tls=maybe\n',
      [
        `${file}, line 5, domains.a.test.upstreams[1]: "xmpp://h?tls=maybe" says tls=maybe, which can be off, starttls`,
      ],
    ],
    [
      'a bad listener',
      `listeners: [xmpp://h:70000]\n${DOMAIN}`,
      [`${file}, line 1, listeners[0]: "xmpp://h:70000" is not an address like xmpp://host:port`],
    ],
    [
      'a number where an address belongs',
      `listeners: [5222]\n${DOMAIN}`,
      [`${file}, line 1, listeners[0]: must be a string, not 5222`],
    ],
    [
      'a missing upstream',
      'domains:\n  a.test: {}\n',
      [`${file}, line 2, domains.a.test.upstreams: is missing (a list)`],
    ],
    [
      'an empty list of upstreams',
      'domains:\n  a.test:\n    upstreams: []\n',
      [`${file}, line 3, domains.a.test.upstreams: must not be empty`],
    ],
    [
      'a domain without anything',
      'domains:\n  a.test:\n',
      [`${file}, line 2, domains.a.test: must be a map of keys, not null`],
    ],
    [
      'a domain that is there twice',
      `${DOMAIN}  a.test:\n    upstreams: []\n`,
      [`${file}, line 4: the same key stands twice in one map`],
    ],
    [
      'a domain that is there twice in other letters',
      `${DOMAIN}  A.test:\n    upstreams: [xmpp://h]\n`,
      [`${file}, line 4, domains.A.test: the domain a.test is there twice`],
    ],
    ['no domain', 'logLevel: info\n', [`${file}, domains: there is no domain to serve`]],
    ['a list where a map belongs', '- a\n', [`${file}: must be a map of keys, not ["a"]`]],
    [
      'a feature that is neither on nor off',
      `${DOMAIN}    features: { x: 3 }\n`,
      [`${file}, line 4, domains.a.test.features.x: must be true, false or a map of settings, not 3`],
    ],
    [
      'a feature that does not exist',
      `${DOMAIN}    features: { capability-probe: true }\n`,
      [
        `${file}, line 4, domains.a.test.features.capability-probe: there is no such feature (did you mean "capabilities-probe"?)`,
      ],
    ],
    [
      'an unreadable certificate',
      `${DOMAIN}    certificate:\n      certFile: none.crt\n      keyFile: none.key\n`,
      [
        `${file}, line 5, domains.a.test.certificate.certFile: cannot read the certificate file ${join(folder, 'none.crt')}: there is no such file`,
      ],
    ],
    [
      'the same of a domain that is written in other letters',
      `${DOMAIN.replace('a.test', 'A.Test')}    certificate:\n      certFile: none.crt\n      keyFile: none.key\n`,
      [
        `${file}, line 5, domains.A.Test.certificate.certFile: cannot read the certificate file ${join(folder, 'none.crt')}: there is no such file`,
      ],
    ],
    [
      'an unreadable file of authorities',
      'domains:\n  a.test:\n    upstreams:\n      - url: xmpp://h\n        caFile: none.pem\n',
      [
        `${file}, line 5, domains.a.test.upstreams[0].caFile: cannot read "${join(folder, 'none.pem')}": there is no such file`,
      ],
    ],
    [
      'a file of authorities without any',
      'domains:\n  a.test:\n    upstreams:\n      - url: xmpp://h\n        caFile: interstanza.yaml\n',
      [`${file}, line 5, domains.a.test.upstreams[0].caFile: "${file}" holds no certificate in PEM form`],
    ],
  ];
  for (const [what, yaml, expected] of mistakes) {
    it(`is refused for ${what}`, async () => expect(await problems(load(yaml))).toEqual(expected));
  }

  it('is refused when it is no YAML, with the line', async () => {
    const [problem] = await problems(load('domains:\n  a: [1\nb: }\n'));
    expect(problem).toMatch(/interstanza\.yaml, line \d: /);
    expect(problem).not.toContain('\n');
  });

  it('is refused when it is not there', async () => {
    expect(await problems(loadConfig({ ...NO_FLAGS, config: '/nowhere/x.yaml' }))).toEqual([
      'cannot read the configuration /nowhere/x.yaml: there is no such file',
    ]);
  });

  it('is refused when it is a folder', async () => {
    expect(await problems(loadConfig({ ...NO_FLAGS, config: folder }))).toEqual([
      `cannot read the configuration ${folder}: it is a directory`,
    ]);
  });

  it('is refused when key and certificate do not belong together, or are something else', async () => {
    await selfSignedPair(folder, 'one.test');
    await selfSignedPair(folder, 'two.test');
    const one = selfSignedFiles(folder, 'one.test');
    const two = selfSignedFiles(folder, 'two.test');
    const withPair = (certFile: string, keyFile: string) =>
      load(
        `domains:\n  one.test:\n    upstreams: ["xmpp://127.0.0.1:1"]\n    certificate:\n      certFile: ${certFile}\n      keyFile: ${keyFile}\n`,
      );
    const place = (line: number, key: string) => `${file}, line ${line}, domains.one.test.certificate.${key}`;
    expect(await problems(withPair(one.certFile, two.keyFile))).toEqual([
      `${place(6, 'keyFile')}: the key in ${two.keyFile} does not belong to the certificate in ${one.certFile}`,
    ]);
    expect(await problems(withPair(one.keyFile, one.keyFile))).toEqual([
      `${place(5, 'certFile')}: ${one.keyFile} holds no certificate in PEM form`,
    ]);
    expect(await problems(withPair(one.certFile, one.certFile))).toEqual([
      `${place(6, 'keyFile')}: ${one.certFile} holds no private key in PEM form that can be read without a passphrase`,
    ]);
    // A chain that was cut off while it was copied: serve could not use it either.
    const chain = join(folder, 'chain.crt');
    const whole = readFileSync(one.certFile, 'utf8');
    writeFileSync(chain, whole + whole.slice(0, 200));
    expect(await problems(withPair(chain, one.keyFile))).toEqual([
      `${place(5, 'certFile')}: ${chain} cannot be used for TLS: bad end line`,
    ]);
    // For somebody else: a warning, since it may have been pinned.
    const { warnings } = await withPair(two.certFile, two.keyFile);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(`the certificate in ${two.certFile} is not for one.test but for`);
  });

  it('says where an alias stands for nothing, for what it is in, and for too much', async () => {
    const unknown = await problems(load(`${DOMAIN}logLevel: *info\n`));
    expect(unknown).toEqual([
      `${file}, line 4: *info is an alias, and there is nothing of this name before it; a value that begins with * goes in quotes`,
    ]);
    const itself = await problems(load('domains: &d\n  a.test:\n    upstreams: [*d]\n'));
    expect(itself[0]).toMatch(/, line 3: \*d is an alias, and it is in itself;/);
    const nine = (name: string) => `[${Array.from({ length: 9 }, () => `*${name}`).join(', ')}]`;
    const many = `${DOMAIN}a: &a [1]\nb: &b ${nine('a')}\nc: &c ${nine('b')}\nd: ${nine('c')}\n`;
    expect(await problems(load(many))).toEqual([`${file}: its aliases stand for too much`]);
  });
});

describe('what is in order and exposed all the same', () => {
  it('is warned of', async () => {
    const { warnings } = await loadConfig({
      domains: ['a.test'],
      upstreams: ['xmpp://10.0.0.1?tls=off', 'xmpps://10.0.0.2?verify=off', 'xmpp://10.0.0.3'],
      listeners: ['xmpp://0.0.0.0?tls=off', 'xmpp://127.0.0.1?tls=off'],
      admin: '0.0.0.0:1',
    });
    expect(warnings).toHaveLength(4);
  });
});

describe('the examples', () => {
  const withoutCertificates = (name: string) =>
    readFileSync(new URL(`../../../config/${name}`, import.meta.url), 'utf8').replaceAll(
      /^ +certificate:\n +certFile:.*\n +keyFile:.*\n/gm,
      '',
    );

  for (const name of ['minimal.yaml', 'full.yaml', 'two-domains.yaml', 'edge.yaml', 'core.yaml']) {
    it(`${name} can be loaded`, async () => {
      const { config } = await load(withoutCertificates(name));
      expect(config.domains.size).toBeGreaterThan(0);
    });
  }

  it('full.yaml names every key and shows the defaults', async () => {
    const { config } = await load(withoutCertificates('full.yaml'));
    const { config: bare } = await load(DOMAIN);
    expect(config.limits).toEqual(bare.limits);
    expect(config.keepalive).toEqual(bare.keepalive);
    expect(config.logLevel).toBe(bare.logLevel);
    const text = withoutCertificates('full.yaml');
    const { knownKeys } = await import('../../../src/config/schema.js');
    const places = [
      [],
      ['limits'],
      ['limits', 'afterAuth'],
      ['keepalive'],
      ['keepalive', 'client'],
      ['domains', 'x'],
      ['domains', 'x', 'upstreams', 0],
      ['domains', 'x', 'certificate'],
    ];
    for (const place of places) {
      const keys = knownKeys(place);
      expect(keys.length).toBeGreaterThan(0);
      for (const key of keys) expect(text, `${place.join('.')}.${key}`).toContain(`${key}:`);
    }
  });
});

it('"did you mean" stays silent when nothing is near', () => {
  expect(didYouMean('x', ['listeners', 'domains'])).toBe('');
  expect(didYouMean('domain', ['listeners', 'domains'])).toBe(' (did you mean "domains"?)');
});

describe('listeners for web clients', () => {
  it('can share a port, and have origins of their own in the file', async () => {
    const { config } = await load(
      `${DOMAIN}listeners:\n  - url: ws://127.0.0.1:5280/ws?origin=https://a.example\n    origins: [https://b.example]\n  - http://127.0.0.1:5280/bosh\n`,
    );
    expect(config.listeners.map(({ web }) => web?.origins)).toEqual([
      ['https://a.example', 'https://b.example'],
      [],
    ]);
  });

  it('compress where that is said, be it in the address or beside it', async () => {
    const { config } = await load(
      `${DOMAIN}listeners:\n  - ws://127.0.0.1:1/a\n  - ws://127.0.0.1:1/b?deflate=on\n  - { url: ws://127.0.0.1:1/c, deflate: true }\n`,
    );
    expect(config.listeners.map(({ web }) => web?.deflate)).toEqual([false, true, true]);
  });

  it.each([
    ['listeners: [{ url: "http://127.0.0.1/bosh", deflate: true }]', /only listeners for WebSocket compress/],
    [
      'listeners: [ws://127.0.0.1:1/ws, wss://127.0.0.1:1/wss]',
      /shares its port with .*TLS and accept-proxy must be the same/,
    ],
    [
      'listeners: [ws://127.0.0.1:1/ws, "http://127.0.0.1:1/b?accept-proxy=::1"]',
      /TLS and accept-proxy must be the same/,
    ],
    ['listeners: [ws://127.0.0.1:1/ws, ws://127.0.0.1:1/ws]', /is there twice/],
    [
      'listeners: [{ url: "xmpp://127.0.0.1", origins: [https://a.example] }]',
      /only listeners for web clients/,
    ],
    ['listeners: [{ url: "ws://127.0.0.1/ws", origins: [a.example] }]', /no web origin/],
  ])('%s is a mistake', async (yaml, complaint) => {
    expect((await problems(load(`${DOMAIN}${yaml}\n`))).join()).toMatch(complaint);
  });

  it('without TLS, for all to reach, is worth a warning', async () => {
    const { warnings } = await load(`${DOMAIN}listeners: [ws://0.0.0.0:5280/ws]\n`);
    expect(warnings.join()).toContain('takes clients without TLS from other machines');
  });
});
