import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { main } from 'assemblyscript/asc';

const FOLDER = join(import.meta.dirname, '../src/xml/scanner');
const SOURCE = 'scanner.ts';
const MODULE = 'scanner.wasm';
const OPTIONS = ['-O3', '--noAssert', '--runtime', 'stub', '--enable', 'simd'];
const MEMORY = ['--importMemory', '--noExportMemory', '--initialMemory', '2', '--maximumMemory', '2'];
const LINE = 100;

/** Where the compiled scanner is kept. */
export const SCANNER_CODE: string = join(FOLDER, 'code.ts');

/** What `SCANNER_CODE` has to hold: the scanner compiled, as a TypeScript module. @throws when it does not compile */
export async function compiledScanner(): Promise<string> {
  let wasm: Uint8Array | undefined;
  const { error, stderr } = await main([SOURCE, '-o', MODULE, ...OPTIONS, ...MEMORY], {
    readFile: (name) => (name === SOURCE ? readFileSync(join(FOLDER, 'assembly', SOURCE), 'utf8') : null),
    writeFile: (name, contents) => {
      if (name === MODULE && typeof contents !== 'string') wasm = contents;
    },
    listFiles: () => [],
  });
  if (error !== null || wasm === undefined) throw new Error(`the scanner does not compile:\n${stderr}`);
  const lines =
    Buffer.from(wasm)
      .toString('base64')
      .match(new RegExp(`.{1,${LINE}}`, 'g')) ?? [];
  return `/** The scanner as WebAssembly, in base64. Made by \`npm run build:scanner\` from assembly/scanner.ts. */
export const SCANNER_WASM: string = [
${lines.map((line) => `  '${line}',`).join('\n')}
].join('');
`;
}

if (process.argv[1] === import.meta.filename) writeFileSync(SCANNER_CODE, await compiledScanner());
