import { bare, prepareJid } from '../../jid.js';
import type { StoreEntry } from '../../store/store.js';
import type { Frame } from '../../xml/frame.js';
import { NS } from '../../xml/namespaces.js';
import { escapeText } from '../../xml/serialize.js';
import { writeTime } from '../../xml/times.js';
import { readBindResult } from '../binding.js';
import { claimedName } from '../claimed-name.js';
import type { SessionIdentity } from '../feature.js';
import type { Outbox } from '../outbox.js';
import type { SessionPort } from '../port.js';
import type { Session } from '../session.js';
import { digestOf } from '../suspended.js';
import type { ArrivalPlan } from './arrival.js';
import { type AuthenticateRequest, readAuthenticate } from './authenticate.js';
import type { CatchUpFrom } from './catch-up.js';
import {
  abort,
  additionalData,
  additionalDataOf,
  authOf,
  challengeOf,
  failure,
  failureOf,
  type SaslCondition,
  towardsServer,
} from './exchange.js';
import { Preparation } from './preparation.js';
import type { ArchiveRequest } from './request.js';
import { resourceFor } from './resource.js';
import { START_STEPS, type StartAction, type StartInput, type StartState } from './steps.js';
import { metadataElement, SUCCESS_END, startedElement, successHead } from './success.js';
import { tokenMechanisms } from './token.js';
import { TokenCheck, TokenIssue } from './token-use.js';

const NO_TASKS = 'The server behind wants a further step, which cannot be taken here.';

/** How long the server may take over what the client can do without; ms. */
const PREPARING_TIME = 10_000;

/** From `<authenticate/>` to `<success/>`: `START_STEPS` at work (XEP-0388, XEP-0386). */
export class SessionStart {
  #state: StartState = 'exchanging';
  #request!: AuthenticateRequest;
  #additional = '';
  /** Of the client's leg, which may become another session's. */
  #endPoint: string | undefined;
  /** What became of `<resume/>`. */
  #failed = '';
  #features = '';
  #bindId: string | undefined;
  #identity: SessionIdentity | undefined;
  #preparation: Preparation | undefined;
  #token: TokenCheck | undefined;

  constructor(
    private readonly session: Session,
    private readonly port: SessionPort,
  ) {}

  /** `<authenticate/>`. @returns true when it is ours to decide and the client has to wait */
  begin(frame: Frame): boolean {
    const request = readAuthenticate(frame);
    this.#request = request;
    const { client, server } = this.session;
    this.#endPoint = client.tls?.endPoint;
    if (request.token !== undefined && this.#tokenMechanisms.includes(request.mechanism)) {
      this.#state = 'token';
      this.#token = TokenCheck.begin(this.session, this.port, request);
      if (this.#token === undefined) this.#fail('not-authorized');
      return this.#token !== undefined;
    }
    if (client.mechanisms.includes(request.mechanism)) {
      client.claimedName = claimedName(request.mechanism, request.initialResponse ?? '');
      const auth = authOf(request.mechanism, request.initialResponse, client.saslProfile);
      server.negotiation.say(Buffer.from(auth), true);
    } else this.#fail('invalid-mechanism');
    return false;
  }

  /** `<response/>` or `<abort/>`. */
  fromClient(frame: Frame): void {
    const { client, server } = this.session;
    server.outbox.text(towardsServer(frame, client.saslProfile));
  }

  /** `<challenge/>`, `<success/>` or `<failure/>` of the server's. */
  fromServer(frame: Frame): void {
    const name = frame.localName();
    if (name === 'challenge') this.#step('challenge', frame);
    else if (name === 'success') this.#step('success', frame);
    else if (name === 'continue') this.#step('task');
    else this.#step('failure', frame);
  }

  /** The server's features behind SASL are there. */
  opened(): void {
    this.#step('features');
  }

  /** @param failed what a client that had asked on its own would be told */
  notResumed(failed: string): void {
    this.#failed = failed;
    this.#step('not-resumed');
  }

  /** A stanza from the server before the session exists. @returns false when there is no start that could want it */
  takes(frame: Frame): boolean {
    if (this.#preparation !== undefined) {
      this.#preparation.takes(frame);
      return true;
    }
    if (this.#bindId === undefined || frame.id !== this.#bindId) return false;
    this.#bindId = undefined;
    this.#identity = readBindResult(frame);
    this.#step(this.#identity === undefined ? 'bind-refused' : 'bound');
    return true;
  }

  /** What the store has of the client's token. */
  loaded(entries: readonly StoreEntry[]): void {
    const refused = this.#token?.loaded(entries);
    if (refused !== undefined) this.#tokenIsBad(refused);
  }

  /** The token that the client has shown is good for nothing any more, on disk. */
  stored(ok: boolean): void {
    if (this.#state !== 'token') return;
    if (ok) this.#step('token-good');
    else {
      this.#token?.failed();
      this.#tokenIsBad('temporary-auth-failure');
    }
  }

  /** The server has taken long enough. */
  timeUp(): void {
    this.#step('prepared');
  }

  /** The connection is lost. */
  abandon(): void {
    this.#state = 'over';
    this.#token?.release();
  }

  /** `<success/>` around `<resumed/>` (XEP-0198 §9.2): no features follow. @param full of the session that goes on */
  within<T>(outbox: Outbox, full: string, say: () => T): T {
    this.#state = 'over';
    this.session.setDeadline('start', Number.POSITIVE_INFINITY);
    outbox.text(successHead(this.#additional, full));
    const said = say();
    const token = this.#token?.next ?? this.#newToken(full, this.#request.resume?.id);
    outbox.text(`${token}${SUCCESS_END}`);
    return said;
  }

  #step(input: StartInput, frame?: Frame): void {
    const rule = START_STEPS[this.#state][input];
    if (rule === undefined) return;
    this.#state = rule.next;
    this.#act(rule.action, frame);
  }

  #act(action: StartAction, frame: Frame | undefined): void {
    const { client, server } = this.session;
    const { bind, resume } = this.#request;
    switch (action) {
      case 'pass-challenge':
        client.outbox.text(challengeOf(frame!));
        break;
      case 'fail':
        client.startFailed(frame === undefined ? failure('credentials-expired') : failureOf(frame));
        break;
      case 'refuse-task':
        server.outbox.text(abort(client.saslProfile));
        client.startFailed(failure('temporary-auth-failure', NO_TASKS));
        break;
      case 'restart':
        this.#additional = additionalDataOf(frame!);
        client.authenticatedWithin();
        // In the new profile the features follow in the same stream (XEP-0388 §2.7.1).
        if (client.saslProfile === NS.sasl) server.openStream();
        break;
      case 'resume-or-bind':
        this.#features =
          client.negotiation.takeFeatures({
            bound: bind !== undefined,
            managed: bind?.enable !== undefined,
          }) ?? '';
        if (resume === undefined) this.#step('not-resumed');
        else this.session.resuming.resumeAs(resume);
        break;
      case 'resume':
        this.#token!.release();
        this.#additional = additionalData(this.#token!.answer);
        this.session.resuming.resumeAs(resume!, this.#token!.account);
        break;
      case 'bind':
        this.#bind();
        break;
      case 'bind-anyhow':
        this.#askForResource('');
        break;
      case 'give-up':
        client.fail('undefined-condition', 'The server behind gives no resource to this session.');
        break;
      case 'prepare':
        if (bind === undefined) this.#welcomeUnbound();
        else this.#prepare();
        break;
      case 'welcome':
        this.#welcome();
        break;
    }
  }

  #bind(): void {
    const { bind, userAgent } = this.#request;
    const { client, domain, boundAs } = this.session;
    const from = client.header?.from;
    const accepted = prepareJid(`${client.claimedName}@${domain.name}`);
    // It had to be bound to learn whose it is.
    this.#identity = boundAs;
    if (boundAs !== undefined) this.#step('bound');
    else if (bind !== undefined) {
      const source = { domain: domain.name, from, tag: bind.tag, userAgent };
      const resource = resourceFor(source, () => this.port.randomId());
      // The same device has the same resource, and perhaps a session that still waits for it.
      this.session.binding.whenFree(resource, () => {
        if (!client.gone) this.#askForResource(`<resource>${escapeText(resource)}</resource>`);
      });
    } else if (from !== undefined && client.claimedName !== undefined && prepareJid(bare(from)) === accepted)
      this.#welcomeUnbound();
    else this.#askForResource('');
  }

  #askForResource(wish: string): void {
    this.#bindId = this.port.randomId();
    this.session.server.outbox.text(
      `<iq type='set' id='${this.#bindId}'><bind xmlns='${NS.bind}'>${wish}</bind></iq>`,
    );
  }

  /** Without `<bind/>` only who the client is remains to be said; SASL has passed unread, so it is who its header and the exchange say alike, or the server tells. */
  #welcomeUnbound(): void {
    const { client } = this.session;
    this.#state = 'over';
    this.session.boundAs = this.#identity;
    const jid = this.#identity?.bare ?? bare(client.header?.from ?? '');
    client.outbox.text(`${successHead(this.#additional, jid)}${this.#failed}${SUCCESS_END}${this.#features}`);
    client.startedUnbound();
    this.session.flush();
  }

  #prepare(): void {
    const { server } = this.session;
    const { carbons, start } = this.#request.bind!;
    const modern = server.kind !== 'jabberd2';
    this.#preparation = new Preparation(this.#identity!, {
      send: (xml) => server.outbox.text(xml),
      randomId: () => this.port.randomId(),
      done: () => this.#step('prepared'),
    });
    this.session.setDeadline('start', this.session.now + PREPARING_TIME);
    this.#preparation.begin({
      session: server.wantsSession,
      // A session that gets the archive gets copies too, or something would fall between the two.
      carbons: modern && (carbons || start?.archive !== undefined),
      archive: modern,
    });
  }

  #welcome(): void {
    const { session } = this;
    const { client, server } = session;
    const { carbons, clientState, enable, start } = this.#request.bind!;
    const identity = this.#identity!;
    const { bounds, early } = this.#preparation!;
    session.setDeadline('start', Number.POSITIVE_INFINITY);
    client.start = undefined;
    const welcome = (): void => {
      const started = start === undefined ? '' : startedElement(bounds !== undefined);
      const bound = `<bound xmlns='${NS.bind2}'>${metadataElement(bounds)}${started}`;
      client.outbox.text(successHead(this.#additional, identity.full) + bound);
      if (enable !== undefined) session.binding.enableWith(enable);
      // What we send from here on is to be counted from the start.
      else if (start !== undefined) session.binding.enableServer(false);
      const token = this.#newToken(identity.full, session.hold?.resumption.id);
      client.outbox.text(`</bound>${this.#failed}${token}${SUCCESS_END}${this.#features}`);
    };
    const copies = server.kind !== 'jabberd2' && (carbons || start?.archive !== undefined);
    session.binding.bind(
      identity,
      welcome,
      new Set(copies ? [NS.carbons2] : []),
      start?.archive !== undefined,
    );
    if (clientState !== undefined && server.takesClientState)
      server.outbox.text(`<${clientState} xmlns='${NS.csi}'/>`);
    if (start !== undefined) {
      const { archive, presence, rooms } = start;
      const plan: ArrivalPlan = {
        archive: archive === undefined ? undefined : { from: this.#from(archive), queryId: archive.queryId },
        ...{ bounds, presence, rooms },
      };
      session.bound!.arrive(plan);
    }
    for (const frame of early) session.bound!.fromServer(frame);
    client.goOn();
    session.flush();
  }

  #from({ after, since, seconds }: ArchiveRequest): CatchUpFrom | undefined {
    if (after !== undefined) return { after };
    if (since !== undefined) return { since };
    return seconds === undefined ? undefined : { since: writeTime(this.port.wallClock() - seconds * 1000) };
  }

  /** @param hold the session that it is to resume, if that can be */
  #newToken(full: string, hold: string | undefined): string {
    const { tokenWanted, userAgent } = this.#request;
    const account = prepareJid(bare(full));
    if (tokenWanted === undefined || !this.#tokenMechanisms.includes(tokenWanted)) return '';
    if (userAgent === undefined || hold === undefined || account === undefined) return '';
    const issue = new TokenIssue(this.port, this.session.domain, userAgent, this.#endPoint);
    const { element, change } = issue.make({ mechanism: tokenWanted, account, hold: digestOf(hold) });
    this.port.store([change], 'token-issued');
    return element;
  }

  get #tokenMechanisms(): readonly string[] {
    return this.session.holdTime > 0 ? tokenMechanisms(this.#endPoint) : [];
  }

  #fail(condition: SaslCondition): void {
    this.#state = 'over';
    this.session.client.startFailed(failure(condition));
  }

  #tokenIsBad(condition: SaslCondition): void {
    if (this.#state !== 'token') return;
    this.#token?.release();
    this.#fail(condition);
    this.session.flush();
  }
}
