// A real OpenID server (panva's oidc-provider) that swaps a job's token for its own,
// by RFC 8693 and RFC 7523, and beside it an issuer that plays the pipelines' servers.
//
//   node token-exchange.mjs MODULES
//
// Prints one JSON line, {issuer, pipeline}, as soon as both listen. The pipeline tells
// what it was asked: GET /log; POST /log forgets it.

import http from 'node:http';
import { pathToFileURL } from 'node:url';

const modules = process.argv[2];
const load = (path) => import(pathToFileURL(`${modules}/${path}`).href);
const { Provider } = await load('oidc-provider/lib/index.js');
const jose = await load('jose/dist/webapi/index.js');

const { publicKey, privateKey } = await jose.generateKeyPair('ES256', { extractable: true });
const jwk = { ...(await jose.exportJWK(publicKey)), kid: 'ci', alg: 'ES256', use: 'sig' };
let log = [];
let pipeline = '';

async function signed(query) {
  const claims = { repository: 'o/r', life: query.get('life') ?? '' };
  return new jose.SignJWT(claims)
    .setProtectedHeader({ alg: 'ES256', kid: 'ci' })
    .setIssuer(pipeline)
    .setSubject(query.get('sub') ?? 'repo:o/r:ref:refs/heads/main')
    .setAudience(query.get('audience') ?? 'none')
    .setIssuedAt(query.has('iat') ? +query.get('iat') : undefined)
    .setExpirationTime(query.has('exp') ? +query.get('exp') : '5m')
    .sign(privateKey);
}

const issuing = http.createServer(async (req, res) => {
  const url = new URL(req.url, 'http://127.0.0.1');
  const query = url.searchParams;
  const say = (status, body) => {
    res.statusCode = status;
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(body));
  };
  if (url.pathname === '/log') {
    const found = log;
    if (req.method === 'POST') log = [];
    return say(200, found);
  }
  if (url.pathname === '/jwks') return say(200, { keys: [jwk] });
  // what a test puts into a variable or a file
  if (url.pathname === '/sign') return say(200, { value: await signed(query) });
  log.push({
    method: req.method,
    path: url.pathname,
    query: Object.fromEntries(query),
    authorization: req.headers.authorization ?? '',
    type: req.headers['content-type'] ?? '',
    redirect: req.headers['x-tfs-fedauthredirect'] ?? '',
  });
  if (url.pathname === '/github' && req.headers.authorization === 'bearer job-secret') {
    return say(200, { value: await signed(query) });
  }
  const azure = req.method === 'POST' && req.headers['content-type'] === 'application/json';
  const asked = url.pathname === '/azure' || url.pathname.endsWith('/oidctoken');
  if (asked && azure && query.has('api-version') && req.headers.authorization === 'Bearer job-secret') {
    query.set('audience', query.get('audience') ?? 'api://AzureADTokenExchange');
    return say(200, { oidcToken: await signed(query) });
  }
  if (url.pathname === '/page') {
    res.setHeader('content-type', 'text/html');
    return res.end('<html>sign in</html>');
  }
  if (url.pathname === '/redirect') {
    res.statusCode = 302;
    res.setHeader('location', `${pipeline}/github`);
    return res.end();
  }
  return say(403, { message: 'no' });
});
await new Promise((done) => issuing.listen(0, '127.0.0.1', done));
pipeline = `http://127.0.0.1:${issuing.address().port}`;

const urn = 'urn:ietf:params:oauth:grant-type:';
const EXCHANGE = `${urn}token-exchange`;
const BEARER = `${urn}jwt-bearer`;
const accepting = http.createServer();
await new Promise((done) => accepting.listen(0, '127.0.0.1', done));
const issuer = `http://127.0.0.1:${accepting.address().port}`;
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'robot',
      token_endpoint_auth_method: 'none',
      grant_types: [EXCHANGE, BEARER],
      redirect_uris: [],
      response_types: [],
    },
  ],
  ttl: { ClientCredentials: 600 },
  scopes: ['git'],
  features: { clientCredentials: { enabled: true }, introspection: { enabled: true } },
});
const keys = jose.createRemoteJWKSet(new URL(`${pipeline}/jwks`));

async function swap(ctx, assertion) {
  try {
    const { payload } = await jose.jwtVerify(assertion, keys, {
      issuer: pipeline,
      audience: issuer,
    });
    if (!payload.sub.startsWith('repo:o/r:')) throw new Error('unexpected "sub" claim value');
  } catch (error) {
    ctx.status = 400;
    ctx.body = { error: 'invalid_grant', error_description: error.message };
    return;
  }
  const token = new provider.ClientCredentials({ client: ctx.oidc.client, scope: 'git' });
  ctx.body = {
    access_token: await token.save(),
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'Bearer',
    expires_in: token.expiration,
    scope: 'git',
  };
}
provider.registerGrantType(
  EXCHANGE,
  async (ctx) => {
    const { params } = ctx.oidc;
    log.push({ method: 'POST', path: '/exchange', query: { grant: 'token-exchange' } });
    if (params.subject_token_type !== 'urn:ietf:params:oauth:token-type:jwt') {
      ctx.status = 400;
      ctx.body = { error: 'invalid_request', error_description: 'subject_token_type' };
      return;
    }
    await swap(ctx, params.subject_token);
  },
  ['subject_token', 'subject_token_type', 'audience', 'resource', 'scope', 'requested_token_type'],
);
provider.registerGrantType(
  BEARER,
  async (ctx) => {
    log.push({ method: 'POST', path: '/exchange', query: { grant: 'jwt-bearer' } });
    await swap(ctx, ctx.oidc.params.assertion);
  },
  ['assertion', 'scope'],
);
accepting.on('request', provider.callback());
console.log(JSON.stringify({ issuer, pipeline }));
