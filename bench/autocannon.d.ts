// What the bench uses of autocannon, which has no types of its own.
declare module 'autocannon' {
  interface Request {
    readonly method: string;
    readonly setupRequest?: (request: Request) => Request;
    readonly body?: string;
    readonly headers?: Readonly<Record<string, string>>;
  }
  interface Client {
    setRequests(requests: readonly Request[]): void;
  }
  interface Options {
    readonly url: string;
    readonly connections: number;
    /** Requests of all connections together. */
    readonly amount: number;
    readonly timeout: number;
    readonly setupClient: (client: Client) => void;
    readonly verifyBody?: (body: string) => boolean;
  }
  interface Outcome {
    readonly errors: number;
    readonly timeouts: number;
    readonly mismatches: number;
    readonly non2xx: number;
    readonly requests: { readonly total: number };
  }
  function autocannon(options: Options): Promise<Outcome>;
  export = autocannon;
}
