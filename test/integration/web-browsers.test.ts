import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { chromiumMissing, launch, screenshot } from './browsers/chromium.js';
import { Pages } from './browsers/pages.js';
import { Cable } from './cable.js';
import { HTTP_BIND, post } from './clients/bosh.js';
import { type RawClient, uniqueId } from './clients/raw.js';
import { RunningProxy } from './proxy.js';
import { describeRoutes, logIn, newAccount, newSession, type Route, THROUGH_THE_PROXY } from './routes.js';
import { until } from './waiting.js';
import { bodiesOf } from './web-scenes.js';

/** What the pages around the libraries have under `page`. */
interface Played {
  heard: { from: string; type: string; body: string }[];
  returns: boolean;
  returned: number;
  logIn(url: string, jid: string, password: string): Promise<string>;
  roster(contact: string): Promise<string[]>;
  say(to: string, type: string, body: string): void;
  join(room: string, nick: string): void;
  /** Of stanza over BOSH: once, as soon as the client knows that its BOSH session has ended. */
  sayWhenEnded(to: string, body: string): void;
  resumed(): boolean;
  leave(): void;
  /** Of converse.js. */
  states: string[];
  inner(): {
    api: {
      chats: { open(jid: string, attributes: object, force: boolean): Promise<unknown> };
      rooms: { open(jid: string, attributes: object, force: boolean): Promise<unknown> };
    };
  };
}

declare global {
  var page: Played;
  var ready: boolean;
  /** All that a page has opened. */
  var sockets: WebSocket[];
}

const PATIENCE_MS = 20_000;
const MUC = 'http://jabber.org/protocol/muc';

/** Run in a page before its own scripts. */
function watchSockets(): void {
  globalThis.sockets = [];
  globalThis.WebSocket = new Proxy(globalThis.WebSocket, {
    construct(target, args) {
      const socket: WebSocket = Reflect.construct(target, args);
      globalThis.sockets.push(socket);
      return socket;
    },
  });
}

/** A room that somebody else is in. */
async function roomOf(peer: RawClient, route: Route): Promise<string> {
  const room = `web-${uniqueId()}@${route.server.muc}`;
  peer.send(`<presence to='${room}/peer'><x xmlns='${MUC}'/></presence>`);
  await peer.presence((presence) => presence.attrs.from === `${room}/peer`, 'own presence in the room');
  const form = `<query xmlns='${MUC}#owner'><x xmlns='jabber:x:data' type='submit'/></query>`;
  await peer.iq('set', form, `to='${room}'`);
  return room;
}

/** In continuous integration a browser that is missing is a failure, not a skip. */
const missing = process.env.CI || process.env.INTERSTANZA_REQUIRE_SERVERS ? undefined : chromiumMissing();

describeRoutes(
  missing === undefined ? 'in a browser' : `in a browser (${missing})`,
  (route) => {
    // Nothing below is reached without one.
    if (missing !== undefined) {
      test.skip(missing, () => {});
      return;
    }
    const { server } = route;
    let browser: Browser;
    let pages: Pages;
    let proxy: RunningProxy;
    let tcp: Route;
    /** Between browser and proxy, one for both transports: they share a port. */
    let cable: Cable;
    let urls: Readonly<Record<'websocket' | 'bosh' | 'compressed', string>>;
    let open: Page | undefined;
    const said: string[] = [];
    beforeAll(async () => {
      proxy = await RunningProxy.inFrontOf(server, {
        listen: [
          'ws://127.0.0.1:0/ws',
          'http://127.0.0.1:0/bosh',
          'xmpp://127.0.0.1:0?tls=off',
          'ws://127.0.0.1:0/compressed?deflate=on',
        ],
      });
      cable = await Cable.to(proxy.address(0));
      urls = {
        websocket: `ws://127.0.0.1:${cable.port}/ws`,
        bosh: `http://127.0.0.1:${cable.port}/bosh`,
        compressed: `ws://127.0.0.1:${cable.port}/compressed`,
      };
      tcp = { ...route, plain: { ...proxy.address(2), domain: server.domain } };
      pages = await Pages.open();
      browser = await launch();
    });
    afterAll(async () => {
      await browser?.close();
      pages?.close();
      await cable?.close();
      await proxy?.dispose();
    });
    afterEach(async (context) => {
      if (context.task.result?.state === 'fail') {
        if (open !== undefined) await screenshot(open, `failed ${context.task.name.replaceAll('/', ' ')}`);
        console.error(said.join('\n'));
      }
      said.length = 0;
      await open?.close();
      open = undefined;
    });

    async function visit(path: string): Promise<Page> {
      open = await browser.newPage();
      open.on('console', (message) => said.push(`${message.type()}: ${message.text()}`));
      open.on('pageerror', (error) => said.push(`error: ${error.message}`));
      await open.addInitScript(watchSockets);
      await open.goto(`${pages.origin}${path}`);
      await open.waitForFunction(() => globalThis.ready === true, undefined, { timeout: PATIENCE_MS });
      return open;
    }

    const hears = (page: Page, text: string) =>
      page.waitForFunction((body) => globalThis.page.heard.some((one) => one.body === body), text, {
        timeout: PATIENCE_MS,
      });

    describe.each(['websocket', 'bosh', 'compressed'] as const)('over %s', (transport) => {
      test.each(['strophe', 'stanza'])('%s: login, roster, chat, a room', async (library) => {
        const account = await newAccount(server, library);
        const bob = await newSession(tcp, 'bob');
        const page = await visit(`/${library}.html`);
        const url = urls[transport];
        const jid = await page.evaluate(([url, jid, password]) => globalThis.page.logIn(url, jid, password), [
          url,
          account.jid,
          account.password,
        ] as const);
        expect(jid).toContain(`${account.jid}/`);
        if (transport !== 'bosh') {
          const extensions = await page.evaluate(() =>
            globalThis.sockets.map((one) => one.extensions).join(),
          );
          expect(extensions.includes('permessage-deflate')).toBe(transport === 'compressed');
        }
        const contact = `friend@${server.domain}`;
        expect(await page.evaluate((jid) => globalThis.page.roster(jid), contact)).toEqual([contact]);
        await page.evaluate((to) => globalThis.page.say(to, 'chat', 'from the browser'), bob.jid);
        await bob.body('from the browser', PATIENCE_MS);
        bob.send(`<message to='${account.jid}' type='chat'><body>to the browser &amp; 🦄</body></message>`);
        await hears(page, 'to the browser & 🦄');
        const room = await roomOf(bob, tcp);
        await page.evaluate(([room, nick]) => globalThis.page.join(room, nick), [room, library] as const);
        await bob.presence(
          ({ attrs }) => attrs.from === `${room}/${library}`,
          'the browser in the room',
          PATIENCE_MS,
        );
        await page.evaluate((room) => globalThis.page.say(room, 'groupchat', 'to all'), room);
        await bob.message(
          (message) =>
            message.attrs.from === `${room}/${library}` && message.getChildText('body') === 'to all',
          'a word in the room',
          PATIENCE_MS,
        );
        bob.send(`<message to='${room}' type='groupchat'><body>for one</body></message>`);
        await hears(page, 'for one');
        await screenshot(page, `${server.kind} ${library} ${transport}`);
        await page.evaluate(() => globalThis.page.leave());
        await bob.presence(
          ({ attrs }) => attrs.from === `${room}/${library}` && attrs.type === 'unavailable',
          'the browser to leave',
          PATIENCE_MS,
        );
      });
    });

    test.each(['strophe', 'stanza'])(
      '%s resumes its session over WebSocket when the network broke',
      async (library) => {
        const account = await newAccount(server, library);
        const bob = await newSession(tcp, 'bob');
        const page = await visit(`/${library}.html`);
        const jid = await page.evaluate(([url, jid, password]) => globalThis.page.logIn(url, jid, password), [
          urls.websocket,
          account.jid,
          account.password,
        ] as const);
        await page.evaluate((to) => globalThis.page.say(to, 'chat', 'before'), bob.jid);
        await bob.body('before', PATIENCE_MS);
        // It has what it needs to come back once the server's answer to <enable/> is there.
        bob.send(`<message to='${jid}' type='chat'><body>one</body></message>`);
        await hears(page, 'one');
        await page.evaluate(() => {
          globalThis.page.returns = true;
        });
        cable.cut();
        bob.send(`<message to='${jid}' type='chat'><body>two</body></message>`);
        await hears(page, 'two');
        expect(await page.evaluate(() => globalThis.page.resumed())).toBe(true);
        await page.evaluate((to) => globalThis.page.say(to, 'chat', 'after'), bob.jid);
        await bob.body('after', PATIENCE_MS);
        expect(await page.evaluate(() => globalThis.page.heard.map(({ body }) => body))).toEqual([
          'one',
          'two',
        ]);
        expect(bob.stream.inbox.filter(({ attrs }) => attrs.type === 'unavailable')).toEqual([]);
        await page.evaluate(() => globalThis.page.leave());
      },
    );

    test('stanza resumes its session over BOSH when its BOSH session was ended', async () => {
      const account = await newAccount(server, 'stanza');
      const bob = await newSession(tcp, 'bob');
      const page = await visit('/stanza.html');
      let sid: string | undefined;
      page.on('request', (request) => {
        sid = /\ssid="([^"]+)"/.exec(request.postData() ?? '')?.[1] ?? sid;
      });
      const jid = await page.evaluate(([url, jid, password]) => globalThis.page.logIn(url, jid, password), [
        urls.bosh,
        account.jid,
        account.password,
      ] as const);
      bob.send(`<message to='${jid}' type='chat'><body>one</body></message>`);
      await hears(page, 'one');
      await page.evaluate((to) => globalThis.page.sayWhenEnded(to, 'while it ended'), bob.jid);
      // A request out of the window ends it, and the client is told that it was another one.
      const ended = await post(urls.bosh, `<body xmlns='${HTTP_BIND}' rid='1' sid='${sid}'/>`);
      expect(ended.body).toContain('item-not-found');
      await bob.body('while it ended', PATIENCE_MS);
      bob.send(`<message to='${jid}' type='chat'><body>two</body></message>`);
      await hears(page, 'two');
      expect(await page.evaluate(() => globalThis.page.resumed())).toBe(true);
      await page.evaluate((to) => globalThis.page.say(to, 'chat', 'after'), bob.jid);
      await bob.body('after', PATIENCE_MS);
      expect(await page.evaluate(() => globalThis.page.heard.map(({ body }) => body))).toEqual([
        'one',
        'two',
      ]);
      expect(bob.stream.inbox.filter(({ attrs }) => attrs.type === 'unavailable')).toEqual([]);
      expect(bodiesOf(bob)).toEqual([]);
      await page.evaluate(() => globalThis.page.leave());
    });

    describe.each(['websocket', 'bosh'] as const)('over %s', (transport) => {
      test('converse.js, by its own user interface: login, roster, chat, a room, the network breaks', {
        timeout: 120_000,
      }, async () => {
        const account = await newAccount(server, 'converse');
        const bob = await newSession(tcp, 'bob');
        const setUp = await logIn(tcp, account);
        await setUp.iq(
          'set',
          `<query xmlns='jabber:iq:roster'><item jid='friend@${server.domain}'/></query>`,
        );
        await setUp.close();
        const settings = new URLSearchParams({
          url: urls[transport],
          jid: account.jid,
          password: account.password,
        });
        const page = await visit(`/converse.html#${settings}`);
        const shows = (text: string) => page.getByText(text).first().waitFor({ timeout: PATIENCE_MS });
        await page.waitForFunction(() => globalThis.page.states.includes('online'), undefined, {
          timeout: 2 * PATIENCE_MS,
        });
        await shows(`friend@${server.domain}`);
        // COMPAT converse.js: what is asked of it while it starts may wait for a promise that it throws away then. Who
        // clicks on a contact and sees no chat clicks again.
        await until(
          'the chat',
          async () => {
            if (await page.locator('textarea.chat-textarea').first().isVisible()) return true;
            await page.evaluate((jid) => {
              void globalThis.page.inner().api.chats.open(jid, {}, true);
            }, bob.bareJid);
            return false;
          },
          PATIENCE_MS,
          500,
        );
        const write = async (text: string) => {
          const field = page.locator('textarea.chat-textarea:visible').last();
          await field.fill(text);
          await field.press('Enter');
        };
        await write('from converse');
        await bob.body('from converse', PATIENCE_MS);
        bob.send(
          `<message to='${account.jid}' type='chat' id='${uniqueId()}'><body>to converse</body></message>`,
        );
        await shows('to converse');
        await screenshot(page, `${server.kind} converse ${transport} chat`);
        const room = await roomOf(bob, tcp);
        await page.evaluate((room) => {
          void globalThis.page.inner().api.rooms.open(room, { nick: 'converse' }, true);
        }, room);
        await bob.presence(
          ({ attrs }) => attrs.from === `${room}/converse`,
          'converse in the room',
          PATIENCE_MS,
        );
        bob.send(`<message to='${room}' type='groupchat' id='${uniqueId()}'><body>welcome</body></message>`);
        await shows('welcome');
        await write('to all from converse');
        await bob.message(
          (message) => message.getChildText('body') === 'to all from converse',
          'a word in the room',
          PATIENCE_MS,
        );
        await screenshot(page, `${server.kind} converse ${transport} room`);
        cable.cut();
        bob.send(
          `<message to='${room}' type='groupchat' id='${uniqueId()}'><body>meanwhile</body></message>`,
        );
        await shows('meanwhile');
        await write('back again');
        await bob.message(
          (message) => message.getChildText('body') === 'back again',
          'a word after',
          PATIENCE_MS,
        );
        // Its session was gone on with: nobody has seen it leave.
        expect(
          bob.stream.inbox.filter(
            ({ attrs }) => attrs.from === `${room}/converse` && attrs.type === 'unavailable',
          ),
        ).toEqual([]);
        await screenshot(page, `${server.kind} converse ${transport} back`);
      });
    });
  },
  { ...THROUGH_THE_PROXY, kinds: ['prosody', 'jabberd2'] },
);
