// What the WebSocket legs need of ws and its types leave out: the reader of frames alone, without the connection around it.
import type { Buffer } from 'node:buffer';
import type { Writable } from 'node:stream';

declare module 'ws' {
  export interface ReceiverOptions {
    readonly allowSynchronousEvents?: boolean;
    readonly isServer?: boolean;
    readonly maxBufferedChunks?: number;
    readonly maxFragments?: number;
    readonly maxPayload?: number;
    readonly skipUTF8Validation?: boolean;
  }

  export class Receiver extends Writable {
    constructor(options: ReceiverOptions);
    protected _maxPayload: number;
    on(event: 'message', listener: (data: Buffer, binary: boolean) => void): this;
    on(event: 'ping' | 'pong', listener: (data: Buffer) => void): this;
    on(event: 'conclude', listener: (code: number, reason: Buffer) => void): this;
    on(event: string, listener: (...args: never[]) => void): this;
  }
}
