import { domain as domainOf } from '../../jid.js';
import type { IqAnswer } from '../../session/feature.js';
import { NS } from '../../xml/namespaces.js';
import { escapeAttribute } from '../../xml/serialize.js';
import type { Surroundings } from './surroundings.js';

/** The list's name in the account. */
const LIST = 'interstanza-unseen';
/** Nothing that is for the account goes to a session of this priority (RFC 6121 §8.5.2). */
const AVAILABLE = '<presence><priority>-128</priority></presence>';

/**
 * The server has been told that a session is unavailable whose client is gone, and may be about to stay for its ghosts.
 *
 * COMPAT: jabberd2 lets no presence through to a session that is unavailable, so that it could be in no room. There it becomes available once more, to the MUC services
 * only: a privacy list keeps its presence from everybody else (XEP-0016 §2.10). Where that cannot be had, or would take the place of one that the account
 * has by default, the session does not stay.
 * @param done the ghosts may enter again
 */
export function goesUnseen(around: Surroundings, done: () => void): void {
  const { book, context, account } = around;
  if (context.serverKind !== 'jabberd2' || !book.kept.has(context.identity.full)) {
    done();
    return;
  }
  const ask = (type: 'get' | 'set', inner: string, next: (iq: IqAnswer & { kind: 'result' }) => void) => {
    const payload = `<query xmlns='${NS.privacy}'>${inner}</query>`;
    context.request({ leg: 'server', type, payload }, (answer) => {
      if (answer.kind === 'result') next(answer);
      else context.endKept();
    });
  };
  ask('get', '', ({ iq }) => {
    const lists = iq.getChild('query', NS.privacy);
    if (lists?.getChild('default')?.attrs.name !== undefined) {
      context.endKept();
      return;
    }
    const services = new Set(book.subscriptionsOf(account).map(({ room }) => domainOf(room)));
    ask('set', listOf([...services]), () =>
      ask('set', `<active name='${LIST}'/>`, () => {
        context.send('server', AVAILABLE, 'mucsub-ghost');
        done();
      }),
    );
  });
}

function listOf(services: readonly string[]): string {
  const allowed = services.map(
    (service, at) =>
      `<item type='jid' value='${escapeAttribute(service)}' action='allow' order='${at + 1}'><presence-out/></item>`,
  );
  const rest = `<item action='deny' order='${services.length + 1}'><presence-out/></item>`;
  return `<list name='${LIST}'>${allowed.join('')}${rest}</list>`;
}
