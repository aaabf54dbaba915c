import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { build } from 'esbuild';

const HERE = join(import.meta.dirname, 'pages');
const MODULES = join(import.meta.dirname, '../../../node_modules');

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/** The pages that the tests play in a browser, on loopback: nothing comes from elsewhere. */
export class Pages {
  readonly #server: Server;
  #stanza: Promise<string> | undefined;

  private constructor() {
    this.#server = createServer((request, response) => {
      const { pathname } = new URL(request.url ?? '/', 'http://localhost');
      this.#content(pathname).then(
        (content) => {
          response.setHeader('Content-Type', TYPES[extname(pathname)] ?? 'application/octet-stream');
          response.end(content);
        },
        () => {
          response.statusCode = 404;
          response.end();
        },
      );
    });
  }

  static async open(): Promise<Pages> {
    const pages = new Pages();
    await new Promise<void>((resolve) => pages.#server.listen(0, '127.0.0.1', resolve));
    return pages;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #content(path: string): Promise<string | Buffer> {
    const script = /^\/(strophe|stanza)\.html$/.exec(path)?.[1];
    if (script !== undefined)
      return `<!doctype html><meta charset="utf-8"><title>${script}</title><link rel="icon" href="data:,"><body><script type="module" src="/pages/${script}.js"></script>`;
    if (path === '/converse.html') return readFile(join(HERE, 'converse.html'));
    if (path === '/strophe.esm.js') return readFile(join(MODULES, 'strophe.js/dist/strophe.esm.js'));
    if (path === '/pages/stanza.js') {
      this.#stanza ??= bundle(join(HERE, 'stanza.js'));
      return this.#stanza;
    }
    if (path === '/pages/strophe.js') return readFile(join(HERE, 'strophe.js'));
    const inside = /^\/converse\/(.+)$/.exec(path)?.[1];
    if (inside === undefined) throw new Error(`no page ${path}`);
    return readFile(join(MODULES, 'converse.js/dist', normalize(`/${inside}`)));
  }
}

/** stanza is written for bundlers: its `browser` field says what to take instead of Node's own modules. */
async function bundle(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'esm',
    mainFields: ['browser', 'module', 'main'],
    define: { global: 'globalThis', 'process.env.NODE_ENV': '"production"' },
    logLevel: 'silent',
  });
  const [file] = outputFiles;
  if (file === undefined) throw new Error('stanza was not bundled');
  return file.text;
}
