import { Duplex } from 'node:stream';
import { SaxesParser } from 'saxes';
import { FROM_SERVER } from '../../../src/xml/limits.js';
import { NamespaceTable, NS } from '../../../src/xml/namespaces.js';
import { Tokenizer } from '../../../src/xml/tokenizer.js';

const TABLE = new NamespaceTable(Object.values(NS));
const HEADER = /^(?:<\?xml[^>]*\?>)?<stream:stream[^>]*>/;

/**
 * A stream of RFC 6120 as a scripted client writes and reads it, carried by something that knows single elements only. The subclass
 * sends and receives these; that each of them is a document of its own is looked at here, with another parser than the proxy's.
 */
export abstract class StreamCarrier extends Duplex {
  /** What the other side sent that does not stand on its own. */
  readonly faults: string[] = [];
  #tokenizer: Tokenizer | undefined;

  constructor() {
    super({ allowHalfOpen: true, decodeStrings: true });
  }

  /** A stream begins. @param attributes of its header, as written */
  protected abstract begin(attributes: string): void;
  protected abstract send(element: string): void;
  protected abstract finish(): void;

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    let text = chunk.toString();
    const header = HEADER.exec(text)?.[0];
    if (header !== undefined) {
      this.#tokenizer = new Tokenizer(
        {
          onHeader: () => {},
          onStanza: (frame) => this.send(frame.toString()),
          onClose: () => this.finish(),
        },
        { limits: FROM_SERVER, origin: 'server', namespaces: TABLE },
      );
      this.#tokenizer.push(Buffer.from(header));
      const [, attributes = ''] = /<stream:stream([^>]*)>/.exec(header) ?? [];
      this.begin(attributes.replace(/ xmlns(:stream)?='[^']*'/g, ''));
      text = text.slice(header.length);
    }
    if (text !== '') this.#tokenizer?.push(Buffer.from(text));
    done();
  }

  override _read(): void {}

  /** The other side's stream begins. */
  protected receivedHeader(attributes: string): void {
    this.push(
      `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'${attributes}>`,
    );
  }

  protected received(element: string): void {
    this.checkDocument(element);
    this.push(element);
  }

  protected receivedEnd(): void {
    this.push('</stream:stream>');
  }

  protected checkDocument(text: string): void {
    const parser = new SaxesParser({ xmlns: true });
    parser.on('error', (error) => {
      this.faults.push(`${error.message}: ${text.slice(0, 200)}`);
    });
    parser.on('opentag', (tag) => {
      if (tag.uri === '') this.faults.push(`no namespace: ${text.slice(0, 200)}`);
    });
    parser.write(text).close();
  }
}
