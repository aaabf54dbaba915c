import type { AccountSession } from '../../knowledge/account/account.js';
import type { FeatureContext } from '../../session/feature.js';
import { asCarbon } from './carbon-copy.js';
import type { Carbons } from './carbons.js';
import { Counts } from './counts.js';
import type { Notice } from './notices.js';

/** Name of the wake-up for what the server should have given by then. */
export const EXPECTED = 'expected';
/** How long what another session has had from the server may take to come here from there; ms. */
const SERVER_TIME = 2_000;
/** What may wait for that. */
const MOST_EXPECTED = 200;
const MOST_CHARACTERS = 1024 * 1024;
/** Messages of an account that are told apart at a time. */
const MOST_COUNTED = 500;

interface Copy {
  readonly key: string;
  readonly xml: string;
  /** The session that told of it. */
  readonly from: string;
}

/** Messages of which another session of the account has told, and how often each has come here. */
export class ToldCopies {
  // Made when needed: most sessions never do.
  #counts: Counts | undefined;
  /** What the server should give this session itself. */
  #expected: Copy[] | undefined;
  #characters = 0;

  constructor(
    private readonly context: FeatureContext,
    private readonly account: AccountSession,
    private readonly carbons: Carbons,
  ) {}

  /** @param source of the copy @returns whether nobody has brought this message before */
  isNew(key: string, source: string): boolean {
    this.#counts ??= new Counts(MOST_COUNTED);
    return this.#counts.isNew(key, source, this.context.now);
  }

  take(notice: Extract<Notice, { readonly xml: string }>, from: string): void {
    const { key, xml } = notice;
    const { availability } = this.account;
    if (notice.kind === 'copy' && availability.available && availability.priority >= notice.priority) {
      this.#expect({ key, xml, from });
      return;
    }
    if (!this.isNew(key, from)) return;
    const direction = notice.kind === 'reflection' ? 'sent' : 'received';
    const wrapped = this.carbons.wanted ? asCarbon(xml, this.context.identity, direction) : xml;
    this.context.send('client', wrapped, 'copy-from-other-session');
  }

  /** It comes from the server too, unless our priority has just changed: that is waited for, so that nothing overtakes it. */
  #expect(copy: Copy): void {
    this.#expected ??= [];
    this.#expected.push(copy);
    this.#characters += copy.xml.length;
    while (this.#expected.length > MOST_EXPECTED || this.#characters > MOST_CHARACTERS) this.#takeOne();
    if (this.#expected.length === 1) this.context.wakeAt(EXPECTED, this.context.now + SERVER_TIME);
  }

  /** What the server should have given by now. */
  takeExpected(): void {
    while (this.#expected !== undefined && this.#expected.length > 0) this.#takeOne();
  }

  #takeOne(): void {
    const copy = this.#expected?.shift();
    if (copy === undefined) return;
    const { key, xml, from } = copy;
    this.#characters -= xml.length;
    if (this.isNew(key, from)) this.context.send('client', xml, 'copy-from-other-session');
  }
}
