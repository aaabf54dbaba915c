import { RawClient } from '../test/integration/clients/raw.js';
import { ejabberdMissing, startEjabberd } from '../test/integration/servers/ejabberd.js';
import { prosodyMissing, startProsody } from '../test/integration/servers/prosody.js';
import { type Measurement, overRounds, type Result, sleep } from './measurement.js';
import { type Cost, pidOf, ROUNDS, SIZES, type Side, side, speak } from './mucsub-fanout.js';
import { startProxy, stopAll } from './processes.js';
import { DOMAIN, LOOPBACK } from './streams.js';

/** CPU of the proxy and the server behind it together, as a multiple of that of a server with MUC/Sub of its own. */
const TARGET = 1;
const OBSERVER = { name: 'observer', password: 'observed', domain: DOMAIN, jid: `observer@${DOMAIN}` };
/** How long it may take until all ghosts have left; ms. */
const HANDING_OVER = 60_000;

/**
 * The same as the fan-out with ghosts, but for an observer that hears the room once for all who have subscribed: what counts is the whole, the proxy and Prosody,
 * in turns with ejabberd.
 */
export const MUCSUB_OBSERVER: Measurement = {
  name: 'mucsub-observer',
  about: 'CPU of a MUC/Sub event with an observer, the server included, beside ejabberd',
  async run(bench) {
    const lacking = ejabberdMissing() ?? prosodyMissing();
    if (lacking !== undefined) throw new Error(`${lacking} is not installed`);
    const { place, quick } = bench;
    const native = await startEjabberd({ domain: DOMAIN, mam: false, directTls: false });
    const behind = await startProsody({
      domain: DOMAIN,
      mam: false,
      directTls: false,
      roomAdmin: OBSERVER.jid,
    });
    try {
      const looker = await RawClient.connect({ host: LOOPBACK, port: behind.port, domain: DOMAIN });
      await looker.openStream();
      await looker.register(OBSERVER);
      process.env.INTERSTANZA_BENCH_OBSERVER = OBSERVER.password;
      const observer = { account: OBSERVER.name, passwordEnv: 'INTERSTANZA_BENCH_OBSERVER' };
      const proxy = await startProxy(place, behind.port, undefined, { mucsub: { observer } });
      const direct = await RawClient.login({ host: LOOPBACK, port: behind.port, domain: DOMAIN }, OBSERVER);
      const sides: readonly [Side, Side] = [
        side(place, native.port, native.muc, pidOf(native.directory), []),
        side(place, proxy.port, behind.muc, proxy.child.pid, [pidOf(behind.directory)]),
      ];
      const results: Result[] = [];
      for (const { subscribers, messages } of SIZES) {
        const room = `observed${subscribers}`;
        for (const { load, port, muc } of sides) {
          bench.progress(`${subscribers} subscribers log in`);
          await load.ask({ do: 'prepare', port, domain: DOMAIN, muc, room, subscribers });
        }
        bench.progress(`${subscribers} ghosts leave`);
        await ghostsHaveLeft(direct, `${room}@${behind.muc}`);
        const rounds: { readonly native: Cost; readonly proxy: Cost }[] = [];
        for (let round = 0; round <= (quick ? 1 : ROUNDS); round++) {
          bench.progress(`${subscribers} subscribers, round ${round}`);
          const one = await speak(sides[0], messages, subscribers);
          const other = await speak(sides[1], messages, subscribers);
          // The first is to warm up.
          if (round > 0) rounds.push({ native: one, proxy: other });
        }
        const middle = (values: readonly number[]) =>
          [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!.toFixed(1);
        const all = middle(rounds.map((each) => each.proxy.all));
        const own = middle(rounds.map((each) => each.proxy.own));
        const ejabberd = middle(rounds.map((each) => each.native.own));
        results.push(
          overRounds(
            {
              name: `mucsub-observer-${subscribers}`,
              title: `a MUC/Sub event with an observer, ${subscribers} subscribers, all that serves`,
              unit: '×',
              target: TARGET,
              better: 'less',
              detail: `per 1,000 events: ${all} ms (the proxy ${own} of them), ejabberd ${ejabberd} ms`,
            },
            rounds.map((each) => each.proxy.all / each.native.own),
          ),
        );
        for (const { load } of sides) await load.ask({ do: 'leave' });
      }
      looker.stream.cut();
      direct.stream.cut();
      await stopAll();
      return results;
    } finally {
      await Promise.all([native.dispose(), behind.dispose()]);
    }
  },
};

/** The speaker and the observer are all who are in the room. */
async function ghostsHaveLeft(client: RawClient, room: string): Promise<void> {
  for (const end = Date.now() + HANDING_OVER; Date.now() < end; await sleep(500)) {
    const info = await client.iq(
      'get',
      "<query xmlns='http://jabber.org/protocol/disco#info'/>",
      `to='${room}'`,
    );
    const fields = info.getChild('query')?.getChild('x', 'jabber:x:data')?.getChildren('field') ?? [];
    const occupants = fields
      .find(({ attrs }) => attrs.var === 'muc#roominfo_occupants')
      ?.getChildText('value');
    if (occupants !== undefined && occupants !== null && Number(occupants) <= 2) return;
  }
  throw new Error('the ghosts do not leave');
}
