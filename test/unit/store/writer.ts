/**
 * A process that is there to be killed. `writer.ts FOLDER FIRST` writes pairs of entries that belong together, from number FIRST on, several
 * at a time, and says `resolved N` for each when it is on the disk. `writer.ts FOLDER fail` writes until it cannot, and says why;
 * with `unprivileged` it opens the store as an ordinary user.
 */
import { openStore } from '../../../src/store/open.js';
import { StoreError } from '../../../src/store/store.js';

const [folder = '', first = '0'] = process.argv.slice(2);

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function explain(error: unknown): string {
  return error instanceof StoreError ? `${error.reason}: ${error.message}` : `unexpected: ${String(error)}`;
}

// Root may write everywhere: nobody may not.
if (first === 'unprivileged' && process.getuid?.() === 0) process.setuid?.(65_534);

try {
  const store = await openStore(folder);
  say('open');
  const pair = async (number: number, bytes: number): Promise<void> => {
    const value = Buffer.alloc(bytes, number % 251);
    await store.write([
      { key: `a${number}`, value },
      { key: `b${number}`, value },
      { key: `b${number - 50}`, value: undefined },
      { key: `a${number - 50}`, value: undefined },
    ]);
  };
  if (first === 'fail') {
    const large = Buffer.alloc(100_000);
    try {
      for (let number = 0; number < 1_000; number += 1)
        await store.write([{ key: `n${number}`, value: large }]);
    } catch (error) {
      say(explain(error));
    }
    await store.write([{ key: 'small', value: Buffer.from('x') }]).then(
      () => say('small fits'),
      (error: unknown) => say(explain(error)),
    );
    say(`kept ${(await store.list('n')).length}`);
    await store.close();
  } else {
    const writeOn = async (number: number): Promise<void> => {
      await pair(number, 1 + ((number * 7_919) % 30_000));
      say(`resolved ${number}`);
      await writeOn(number + 8);
    };
    await Promise.all(Array.from({ length: 8 }, (_, index) => writeOn(Number(first) + index)));
  }
} catch (error) {
  say(explain(error));
}
