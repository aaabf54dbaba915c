import { existsSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';

const PROGRAM = process.env.INTERSTANZA_CHROMIUM ?? '/usr/bin/chromium';

/** Screenshots of a run, for whoever wants to see what the tests have seen. */
export const ARTEFACTS = process.env.INTERSTANZA_ARTEFACTS ?? join(tmpdir(), 'interstanza-artefacts');

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
  // Nothing is looked up, and nobody is there but the tests.
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
];

export function chromiumMissing(): string | undefined {
  return existsSync(PROGRAM) ? undefined : `${PROGRAM} is missing: run scripts/install-servers.sh`;
}

/** A browser with a profile of its own, which goes with it. */
export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: PROGRAM, args: FLAGS, headless: true });
}

export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(ARTEFACTS, { recursive: true });
  await page.screenshot({ path: join(ARTEFACTS, `${name}.png`) });
}
