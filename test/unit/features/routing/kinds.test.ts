import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { KINDS } from '../../../../src/features/routing/kinds.js';
import { NS } from '../../../../src/xml/namespaces.js';
import { alone, session, TWO } from './scenes.js';

const ROMEO = 'romeo@capulet.lit';
const ORCHARD = `${ROMEO}/orchard`;

/** A message of type normal with this content, said to one device. */
function said(content: string, readdressed: boolean): void {
  const verdict = readdressed ? 'changed readdressed' : 'changed left-realm';
  const out = readdressed
    ? `<message to='${ROMEO}'>${content}${TWO}</message>`
    : `<message to='${ORCHARD}'>${content}${alone(ORCHARD)}</message>`;
  session('copies')
    .fromClient(`<message to='${ORCHARD}'>${content}</message>`)
    .expectVerdict(verdict, out)
    .end();
}

describe('what a message of type normal has to have in it to be re-addressed', () => {
  const rows = KINDS.flatMap((kind) =>
    (kind.elements ?? ['x']).map((element) => ({ ...kind, element, label: `${kind.name}: ${element}` })),
  );

  it.each(rows)('$label is $nature', ({ element, namespace, nature }) => {
    const content = `<${element} xmlns='${namespace}'/>`;
    said(content, nature === 'conversational');
    // A body makes it conversation, but for the exceptions.
    said(`<body>hi</body>${content}`, nature !== 'single');
  });

  it('what nobody knows is not', () => {
    said("<x xmlns='urn:example:new'/>", false);
    said(`<received xmlns='urn:example:new'/>`, false);
    said(`<request xmlns='${NS.receipts}'/>`, false);
    said('', false);
  });

  it('OTR is not, but a body that offers it or speaks of it is', () => {
    said('<body>?OTR:AAMC=</body>', false);
    said("<body xml:lang='en'>?OTRv23?</body>", false);
    said('<body>what is ?OTR:</body>', true);
    said('<body>hi &#9; \t  \t\t\t\t \t \t \t  \t</body>', true);
  });
});

it('the table in docs/routing.md is this one', () => {
  const text = readFileSync(join(import.meta.dirname, '../../../../docs/routing.md'), 'utf8');
  const rows = [
    ...text.matchAll(/^\| ([^|]+?) +\| (conversational|transient|single) +\| ([^|]+?) +\| ([^|]+?) +\|$/gm),
  ];
  expect(rows.map(([, name, nature, because, tests]) => ({ name, nature, because, tests }))).toEqual(
    KINDS.map(({ name, nature, because, elements = ['x'] }) => ({
      ...{ name, nature, because },
      tests: elements.map((element) => `\`${name}: ${element} is ${nature}\``).join(' · '),
    })),
  );
});
