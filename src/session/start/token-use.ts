import { Buffer } from 'node:buffer';
import { bare, prepareJid } from '../../jid.js';
import type { StoreChange, StoreEntry } from '../../store/store.js';
import type { DomainRuntime } from '../domain.js';
import type { SessionPort } from '../port.js';
import type { Session } from '../session.js';
import type { AuthenticateRequest } from './authenticate.js';
import type { SaslCondition } from './exchange.js';
import {
  judgeToken,
  readTokenMessage,
  readTokenRecord,
  TOKEN_LIFE,
  type TokenMessage,
  type TokenRecord,
  tokenElement,
  tokenKey,
  tokenRecord,
} from './token.js';

/** Makes tokens for one installation; each takes the place of the one before. */
export class TokenIssue {
  constructor(
    private readonly port: SessionPort,
    private readonly domain: DomainRuntime,
    private readonly userAgent: string,
    private readonly endPoint: string | undefined,
  ) {}

  make(about: Pick<TokenRecord, 'mechanism' | 'account' | 'hold'>): { element: string; change: StoreChange } {
    const token = this.port.randomId() + this.port.randomId();
    const expires = this.port.wallClock() + TOKEN_LIFE;
    const record = tokenRecord(token, { ...about, expires }, this.endPoint);
    const key = tokenKey(this.domain.name, about.account, this.userAgent);
    this.domain.tokens.wrote(key, record);
    return {
      element: tokenElement(token, expires),
      change: { key, value: Buffer.from(JSON.stringify(record)) },
    };
  }
}

/**
 * A token that a client has shown, from the look into the store to its replacement there. It is good once: before the client is let in
 * there is another in its place, or none.
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
    const verdict = judgeToken(record, this.message, mechanism, token!, this.port.wallClock());
    if (verdict === 'not-authorized' || record.hold !== resume!.id) return 'not-authorized';
    const hold = domain.holds.get(record.hold);
    // A session whose server leg is gone, or which only the store knows, takes the server's word for who this is.
    const there = hold?.account === record.account && hold.serverIsThere;
    if (verdict !== 'good' || !there) {
      if (verdict !== 'good' || hold === undefined) this.#remove();
      return 'credentials-expired';
    }
    this.answer = record.answer;
    if (token?.invalidate === true) {
      domain.tokens.wrote(this.key, undefined);
      this.port.store([{ key: this.key, value: undefined }], 'token');
    } else {
      const issue = new TokenIssue(this.port, domain, userAgent!, client.tls?.endPoint);
      const made = issue.make({ mechanism, account: record.account, hold: record.hold });
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
