import type { Element } from 'ltx';
import { prepareJid } from '../../jid.js';
import { type IqAnswer, PASS, type PassingStanza, type Verdict } from '../../session/feature.js';
import { LateMap } from '../../session/late.js';
import { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { serializeElement } from '../../xml/serialize.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { type Asked, errorAnswer, refusalOf, resultAnswer } from './answers.js';
import type { ArchiveAnswers } from './archive-answers.js';
import { archivedIn } from './archive-fill.js';
import { archivedEvent, archiveResult } from './archive-results.js';
import { innerStanza, wrap } from './events.js';
import { kindOf } from './heard.js';
import { hasArchive, lacksArchive } from './services.js';
import { eventOf } from './storing.js';
import type { Surroundings } from './surroundings.js';

/** Questions that may be open at one time, and how long each; ms. */
const MOST_OPEN = 8;
const ANSWER_TIME = 60_000;
const ANSWERED: Verdict = { action: 'handled', reason: 'mucsub-answered' };

interface Open {
  readonly room: string;
  /** By which the client knows its question. */
  readonly queryId: string | undefined;
}

/**
 * An account's own archive has the events of rooms that it has subscribed to (XEP-0313 with `with`): here they are in the archive of the room, and told
 * out of that, or out of the log of a room that has none. The archive of the server is asked for everything else.
 */
export class OwnArchive {
  /** By the id under which the room is asked. */
  readonly #open = new LateMap<string, Open>();

  constructor(
    private readonly around: Surroundings,
    private readonly answers: Pick<ArchiveAnswers, 'own'>,
  ) {}

  get isIdle(): boolean {
    return this.#open.size === 0;
  }

  /** A query of the client's to its own archive. */
  query(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const { book, account, context } = this.around;
    if (frame.type !== 'set' || this.#open.size >= MOST_OPEN) return PASS;
    const query = stanza.tree().getChild('query', NS.mam2);
    const form = query?.getChild('x', NS.dataForms);
    const whom = form?.getChildren('field').find(({ attrs }) => attrs.var === 'with');
    const room = prepareJid(whom?.getChildText('value')?.trim() ?? '');
    if (query === undefined || whom === undefined || room === undefined) return PASS;
    if (book.subscription(room, account) === undefined) return PASS;
    if (lacksArchive(this.around, room)) return this.answers.own(stanza, room);
    if (!hasArchive(this.around, room)) return PASS;
    const id = context.randomId();
    const asked = { name: 'iq', id: frame.id, from: frame.to ?? account, to: context.identity.full } as const;
    const queryId: unknown = query.attrs.queryid;
    this.#open.set(id, { room, queryId: typeof queryId === 'string' ? queryId : undefined });
    form?.remove(whom);
    query.attrs.queryid = id;
    query.attrs.xmlns = NS.mam2;
    const payload = serializeElement(query);
    context.request({ leg: 'server', type: 'set', to: room, payload, timeoutMs: ANSWER_TIME }, (answer) => {
      this.#open.delete(id);
      this.#answered(asked, answer);
    });
    return ANSWERED;
  }

  #answered(asked: Asked, answer: IqAnswer): void {
    const fin = answer.kind === 'result' ? answer.iq.getChild('fin', NS.mam2) : undefined;
    const condition = answer.kind === 'error' ? answer.condition : 'remote-server-timeout';
    if (fin !== undefined) fin.attrs.xmlns = NS.mam2;
    this.around.context.send(
      'client',
      fin === undefined
        ? errorAnswer(asked, refusalOf(condition))
        : resultAnswer(asked, serializeElement(fin)),
      'mucsub-answered',
    );
  }

  /** A message out of a room's archive. @returns whether it was asked for here */
  result(stanza: PassingStanza): boolean {
    if (stanza.frame.findChild('result', NS.mam2) < 0) return false;
    const message = stanza.tree();
    const id = String(message.getChild('result', NS.mam2)?.attrs.queryid);
    const open = this.#open.get(id);
    if (open === undefined || prepareJid(stanza.frame.from ?? '') !== open.room) return false;
    const xml = this.#event(message, id, open);
    if (xml !== undefined) this.around.context.send('client', xml, 'mucsub-answered');
    return true;
  }

  #event(message: Element, asked: string, { room, queryId }: Open): string | undefined {
    const { account, context, book } = this.around;
    const archived = archivedIn(message, asked);
    const frame = archived === undefined ? undefined : parseStanza(archived.bytes, context.namespaces);
    if (archived === undefined || !(frame instanceof Frame)) return undefined;
    const kind = kindOf(frame, frame.from?.includes('/') !== true);
    const event = eventOf(kind, book.subscription(room, account)?.events ?? []);
    if (event === undefined) return undefined;
    const inner = innerStanza(frame, account, room, archived.id).toBuffer();
    const { id, stamp } = archived;
    const own = archivedEvent(wrap({ room, account, event, id }, inner));
    return archiveResult({ from: account, to: context.identity.full, queryId, id, stamp }, own);
  }
}
