// The measure of speed: a relay that knows nothing, in ten lines.
import { connect, createServer } from 'node:net';

const [, , upstreamPort] = process.argv;
const server = createServer({ noDelay: true }, (a) => {
  const b = connect({ host: '127.0.0.1', port: Number(upstreamPort), noDelay: true });
  a.on('data', (d) => b.write(d))
    .on('error', () => b.destroy())
    .on('close', () => b.destroy());
  b.on('data', (d) => a.write(d))
    .on('error', () => a.destroy())
    .on('close', () => a.destroy());
});
server.listen({ host: '127.0.0.1', port: 0, backlog: 1024 }, () =>
  console.log(JSON.stringify({ port: server.address().port })),
);
