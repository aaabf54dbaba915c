import { expect, test, vi } from 'vitest';
import type { DomainConfig } from '../../../../src/config/model.js';
import { FEATURES } from '../../../../src/features/index.js';
import { mucsubClient } from '../../../../src/features/mucsub-client/mucsub-client.js';
import { DomainRuntime } from '../../../../src/session/domain.js';
import type { FeatureContext } from '../../../../src/session/feature.js';
import { NamespaceTable } from '../../../../src/xml/namespaces.js';
import { ACCOUNT, World } from './world.js';

/* `mucsub-client: false`. */

test('subscriptions that the proxy has made are ended when a session of their account begins, and nothing else is done', () => {
  const world = new World();
  world.device('phone').joins().reads().closes();
  expect(world.server.subscribers.size).toBe(1);
  world.nextProcess();
  const asked = world.server.requests.length;
  world.device('laptop', false).connects();
  expect(world.server.subscribers.size).toBe(0);
  expect(world.server.requests.slice(asked)).toEqual([
    'subscriptions chats.capulet.lit',
    'unsubscribe party@chats.capulet.lit',
  ]);
  const before = world.server.requests.length;
  const phone = world.device('phone', false).joins().reads();
  world.clock.now += 1_000;
  world.server.says('live');
  expect(phone.reads().shown).toEqual(['live']);
  expect(world.server.requests).toHaveLength(before);
});

test('what somebody else has made of them stays', () => {
  const world = new World();
  world.device('phone').joins().reads().closes();
  const other = { nick: 'Juliet', nodes: ['urn:xmpp:mucsub:nodes:presence'] };
  world.server.subscribers.set(ACCOUNT, other);
  world.device('laptop', false).connects();
  expect(world.server.subscribers.get(ACCOUNT)).toEqual(other);
});

test('where there are none the store is looked into once, and sessions do nothing', () => {
  const world = new World();
  const lookedUp = vi.spyOn(world.domain, 'list');
  world.device('phone', false).connects();
  world.device('laptop', false).joins().reads();
  expect(lookedUp).toHaveBeenCalledTimes(1);
  expect(world.server.requests).toEqual([]);
  expect(mucsubClient.whenOff!.watches).toEqual([]);
  expect(mucsubClient.whenOff!.open({ domain: world.domain } as unknown as FeatureContext)).toEqual({});
});

test('a domain that has it switched off does that, and has none of the rest', () => {
  const of = (features: DomainConfig['features']) => {
    const config = { name: 'capulet.lit', features } as DomainConfig;
    return new DomainRuntime(config, FEATURES, new NamespaceTable([])).pipeline.features;
  };
  const off = mucsubClient.whenOff;
  expect([of({}).includes(mucsubClient), of({}).includes(off!)]).toEqual([true, false]);
  const switchedOff = of({ 'mucsub-client': false });
  expect([switchedOff.includes(mucsubClient), switchedOff.includes(off!)]).toEqual([false, true]);
  expect(of({ push: false }).map(({ name }) => name)).not.toContain('push');
});
