import { expect, test } from 'vitest';
import { InProcessBus } from '../../../src/bus/in-process.js';

const turn = () => new Promise(setImmediate);

test('who listens to a topic hears what is said there, later and in order', async () => {
  const bus = new InProcessBus();
  const heard: string[] = [];
  bus.subscribe('juliet@capulet.lit', (message) => heard.push(`one ${message}`));
  bus.subscribe('juliet@capulet.lit', (message) => heard.push(`two ${message}`));
  bus.subscribe('romeo@montague.lit', (message) => heard.push(`romeo ${message}`));
  bus.publish('juliet@capulet.lit', 'a');
  bus.publish('juliet@capulet.lit', 'b');
  bus.publish('nobody@capulet.lit', 'c');
  expect(heard).toEqual([]);
  await turn();
  expect(heard).toEqual(['one a', 'two a', 'one b', 'two b']);
});

test('what a listener says is heard when all that was said before has been', async () => {
  const bus = new InProcessBus();
  const heard: string[] = [];
  bus.subscribe('topic', (message) => {
    heard.push(message);
    if (message === 'question') bus.publish('topic', 'answer');
  });
  bus.publish('topic', 'question');
  bus.publish('topic', 'more');
  await turn();
  expect(heard).toEqual(['question', 'more', 'answer']);
});

test('who has ended its subscription hears nothing more, not even what was on its way', async () => {
  const bus = new InProcessBus();
  const heard: string[] = [];
  const end = bus.subscribe('topic', (message) => heard.push(message));
  bus.publish('topic', 'a');
  end();
  bus.publish('topic', 'b');
  await turn();
  bus.subscribe('topic', (message) => heard.push(`again ${message}`));
  bus.publish('topic', 'c');
  await turn();
  expect(heard).toEqual(['again c']);
});
