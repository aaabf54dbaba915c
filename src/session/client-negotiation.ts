import { prepareJid } from '../jid.js';
import { CLIENT_STREAM, violation } from '../stream/client-stream.js';
import { type FeaturesContext, rewriteFeatures, TLS_FIRST } from '../stream/features.js';
import { type HeaderAttributes, speaksFeatures, streamHeader } from '../stream/header.js';
import type { StreamHeader } from '../xml/header.js';
import type { ClientSide } from './client-side.js';
import { WAITING_FOR_SERVER } from './leg.js';
import type { SessionSettings } from './session.js';
import { SESSION_START, type StartOffer } from './start/offer.js';
import { tokenMechanisms } from './start/token.js';

/** Headers and features of the streams that a client opens, one behind the other: what it is shown is the server's, as it may see it. */
export class ClientNegotiation {
  /** The client has been sent a header on its present stream. */
  #headerSent = false;

  constructor(
    private readonly side: ClientSide,
    private readonly settings: SessionSettings,
  ) {}

  /** A new stream is due. */
  restart(): void {
    this.#headerSent = false;
  }

  /** The server's answer to a header is there: if the client waits for it, its header and features become ours. */
  answer(): void {
    if (this.side.state === 'starting') this.side.start?.opened();
    if (this.side.state !== 'waiting') return;
    const { session } = this.side;
    const { server } = session;
    this.#sendHeader({
      from: server.header?.from ?? session.domain.name,
      id: server.header?.id ?? this.side.session.port.randomId(),
      version: this.side.header !== undefined && speaksFeatures(this.side.header) ? '1.0' : undefined,
      lang: server.header?.lang,
    });
    const features = this.takeFeatures();
    if (features !== undefined) this.side.outbox.text(features);
    this.side.state = session.authenticated ? 'binding' : 'authenticating';
    this.side.goOn();
  }

  /** The server's features as the client is to see them; undefined when there are none. @param started what it need not see any more */
  takeFeatures(started?: FeaturesContext['started']): string | undefined {
    const { session } = this.side;
    const { server } = session;
    const features = server.negotiation.takeFeatures();
    if (features === undefined) return undefined;
    const rewritten = rewriteFeatures(features, {
      listenerTls: this.settings.listener.tls,
      clientTls: this.side.tls,
      serverTls: server.tls,
      authenticated: session.authenticated,
      stanzaBytes: this.side.stanzaBytes,
      amended: session.domain.pipeline.amendsDisco,
      start: this.startOffer,
      started,
    });
    this.side.mechanisms = rewritten.mechanisms;
    if (!session.authenticated) this.side.saslProfile = rewritten.profile;
    server.sm = rewritten.serverSm;
    if (rewritten.binding === 'hidden')
      this.side.session.port.log('debug', 'channel binding hidden', { domain: session.domain.name });
    return rewritten.xml;
  }

  /** XEP-0388 §5: behind TLS only. */
  get startOffer(): StartOffer | undefined {
    const { domain, server, holdTime } = this.side.session;
    if (this.side.tls === undefined || domain.config.features[SESSION_START] === false) return undefined;
    // COMPAT: jabberd2 has neither, and answers the one with an error and the other not at all.
    const modern = server.kind !== 'jabberd2';
    return {
      ...{ carbons: modern, clientState: modern, resumption: holdTime > 0 },
      tokenMechanisms: tokenMechanisms(this.side.tls.endPoint),
    };
  }

  onHeader(header: StreamHeader): void {
    if (CLIENT_STREAM[this.side.state].header === undefined) {
      this.side.fail(violation(this.side.state, 'header'));
      return;
    }
    this.side.header = header;
    if (header.to === undefined) {
      this.side.fail('improper-addressing', "The stream header has no 'to'.");
      return;
    }
    const domain = this.settings.domains.get(prepareJid(header.to) ?? '');
    if (domain === undefined || !this.side.session.turnTo(domain)) {
      this.side.fail('host-unknown');
      return;
    }
    if (this.side.tls === undefined && this.settings.listener.tls === 'required') {
      this.#askForTls(header);
      return;
    }
    const { server } = this.side.session;
    this.side.state = 'waiting';
    // Behind SASL the server waits for a new header just as we did (RFC 6120 §6.4.6).
    if (this.side.session.authenticated) server.openStream();
    else if (server.state === 'open') {
      this.answer();
      return;
    }
    this.side.stopHere();
    this.side.stopReading(WAITING_FOR_SERVER);
  }

  /** The server is not asked before there is TLS; it is being connected meanwhile. */
  #askForTls(header: StreamHeader): void {
    if (!speaksFeatures(header)) {
      this.side.fail('policy-violation', 'TLS is required here, which needs a stream of version 1.0.');
      return;
    }
    this.side.state = 'insecure';
    this.#sendHeader({
      from: header.to,
      id: this.side.session.port.randomId(),
      version: '1.0',
      lang: header.lang ?? 'en',
    });
    this.side.outbox.text(TLS_FIRST);
  }

  /** RFC 6120 §4.9.1.2: an error that comes before the header is preceded by one. */
  ensureHeader(): void {
    if (this.#headerSent) return;
    const from = this.side.header?.to ?? this.settings.domains.keys().next().value;
    this.#sendHeader({ from, id: this.side.session.port.randomId(), version: '1.0', lang: 'en' });
  }

  #sendHeader(attributes: HeaderAttributes): void {
    this.side.outbox.text(streamHeader(attributes));
    this.#headerSent = true;
  }
}
