import { Buffer } from 'node:buffer';
import { bare, prepareJid } from '../../jid.js';
import type { StoreChange, StoreEntry } from '../../store/store.js';
import type { DomainRuntime } from '../domain.js';
import type { SessionPort } from '../port.js';
import type { Session } from '../session.js';
import { digestOf } from '../suspended.js';
import type { AuthenticateRequest } from './authenticate.js';
import type { SaslCondition } from './exchange.js';
import {
  judgeToken,
  readTokenMessage,
  readTokenRecord,
  TOKEN_LIFE,
  type Token,
  type TokenMessage,
  tokenElement,
  tokenKey,
  tokenRecord,
  tokenShown,
} from './token.js';

/** Makes tokens for one installation; each takes the place of the one before, if that has not been used. */
export class TokenIssue {
  constructor(
    private readonly port: SessionPort,
    private readonly domain: DomainRuntime,
    private readonly userAgent: string,
    private readonly endPoint: string | undefined,
  ) {}

  /** @param former the one that has just been used, if one has */
  make(
    about: Pick<Token, 'mechanism' | 'account' | 'hold'>,
    former?: Token,
  ): { element: string; change: StoreChange } {
    const token = this.port.randomId() + this.port.randomId();
    const expires = this.port.wallClock() + TOKEN_LIFE;
    const made = tokenRecord(token, { ...about, expires }, this.endPoint);
    const record = former === undefined ? made : { ...made, former };
    const key = tokenKey(this.domain.name, about.account, this.userAgent);
    this.domain.tokens.wrote(key, record);
    return {
      element: tokenElement(token, expires),
      change: { key, value: Buffer.from(JSON.stringify(record)) },
    };
  }
}

/**
 * A token that a client has shown, from the look into the store to what is there behind it: before the client is let in, the next one,
 * beside it until it is used (XEP-0484 §3.5), or none.
 */
export class TokenCheck {
  /** Prepared. */
  readonly account: string;
  /** What the client is sent, by which it knows us; base64. */
  answer = '';
  /** `<token/>` for the next time; '' when the client wants none. */
  next = '';

  private constructor(
    private readonly session: Session,
    private readonly port: SessionPort,
    private readonly request: AuthenticateRequest,
    private readonly message: TokenMessage,
    private readonly key: string,
  ) {
    this.account = message.account;
  }

  /** @returns undefined when the request cannot succeed whatever the store has */
  static begin(session: Session, port: SessionPort, request: AuthenticateRequest): TokenCheck | undefined {
    const { domain, client } = session;
    const { userAgent, resume, initialResponse } = request;
    const message = readTokenMessage(initialResponse, domain.name);
    if (userAgent === undefined || resume === undefined || message === undefined) return undefined;
    const from = client.header?.from;
    // XEP-0388 §2.4: who the stream is from is who may authenticate on it.
    if (from !== undefined && prepareJid(bare(from)) !== message.account) return undefined;
    const key = tokenKey(domain.name, message.account, userAgent);
    // Of two that come at the same time with one token, one has it from somebody else.
    if (domain.tokens.inUse.has(key)) return undefined;
    domain.tokens.inUse.add(key);
    port.load(key, 'token');
    return new TokenCheck(session, port, request, message, key);
  }

  /** @returns why the client is not let in; undefined: `onStored` follows */
  loaded(entries: readonly StoreEntry[]): SaslCondition | undefined {
    const { client, domain } = this.session;
    const { mechanism, token, resume, userAgent } = this.request;
    const stored = readTokenRecord(entries.find(({ key }) => key === this.key)?.value);
    const record = domain.tokens.current(this.key, stored);
    if (record === undefined) return 'not-authorized';
    const shown = tokenShown(record, this.message);
    if (shown === undefined) return 'not-authorized';
    const verdict = judgeToken(shown, this.message, mechanism, token!, this.port.wallClock());
    if (verdict === 'not-authorized' || shown.hold !== digestOf(resume!.id)) return 'not-authorized';
    const hold = domain.holds.get(resume!.id);
    // A session whose server leg is gone, or which only the store knows, takes the server's word for who this is.
    const there = hold?.account === shown.account && hold.serverIsThere;
    if (verdict !== 'good' || !there) {
      if (verdict !== 'good' || hold === undefined) this.#remove();
      return 'credentials-expired';
    }
    this.answer = shown.answer;
    if (token?.invalidate === true) {
      domain.tokens.wrote(this.key, undefined);
      this.port.store([{ key: this.key, value: undefined }], 'token');
    } else {
      const issue = new TokenIssue(this.port, domain, userAgent!, client.tls?.endPoint);
      const used = { ...shown, count: token?.count ?? shown.count };
      const made = issue.make({ mechanism, account: shown.account, hold: shown.hold }, used);
      this.next = made.element;
      this.port.store([made.change], 'token');
    }
    return undefined;
  }

  /** What was to take its place could not be written: it stays as it is. */
  failed(): void {
    this.session.domain.tokens.forget(this.key);
  }

  #remove(): void {
    this.session.domain.tokens.wrote(this.key, undefined);
    this.port.store([{ key: this.key, value: undefined }], 'token-removed');
  }

  /** The token is in nobody's hands any more. */
  release(): void {
    this.session.domain.tokens.inUse.delete(this.key);
  }
}
