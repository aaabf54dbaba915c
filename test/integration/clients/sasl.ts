import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

export type Mechanism = 'PLAIN' | 'SCRAM-SHA-1' | 'SCRAM-SHA-256' | 'DIGEST-MD5';

/** One run of a mechanism: what to say first, what to answer, whether the end is genuine. */
export interface SaslRun {
  initial: string | undefined;
  answer(challenge: string): string;
  /** Checks what came with `<success/>`; throws when the server does not know the password. */
  verify(final: string): void;
}

/** What a client says about channel binding (RFC 5802 §6): it has none, or thinks that the server has none. */
export type BindingFlag = 'n' | 'y';

export function startSasl(
  mechanism: Mechanism,
  name: string,
  password: string,
  domain: string,
  flag: BindingFlag = 'n',
): SaslRun {
  switch (mechanism) {
    case 'PLAIN':
      return {
        initial: `\0${name}\0${password}`,
        answer: () => '',
        verify: () => {},
      };
    case 'SCRAM-SHA-1':
      return scram('sha1', name, password, flag);
    case 'SCRAM-SHA-256':
      return scram('sha256', name, password, flag);
    case 'DIGEST-MD5':
      return digestMd5(name, password, domain);
  }
}

function scram(hash: 'sha1' | 'sha256', name: string, password: string, flag: BindingFlag): SaslRun {
  const nonce = randomBytes(18).toString('base64');
  const bare = `n=${name.replace(/=/g, '=3D').replace(/,/g, '=2C')},r=${nonce}`;
  const hmac = (key: Buffer, text: string) => createHmac(hash, key).update(text).digest();
  let signature = '';
  return {
    initial: `${flag},,${bare}`,
    answer(challenge) {
      if (signature) return ''; // the server's final message came as a challenge
      const fields = new Map(challenge.split(',').map((field) => [field.slice(0, 1), field.slice(2)]));
      const both = fields.get('r') ?? '';
      if (!both.startsWith(nonce)) throw new Error('SCRAM: the server changed the nonce');
      const length = hash === 'sha1' ? 20 : 32;
      const salt = Buffer.from(fields.get('s') ?? '', 'base64');
      const salted = pbkdf2Sync(password, salt, Number(fields.get('i')), length, hash);
      const clientKey = hmac(salted, 'Client Key');
      const withoutProof = `c=${Buffer.from(`${flag},,`).toString('base64')},r=${both}`;
      const message = `${bare},${challenge},${withoutProof}`;
      const proof = hmac(createHash(hash).update(clientKey).digest(), message);
      for (let at = 0; at < proof.length; at += 1) proof[at] = (proof[at] ?? 0) ^ (clientKey[at] ?? 0);
      signature = hmac(hmac(salted, 'Server Key'), message).toString('base64');
      return `${withoutProof},p=${proof.toString('base64')}`;
    },
    verify(final) {
      if (final !== `v=${signature}`) throw new Error('SCRAM: wrong server signature');
    },
  };
}

function digestMd5(name: string, password: string, domain: string): SaslRun {
  const md5 = (data: string | Buffer) => createHash('md5').update(data).digest();
  let answered = false;
  return {
    initial: undefined,
    answer(challenge) {
      if (answered) return '';
      answered = true;
      const field = (key: string) => new RegExp(`${key}="?([^",]*)"?`).exec(challenge)?.[1] ?? '';
      const realm = field('realm') || domain;
      const nonce = field('nonce');
      const cnonce = randomBytes(12).toString('hex');
      const uri = `xmpp/${domain}`;
      const a1 = Buffer.concat([md5(`${name}:${realm}:${password}`), Buffer.from(`:${nonce}:${cnonce}`)]);
      const a2 = md5(`AUTHENTICATE:${uri}`).toString('hex');
      const response = md5(`${md5(a1).toString('hex')}:${nonce}:00000001:${cnonce}:auth:${a2}`).toString(
        'hex',
      );
      const who = `username="${name}",realm="${realm}",nonce="${nonce}",cnonce="${cnonce}"`;
      return `${who},nc=00000001,qop=auth,digest-uri="${uri}",response=${response},charset=utf-8`;
    },
    verify: () => {},
  };
}
