import { expect, test } from 'vitest';
import { LoginRefused, RawClient, StreamEnded, stanzaError, uniqueId } from './clients/raw.js';
import { NS } from './clients/raw-stream.js';
import type { Mechanism } from './clients/sasl.js';
import { cutAfterwards, describeRoutes, logIn, newAccount, newConnection } from './routes.js';

describeRoutes('login', (route) => {
  const { server, plain, via } = route;
  const mechanisms: Mechanism[] =
    server.kind === 'jabberd2' ? ['PLAIN', 'DIGEST-MD5'] : ['PLAIN', 'SCRAM-SHA-1'];

  test.each(mechanisms)('by %s', async (mechanism) => {
    const account = await newAccount(server);
    const client = await logIn(route, account, { mechanism, resource: 'here' });
    expect(client.jid).toBe(`${account.jid}/here`);
    await client.close();
  });

  test.each(['starttls', 'direct'] as const)('with %s TLS', async (kind) => {
    const account = await newAccount(server);
    const client = await logIn(route, account, { tls: kind });
    expect(client.stream.protocol).toMatch(/^TLSv1\.[23]$/);
    await client.close();
  });

  test('STARTTLS is offered before TLS and not after', async () => {
    const client = await newConnection(route);
    await client.openStream();
    expect(client.features?.getChild('starttls', NS.tls)).toBeDefined();
    await client.startTls();
    await client.openStream();
    expect(client.features?.getChild('starttls', NS.tls)).toBeUndefined();
  });

  test('a wrong password is refused, and the stream lives on for another try', async () => {
    const account = await newAccount(server);
    const client = await newConnection(route);
    await client.openStream();
    const wrong = { ...account, password: 'wrong' };
    const refusal = await client.authenticate(wrong, 'PLAIN').catch((error) => error);
    expect(refusal).toBeInstanceOf(LoginRefused);
    expect(refusal.condition).toBe('not-authorized');
    await client.authenticate(account, 'PLAIN');
    expect(await client.bind('second-try')).toBe(`${account.jid}/second-try`);
  });

  test('an unknown domain is answered host-unknown', async () => {
    const elsewhere = { ...plain, domain: 'nobody-serves-this.example' };
    const client = cutAfterwards(await RawClient.connect(elsewhere));
    const ended = await client.openStream().catch((error) => error);
    expect(ended).toBeInstanceOf(StreamEnded);
    expect(ended.condition).toBe('host-unknown');
    await client.stream.when('the end of the connection', () => client.stream.closed);
  });

  test('registration in band, then login', async () => {
    const name = `fresh-${uniqueId()}`;
    const account = {
      name,
      password: 'secret-of-mine',
      domain: server.domain,
      jid: `${name}@${server.domain}`,
    };
    const client = await newConnection(route);
    await client.openStream();
    const form = await client.iq('get', `<query xmlns='${NS.register}'/>`, `to='${server.domain}'`);
    expect(form.getChild('query', NS.register)?.getChild('username')).toBeDefined();
    const answer = await client.register(account);
    if (answer.attrs.type !== 'result') throw new Error(`registration refused: ${answer}`);
    // On a new stream: jabberd2 never answers a bind on the one that registered.
    const session = await logIn(route, account, { resource: 'here' });
    expect(session.jid).toBe(`${account.jid}/here`);
  });

  test('registering a taken name is a conflict', async () => {
    const account = await newAccount(server);
    const client = await newConnection(route);
    await client.openStream();
    expect(stanzaError(await client.register(account))).toBe('conflict');
  });

  test('the server chooses a resource when none is asked for', async () => {
    const account = await newAccount(server);
    const client = await logIn(route, account);
    expect(client.jid).toMatch(new RegExp(`^${account.jid}/.+`));
  });

  test('the same resource again replaces the old session', async () => {
    const account = await newAccount(server);
    const first = await logIn(route, account, { resource: 'twice' });
    const second = await logIn(route, account, { resource: 'twice' });
    expect(second.jid).toBe(`${account.jid}/twice`);
    expect(await first.streamError()).toBe('conflict');
    await first.stream.when('the end of the old connection', () => first.stream.closed);
    await second.settle();
  });

  // jabberd2 by itself would bind two resources to one stream; through the proxy all refuse.
  if (server.kind !== 'jabberd2' || via === 'proxy')
    test('a second bind is refused', async () => {
      const account = await newAccount(server);
      const client = await logIn(route, account, { resource: 'one' });
      const answer = await client.iq('set', `<bind xmlns='${NS.bind}'><resource>two</resource></bind>`);
      expect(answer.attrs.type).toBe('error');
      await client.settle();
    });

  if (server.kind === 'jabberd2')
    test('by the old jabber:iq:auth', async () => {
      const account = await newAccount(server);
      const client = await newConnection(route);
      await client.openStream();
      const answer = await client.iq(
        'set',
        `<query xmlns='jabber:iq:auth'><username>${account.name}</username><password>${account.password}</password><resource>old</resource></query>`,
      );
      expect(answer.attrs.type).toBe('result');
      client.send('<presence/>');
      client.send(`<message to='${account.jid}/old' type='chat'><body>to myself</body></message>`);
      await client.body('to myself');
    });

  test('xml:lang and id of the stream header', async () => {
    const client = await newConnection(route);
    await client.openStream("xml:lang='de'");
    const header = client.stream.header ?? {};
    expect(header.from).toBe(server.domain);
    expect(header.id).toBeTruthy();
    expect(header.version).toBe('1.0');
    expect(header.xmlns).toBe(NS.streams);
  });
});
