import type { Element } from 'ltx';
import { prepareJid } from '../../jid.js';
import { PASS, type PassingStanza, type Verdict } from '../../session/feature.js';
import { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { escapeText } from '../../xml/serialize.js';
import { Splice } from '../../xml/splice.js';
import { writeTime } from '../../xml/times.js';
import { parseStanza } from '../../xml/tokenizer.js';
import { type Asked, errorAnswer, REFUSED, type Refusal, resultAnswer } from './answers.js';
import { archivedEvent, archiveResult } from './archive-results.js';
import type { LoggedKind, Told } from './event-log.js';
import { wrapSplice } from './events.js';
import type { Ghosts } from './ghosts.js';
import { timeOf } from './presences.js';
import { lacksArchive } from './services.js';
import { eventOf, type Storing } from './storing.js';
import type { Surroundings } from './surroundings.js';

const ANSWERED: Verdict = { action: 'handled', reason: 'mucsub-answered' };
/** So many messages are one page at most. */
const MOST = 100;
/** What is in the archive of a room: what was said in it. */
const KINDS: readonly LoggedKind[] = ['messages', 'subject', 'announcement'];
const FORM =
  `<x xmlns='${NS.dataForms}' type='form'><field type='hidden' var='FORM_TYPE'><value>${NS.mam2}</value></field>` +
  "<field type='jid-single' var='with'/><field type='text-single' var='start'/><field type='text-single' var='end'/></x>";

/** What is asked of an archive (XEP-0313 §4.1, XEP-0059). */
interface Question {
  readonly queryId: string | undefined;
  readonly start: number;
  readonly end: number;
  readonly with: string | undefined;
  readonly max: number;
  readonly after: string | undefined;
  /** '': from the end. */
  readonly before: string | undefined;
  /** The newest of a page comes first (XEP-0313 §4.3.7). */
  readonly isFlipped: boolean;
}

/** Fields that are understood; what asks for more than that is not answered with everything. */
const FIELDS: readonly string[] = ['FORM_TYPE', 'with', 'start', 'end'];

/** Answers what subscribers ask of the archive of a room that has none, out of the log of its events, and refuses them everybody else. */
export class ArchiveAnswers {
  constructor(
    private readonly around: Surroundings,
    private readonly storing: Storing,
    private readonly ghosts: Ghosts,
  ) {}

  /** A query of the client's to the archive of a room. */
  query(stanza: PassingStanza): Verdict {
    const { frame } = stanza;
    const { book, account, context, settings } = this.around;
    const to = frame.to ?? '';
    const room = prepareJid(to);
    if (room === undefined || !lacksArchive(this.around, room)) return PASS;
    const asked = { name: 'iq', id: frame.id, from: to, to: context.identity.full } as const;
    if (book.subscription(room, account) === undefined) {
      if (!book.isAllowed(room, settings.allowSubscription)) return PASS;
      this.#refuse(asked, REFUSED.noArchive);
      return ANSWERED;
    }
    const query = stanza.tree().getChild('query', NS.mam2);
    if (query === undefined) return PASS;
    if (frame.type === 'get') this.#answer(resultAnswer(asked, `<query xmlns='${NS.mam2}'>${FORM}</query>`));
    else
      this.#tellOf(room, asked, questionOf(query), KINDS, (frame) =>
        new Splice(frame).removeAttribute('to').toBuffer().toString(),
      );
    return ANSWERED;
  }

  /** A query of the client's to its own archive for what a room has said, of which it has subscribed to some: that is told, as events. */
  own(stanza: PassingStanza, room: string): Verdict {
    const { account, context, book } = this.around;
    const { frame } = stanza;
    const query = stanza.tree().getChild('query', NS.mam2);
    const asked = { name: 'iq', id: frame.id, from: frame.to ?? account, to: context.identity.full } as const;
    const question = query === undefined ? REFUSED.badQuery : questionOf(query);
    const events = book.subscription(room, account)?.events ?? [];
    const kinds = KINDS.filter((kind) => eventOf(kind, events) !== undefined);
    const all = 'condition' in question ? question : { ...question, with: undefined };
    this.#tellOf(room, asked, all, kinds, (said, { kind, id }) => {
      const inner = new Splice(said).setAttribute('to', account);
      return archivedEvent(wrapSplice({ room, account, event: eventOf(kind, events)!, id }, inner));
    });
    return ANSWERED;
  }

  /** @param made the message as it is archived */
  #tellOf(
    room: string,
    asked: Asked,
    question: Question | Refusal,
    kinds: readonly LoggedKind[],
    made: (said: Frame, told: Told) => string,
  ): void {
    // A client may ask as soon as it is there, and its ghost not be in yet.
    this.ghosts.entering.whenSettled(() => {
      if (!this.#isIn(room)) this.#refuse(asked, REFUSED.noArchive);
      else if ('condition' in question) this.#refuse(asked, question);
      else
        this.storing.whole(room, (told) => {
          const ofKind = told.filter(({ kind }) => kinds.includes(kind));
          this.#tell(asked, question, ofKind, made);
        });
    }, room);
  }

  /** Who is not let into the room does not read what is said in it. */
  #isIn(room: string): boolean {
    const { book, account } = this.around;
    if (this.ghosts.of(room)?.isIn === true) return true;
    const sources = book.knownWhereabouts(room, account)?.sources;
    return sources !== undefined && [...sources].some((full) => full !== this.around.context.identity.full);
  }

  #tell(
    asked: Asked,
    question: Question,
    told: readonly Told[],
    made: (said: Frame, told: Told) => string,
  ): void {
    const { context } = this.around;
    const found = told.filter(
      (each) =>
        each.at >= question.start &&
        each.at <= question.end &&
        (question.with === undefined || this.#from(each) === question.with),
    );
    const page = pageOf(found, question);
    if (page === undefined) {
      this.#refuse(asked, REFUSED.noSuchId);
      return;
    }
    const { from, to } = page;
    const results = found.slice(from, to);
    for (const each of question.isFlipped ? [...results].reverse() : results) {
      const said = parseStanza(each.inner, context.namespaces);
      if (!(said instanceof Frame)) continue;
      const result = { from: asked.from, to: asked.to, queryId: question.queryId, id: each.id };
      const xml = archiveResult({ ...result, stamp: writeTime(each.at) }, made(said, each));
      context.sendAsServer(xml, 'mucsub-answered');
    }
    const isComplete = question.before === undefined ? to === found.length : from === 0;
    const ends =
      results.length === 0
        ? ''
        : `<first index='${from}'>${escapeText(results[0]!.id)}</first><last>${escapeText(results.at(-1)!.id)}</last>`;
    const set = `<set xmlns='${NS.resultSets}'>${ends}<count>${found.length}</count></set>`;
    const fin = `<fin xmlns='${NS.mam2}'${isComplete ? " complete='true'" : ''}>${set}</fin>`;
    this.#answer(resultAnswer(asked, fin));
  }

  #from({ inner }: Told): string | undefined {
    const frame = parseStanza(inner, this.around.context.namespaces);
    return frame instanceof Frame ? prepareJid(frame.from ?? '') : undefined;
  }

  #answer(xml: string): void {
    this.around.context.send('client', xml, 'mucsub-answered');
  }

  #refuse(asked: Asked, refusal: Refusal): void {
    this.#answer(errorAnswer(asked, refusal));
  }
}

/** @returns a refusal for what cannot be understood, or is not to be had */
function questionOf(query: Element): Question | Refusal {
  const fields = query.getChild('x', NS.dataForms)?.getChildren('field') ?? [];
  if (fields.some(({ attrs }) => !FIELDS.includes(String(attrs.var)))) return REFUSED.badQuery;
  const field = (name: string) =>
    fields
      .find(({ attrs }) => attrs.var === name)
      ?.getChildText('value')
      ?.trim();
  const set = query.getChild('set', NS.resultSets);
  if (set?.getChild('index') !== undefined) return REFUSED.noIndex;
  const start = field('start');
  const end = field('end');
  const whom = field('with');
  const max = set?.getChildText('max')?.trim();
  const limit = max === undefined ? MOST : Number(max);
  const from = start === undefined ? Number.NEGATIVE_INFINITY : timeOf(start);
  const until = end === undefined ? Number.POSITIVE_INFINITY : timeOf(end);
  if (from === undefined || until === undefined || !Number.isInteger(limit) || limit < 0)
    return REFUSED.badQuery;
  const withWhom = whom === undefined ? undefined : prepareJid(whom);
  if (whom !== undefined && withWhom === undefined) return REFUSED.badQuery;
  const queryId: unknown = query.attrs.queryid;
  return {
    queryId: typeof queryId === 'string' ? queryId : undefined,
    start: from,
    end: until,
    with: withWhom,
    max: Math.min(limit, MOST),
    after: set?.getChildText('after') ?? undefined,
    before: set?.getChild('before') === undefined ? undefined : (set.getChildText('before') ?? ''),
    isFlipped: query.getChild('flip-page') !== undefined,
  };
}

/** @returns which of what was found is on the page; undefined when it begins or ends at what is not there (XEP-0059 §2.2) */
function pageOf(
  found: readonly Told[],
  { max, after, before }: Question,
): { readonly from: number; readonly to: number } | undefined {
  const at = (id: string) => found.findIndex((each) => each.id === id);
  const first = after === undefined ? 0 : at(after) + 1;
  if (after !== undefined && first === 0) return undefined;
  if (before === undefined) return { from: first, to: Math.min(found.length, first + max) };
  const end = before === '' ? found.length : at(before);
  if (end < 0) return undefined;
  return { from: Math.max(first, end - max), to: end };
}
