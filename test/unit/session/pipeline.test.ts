import { describe, expect, test } from 'vitest';
import {
  type DiscoAnswer,
  type Feature,
  type FeatureContext,
  type FeatureSession,
  type IqAnswer,
  type Knowledge,
  KnowledgeKey,
  PASS,
  type PassingStanza,
  type Verdict,
  type Watch,
} from '../../../src/session/feature.js';
import { HEADER, MECHANISMS, Playbook, SERVER_HEADER } from './playbook.js';

/** A feature made of its handler, for one test. */
function feature(
  name: string,
  watches: readonly Watch[],
  onStanza: (stanza: PassingStanza, context: FeatureContext, watch: number) => Verdict,
  more: Partial<Feature> = {},
): Feature {
  return {
    name,
    watches,
    open: (context) => ({ onStanza: (stanza, watch) => onStanza(stanza, context, watch) }),
    ...more,
  };
}

const UP_MESSAGES: Watch = { direction: 'to-server', stanza: 'message' };
const DOWN_MESSAGES: Watch = { direction: 'to-client', stanza: 'message' };
const R = "<r xmlns='urn:xmpp:sm:3'/>";
const a = (h: number) => `<a xmlns='urn:xmpp:sm:3' h='${h}'/>`;

describe('features declare what they watch', () => {
  test('by direction, kind, type, child and the shape of the far address', () => {
    const seen: string[] = [];
    const watching = feature(
      'watching',
      [
        { direction: 'to-client', stanza: 'presence', types: ['', 'unavailable'], address: ['full'] },
        {
          direction: 'to-client',
          stanza: 'message',
          child: { namespace: 'urn:xmpp:receipts', name: 'received' },
        },
        { direction: 'to-server', stanza: 'iq', types: ['get'], address: ['account', 'domain'] },
      ],
      (stanza, _, watch) => {
        seen.push(`${watch}:${stanza.frame.id}`);
        return PASS;
      },
    );
    const play = new Playbook({ features: [watching] }).bound();
    const down = [
      "<presence id='p1' from='b@example.org/x'/>",
      "<presence id='p2' from='b@example.org/x' type='unavailable'/>",
      "<presence id='p3' from='b@example.org/x' type='error'/>",
      "<presence id='p4' from='b@example.org'/>",
      "<message id='m1'><received xmlns='urn:xmpp:receipts'/></message>",
      "<message id='m2'><request xmlns='urn:xmpp:receipts'/></message>",
      "<message id='m3'><received xmlns='urn:other'/></message>",
    ].join('');
    const up = [
      "<iq id='i1' type='get'><q xmlns='x'/></iq>",
      "<iq id='i2' type='get' to='example.org'><q xmlns='x'/></iq>",
      "<iq id='i3' type='get' to='A@example.org'><q xmlns='x'/></iq>",
      "<iq id='i4' type='get' to='b@example.org'><q xmlns='x'/></iq>",
      "<iq id='i5' type='set'><q xmlns='x'/></iq>",
      "<message id='m4'/>",
    ].join('');
    play.server(down).toClient(down).client(up).toServer(up).done();
    expect(seen).toEqual(['0:p1', '0:p2', '1:m1', '2:i1', '2:i2', '2:i3']);
  });

  test('to the server they are met in the order of the list, to the client in the opposite one', () => {
    const order: string[] = [];
    const named = (name: string) =>
      feature(name, [UP_MESSAGES, DOWN_MESSAGES], () => {
        order.push(name);
        return PASS;
      });
    new Playbook({ features: [named('outer'), named('inner')] })
      .bound()
      .client("<message id='1'/>")
      .toServer("<message id='1'/>")
      .server("<message id='2'/>")
      .toClient("<message id='2'/>")
      .done();
    expect(order).toEqual(['outer', 'inner', 'inner', 'outer']);
  });

  test('children that an edit adds or takes away count for later features, and edits add up', () => {
    const seen: string[] = [];
    const editing = feature('editing', [UP_MESSAGES], (stanza) => {
      const x = stanza.frame.findChild('x', 'urn:x');
      if (x >= 0) stanza.edit().removeChild(x);
      stanza.edit().appendChild("<y xmlns='urn:y'/>");
      return { action: 'edit', reason: 'test-injected' };
    });
    const watching = (namespace: string) =>
      feature(namespace, [{ ...UP_MESSAGES, child: { namespace } }], (stanza) => {
        seen.push(`${namespace} ${stanza.frame.toString()}`);
        stanza.edit().setAttribute('id', '2');
        return { action: 'edit', reason: 'test-injected' };
      });
    new Playbook({ features: [editing, watching('urn:x'), watching('urn:y'), watching('urn:z')] })
      .bound()
      .client("<message><x xmlns='urn:x'/></message>")
      .toServer("<message id='2'><y xmlns='urn:y'/></message>")
      .done();
    expect(seen).toEqual(["urn:y <message><y xmlns='urn:y'/></message>"]);
  });

  test('an edit without such a verdict does not count', () => {
    const doubting = feature('doubting', [UP_MESSAGES], (stanza) => {
      stanza.edit().setAttribute('id', '2');
      return PASS;
    });
    const adding = feature('adding', [UP_MESSAGES], (stanza) => {
      stanza.edit().appendChild('<body/>');
      return { action: 'edit', reason: 'test-injected' };
    });
    new Playbook({ features: [doubting] }).bound().client('<message/>').toServer('<message/>').done();
    new Playbook({ features: [doubting, adding] })
      .bound()
      .client('<message/>')
      .toServer('<message><body/></message>')
      .done();
  });

  test('later features see what earlier ones have edited', () => {
    const seen: (string | undefined)[] = [];
    const editing = feature('editing', [UP_MESSAGES], (stanza) => {
      stanza.edit().setAttribute('to', 'c@example.org');
      return { action: 'edit', reason: 'test-injected' };
    });
    const looking = feature('looking', [UP_MESSAGES], (stanza) => {
      seen.push(stanza.frame.to);
      return PASS;
    });
    new Playbook({ features: [editing, looking] })
      .bound()
      .client("<message to='b@example.org'/>")
      .toServer("<message to='c@example.org'/>")
      .counts('stanza_changed test-injected', 1)
      .done();
    expect(seen).toEqual(['c@example.org']);
  });

  test('a feature that is switched off for the domain sees nothing', () => {
    const never = feature('never', [UP_MESSAGES], () => {
      throw new Error('it was switched off');
    });
    const domain = {
      name: 'example.org',
      upstreams: [],
      hold: { seconds: 0, stanzas: 1, bytes: 1 },
      features: { never: false },
    };
    new Playbook({ features: [never], config: { domains: new Map([['example.org', domain]]) } })
      .bound()
      .client('<message/>')
      .toServer('<message/>')
      .done();
  });

  test('knowledge sees every stanza first, and is there for those who need it alone', () => {
    class Count implements FeatureSession {
      seen = 0;
      onStanza(): Verdict {
        this.seen += 1;
        return PASS;
      }
    }
    const key = new KnowledgeKey<Count>('count');
    const count: Knowledge<Count> = { name: 'count', key, watches: [DOWN_MESSAGES], open: () => new Count() };
    const known: number[] = [];
    const reading = feature(
      'reading',
      [DOWN_MESSAGES],
      (_, context) => {
        known.push(context.know(key).seen);
        return PASS;
      },
      { needs: [count] },
    );
    const greedy = feature('greedy', [UP_MESSAGES], (_, context) => {
      context.know(key);
      return PASS;
    });
    const play = new Playbook({ features: [greedy, reading] }).bound();
    play.server('<message/><message/>').toClient('<message/><message/>');
    expect(known).toEqual([1, 2]);
    expect(() => play.client('<message/>')).toThrow('greedy asks for count without needing it');
    play.done();
  });
});

describe('order: what a feature sends comes behind the stanza that caused it', () => {
  test('towards either leg', () => {
    const echoing = feature('echoing', [UP_MESSAGES], (stanza, context) => {
      context.send('server', "<message id='second'/>", 'test-injected');
      context.send('client', `<message id='echo-${stanza.frame.id}'/>`, 'test-injected');
      return PASS;
    });
    new Playbook({ features: [echoing] })
      .bound()
      .client("<message id='first'/><message id='third'/>")
      .toServer("<message id='first'/><message id='second'/><message id='third'/><message id='second'/>")
      .toClient("<message id='echo-first'/><message id='echo-third'/>")
      .counts('stanza_injected test-injected', 4)
      .done();
  });

  test('stream management counts what was dropped at its place and what was injected not at all', () => {
    const dropping = feature('dropping', [UP_MESSAGES], (stanza, context) => {
      if (stanza.frame.id !== 'drop') return PASS;
      context.send('server', "<message id='other'/>", 'test-injected');
      context.send('server', "<message id='another'/>", 'test-injected');
      return { action: 'drop', reason: 'test-dropped' };
    });
    new Playbook({ features: [dropping] })
      .bound({ sm: true })
      .clientHasSm()
      .client(`<message id='1'/><message id='drop'/><message id='2'/>${R}`)
      .toServer(`<message id='1'/><message id='other'/><message id='another'/><message id='2'/>${R}`)
      .toClient(a(0))
      .server(a(1))
      .toClient(a(2))
      .toServer(R)
      .server(a(3))
      .toServer(R)
      .server(a(4))
      .toClient(a(3))
      .counts('stanza_dropped test-dropped', 1)
      .done();
  });
});

describe('requests of the proxy’s own', () => {
  function asking(to: string | undefined, answers: IqAnswer[]): Feature {
    return feature('asking', [UP_MESSAGES], (_, context) => {
      context.request(
        { leg: 'server', type: 'get', ...(to === undefined ? {} : { to }), payload: "<q xmlns='x'/>" },
        (answer) => answers.push(answer),
      );
      return { action: 'handled', reason: 'test-dropped' };
    });
  }

  test('the answer is taken by id, sender and type, and the client never sees it', () => {
    const answers: IqAnswer[] = [];
    new Playbook({ features: [asking('room@muc.example.org', answers)] })
      .bound()
      .client('<message/>')
      .toServer("<iq type='get' id='id1' to='room@muc.example.org'><q xmlns='x'/></iq>")
      .server("<iq type='get' id='id1' from='room@muc.example.org'><q xmlns='x'/></iq>")
      .toClient("<iq type='get' id='id1' from='room@muc.example.org'><q xmlns='x'/></iq>")
      .server("<iq type='result' id='id1' from='mallory@example.org/x'><q xmlns='x'/></iq>")
      .toClient('')
      .counts('iq_request iq-answer-not-from-addressee', 1)
      .server("<iq type='result' id='id1' from='ROOM@muc.example.org'><q xmlns='x'><y/></q></iq>")
      .toClient('')
      .server("<iq type='result' id='id1' from='room@muc.example.org'/>")
      .toClient("<iq type='result' id='id1' from='room@muc.example.org'/>")
      .done();
    expect(answers).toHaveLength(1);
    expect(answers[0]?.kind).toBe('result');
  });

  test('RFC 6120 §8.1.2.1: the account may answer without from, a room may not', () => {
    const answers: IqAnswer[] = [];
    new Playbook({ features: [asking(undefined, answers)] })
      .bound()
      .client('<message/>')
      .toServer(/^<iq type='get' id='id1'>/)
      .server(
        "<iq type='error' id='id1'><error type='cancel'><feature-not-implemented xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
      )
      .done();
    expect(answers).toMatchObject([{ kind: 'error', condition: 'feature-not-implemented' }]);

    const none: IqAnswer[] = [];
    new Playbook({ features: [asking('room@muc.example.org', none)] })
      .bound()
      .client('<message/>')
      .toServer(/^<iq /)
      .server("<iq type='result' id='id1'/>")
      .done();
    expect(none).toEqual([]);
  });

  test('what is not answered times out, and what the leg takes with it is lost', () => {
    const answers: IqAnswer[] = [];
    const play = new Playbook({ features: [asking(undefined, answers)] }).bound();
    play.client('<message/>').toServer(/^<iq /).passes(31);
    expect(answers).toEqual([{ kind: 'timeout' }]);
    play
      .client('<message/>')
      .toServer(/^<iq /)
      .lost('server')
      .toClient(/system-shutdown/);
    play.commands('destroy server', 'end client').done();
    expect(answers).toEqual([{ kind: 'timeout' }, { kind: 'leg-lost' }]);
  });
});

describe('requests: limits and quirks', () => {
  test('the 65th open request is refused, later and not from inside the call', () => {
    const answers: string[] = [];
    const greedy = feature('greedy', [UP_MESSAGES], (_, context) => {
      for (let i = 0; i < 65; i++) {
        context.request({ leg: 'server', type: 'get', payload: "<q xmlns='x'/>" }, ({ kind }) =>
          answers.push(kind),
        );
      }
      expect(answers).toEqual([]);
      return PASS;
    });
    const play = new Playbook({ features: [greedy] }).bound();
    play.client('<message/>').toServer(/^<message\/>(<iq [^>]*><q xmlns='x'\/><\/iq>){64}$/);
    // That another one is answered meanwhile does not put it off.
    play.server("<iq type='result' id='id1'/>").passes(0);
    expect(answers).toEqual(['result', 'refused']);
    play.done();
  });

  test('12.13 mu-conference: a ping of the proxy’s own that comes back as it is has been answered', () => {
    const answers: string[] = [];
    const pinging = feature('pinging', [UP_MESSAGES], (_, context) => {
      context.request(
        {
          leg: 'server',
          type: 'get',
          to: 'room@muc.example.org/nick',
          payload: "<ping xmlns='urn:xmpp:ping'/>",
        },
        ({ kind }) => answers.push(kind),
      );
      return PASS;
    });
    new Playbook({ features: [pinging] })
      .bound()
      .client('<message/>')
      .toServer(/ping/)
      .server("<iq type='get' id='id1' from='room@muc.example.org/nick'><ping xmlns='urn:xmpp:ping'/></iq>")
      .toClient('')
      .done();
    expect(answers).toEqual(['result']);
  });
});

describe('time is an event', () => {
  test('a feature is woken with its own token, once, and not before', () => {
    const woken: string[] = [];
    const sleeping: Feature = {
      name: 'sleeping',
      watches: [],
      open: (context) => {
        context.wakeAt('one', context.now + 5_000);
        context.wakeAt('two', context.now + 10_000);
        context.wakeAt('two', context.now + 20_000);
        return {
          onWakeup: (token) => {
            woken.push(token);
            context.send('client', `<message id='${token}'/>`, 'test-injected');
          },
        };
      },
    };
    const play = new Playbook({ features: [sleeping] }).bound();
    play.passes(4).toClient('').passes(1).toClient("<message id='one'/>").passes(10).toClient('');
    play.passes(5).toClient("<message id='two'/>").passes(60).toClient('').done();
    expect(woken).toEqual(['one', 'two']);
  });
});

describe('XEP-0030: discovery answers passing by can be amended', () => {
  const amending = (entities: string[]): Feature => ({
    name: 'amending',
    watches: [],
    amendsDisco: true,
    open: () => ({
      onDisco: (answer: DiscoAnswer) => {
        entities.push(answer.entity);
        return answer.entity === 'muc-room' ? { add: ['urn:new'], hide: ['urn:old'] } : undefined;
      },
    }),
  });
  const answer = (from: string, body: string) =>
    `<iq type='result' id='d1' from='${from}'><query xmlns='http://jabber.org/protocol/disco#info'>${body}</query></iq>`;

  test('features are added and hidden, and the rest stays', () => {
    const entities: string[] = [];
    const room =
      "<identity category='conference' type='text'/><feature var='urn:old'/><feature var='urn:kept'/>";
    const play = new Playbook({ features: [amending(entities)] }).bound();
    play
      .server(answer('room@muc.example.org', room))
      .toClient(/<feature var='urn:kept'\/><feature var='urn:new'\/><\/query><\/iq>$/)
      .counts('stanza_changed disco-amended', 1);
    const service = answer('muc.example.org', "<identity category='conference' type='text'/>");
    const server = answer('example.org', "<identity category='server' type='im'/>");
    const account = answer('a@example.org', "<identity category='account' type='registered'/>");
    play
      .server(service + server + account)
      .toClient(service + server + account)
      .done();
    expect(entities).toEqual(['muc-room', 'muc-service', 'server', 'account']);
  });

  test('a hash of what the server says of itself is not shown where that may be amended', () => {
    const hashes =
      "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://prosody.im' ver='x'/><c xmlns='urn:xmpp:caps'><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>y</hash></c>";
    const shown = (features: readonly Feature[]) => {
      const play = new Playbook({ features })
        .client(HEADER)
        .sendsOnly()
        .connected()
        .toServer(HEADER)
        .server(`${SERVER_HEADER}<stream:features>${hashes}${MECHANISMS}</stream:features>`)
        .sendsOnly();
      return play.takeSent('client');
    };
    expect(shown([])).toContain("ver='x'");
    expect(shown([])).toContain('urn:xmpp:caps');
    expect(shown([amending([])])).not.toMatch(/ver='x'|urn:xmpp:caps/);
  });
});
