import { randomInt } from 'node:crypto';
import { startProsody } from './prosody.js';
import type { ServerHandle } from './server.js';

/** Two Prosodys that talk to each other over loopback. */
export interface Federation {
  readonly near: ServerHandle;
  readonly far: ServerHandle;
  dispose(): Promise<void>;
}

/** Each server has an address of its own, since servers find each other at port 5269. */
export async function startFederation(hibernation = 600): Promise<Federation> {
  const net = `127.${randomInt(1, 250)}.${randomInt(1, 250)}`;
  const hosts: Record<string, string> = {};
  const names = { near: 'montague.lit', far: 'capulet.lit' };
  for (const [name, address] of [
    [names.near, `${net}.1`],
    [names.far, `${net}.2`],
  ] as const) {
    hosts[name] = address;
    hosts[`conference.${name}`] = address;
  }
  const start = (domain: string) =>
    startProsody({ domain, hibernation, federation: { address: hosts[domain] ?? '', hosts } });
  const near = await start(names.near);
  const far = await start(names.far);
  return {
    near,
    far,
    dispose: async () => {
      far.freeze?.(false);
      await Promise.all([near.dispose(), far.dispose()]);
    },
  };
}
