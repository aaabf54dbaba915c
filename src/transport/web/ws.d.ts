// What the WebSocket legs need of ws and its types leave out: the reader of frames alone, without the connection around it, and
// what is said about extensions.
import type { Buffer } from 'node:buffer';
import type { Writable } from 'node:stream';

declare module 'ws' {
  /** Inflates the fragments of compressed messages. */
  export interface MessageInflater {
    decompress(fragment: Buffer, fin: boolean, then: (error: Error | null, message?: Buffer) => void): void;
  }

  export interface ReceiverOptions {
    readonly allowSynchronousEvents?: boolean;
    readonly extensions?: Readonly<Record<string, MessageInflater>>;
    readonly isServer?: boolean;
    readonly maxBufferedChunks?: number;
    readonly maxFragments?: number;
    readonly maxPayload?: number;
    readonly skipUTF8Validation?: boolean;
  }

  export class Receiver extends Writable {
    constructor(options: ReceiverOptions);
    protected _maxPayload: number;
    /** Which part of a frame is to come. */
    protected readonly _state: number;
    protected readonly _bufferedBytes: number;
    /** Kind of the message of which fragments have come; 0: of none. */
    protected readonly _fragmented: number;
    /** Kind of the last frame. */
    protected readonly _opcode: number;
    on(event: 'message', listener: (data: Buffer, binary: boolean) => void): this;
    on(event: 'ping' | 'pong', listener: (data: Buffer) => void): this;
    on(event: 'conclude', listener: (code: number, reason: Buffer) => void): this;
    on(event: string, listener: (...args: never[]) => void): this;
  }
  /** Parameters of an extension, by their names. */
  export type ExtensionParameters = Record<string, (string | true)[]>;

  export const extension: {
    parse(header: string): Record<string, ExtensionParameters[] | undefined>;
    format(extensions: Record<string, object>): string;
  };

  export class PerMessageDeflate {
    static readonly extensionName: string;
    constructor(options: {
      readonly isServer: boolean;
      readonly serverNoContextTakeover: boolean;
      readonly clientNoContextTakeover: boolean;
    });
    accept(offers: ExtensionParameters[]): { readonly server_max_window_bits?: number };
  }
}
