// A real OpenID Connect server (panva's oidc-provider) with knobs for tests.
//
//   node oidc-provider.mjs MODULES OPTIONS.json
//
// Prints one JSON line, {issuer, port, admin}, as soon as it listens. Everything
// below `settings` may be changed while it runs: POST JSON to the admin port.

import * as crypto from 'node:crypto';
import * as fs from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

const [modules, optionsFile] = process.argv.slice(2);
const options = JSON.parse(fs.readFileSync(optionsFile, 'utf8'));
const { Provider } = await import(
  pathToFileURL(`${modules}/oidc-provider/lib/index.js`).href
);

const settings = {
  access_ttl: 3600, // seconds
  refresh_ttl: 14 * 24 * 3600,
  id_ttl: 3600,
  device_ttl: 600,
  rotate: true, // a refresh token is used once; a replay kills its family
  id_token_on_refresh: true,
  every_audience: true, // one refresh token for every resource, as Entra's
  token_format: 'jwt', // or 'opaque'
  strict_offline: false, // offline_access only with prompt=consent (panva's own rule)
  decline: false, // the person says no
  delay: 0, // seconds, before the token endpoint works
  fault: null, // {where, kind, status, retry_after, error, body, times}
  pipeline: '', // the issuer whose tokens are exchanged, with its keys at /jwks
  answer: {}, // merged into every token answer; null takes a key away
  resources: {
    'api://git': 'git',
    'api://packages': 'packages',
    'api://registry/.default': 'api://registry/.default',
  },
};
const defaults = structuredClone(settings);
Object.assign(settings, options.settings);
const initial = structuredClone(settings);

// ---------------------------------------------------------------- the log

function log(event, fields) {
  const line = { event, time: Date.now() / 1000, ...fields };
  fs.appendFileSync(options.log, `${JSON.stringify(line)}\n`);
}

// ---------------------------------------------------------------- the memory

const secretsFile = `${options.log}.secrets`;

let memory = new Map();

class Adapter {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload) {
    memory.set(this.key(id), payload);
  }

  async find(id) {
    return memory.get(this.key(id));
  }

  async findWhere(test) {
    for (const [key, payload] of memory) {
      if (key.startsWith(`${this.model}:`) && test(payload)) return payload;
    }
    return undefined;
  }

  async findByUid(uid) {
    return this.findWhere((payload) => payload.uid === uid);
  }

  async findByUserCode(code) {
    return this.findWhere((payload) => payload.userCode === code);
  }

  async consume(id) {
    memory.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    memory.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of memory) {
      if (payload.grantId === grantId) memory.delete(key);
    }
  }
}

// ---------------------------------------------------------------- the provider

// A pipeline's token is exchanged for one of ours (RFC 8693), by the client `robot`.
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

async function exchange(ctx) {
  const { client, params } = ctx.oidc;
  try {
    const jose = await import(pathToFileURL(`${modules}/jose/dist/webapi/index.js`).href);
    const trusted = jose.createRemoteJWKSet(new URL(`${settings.pipeline}/jwks`));
    await jose.jwtVerify(params.subject_token, trusted, {
      issuer: settings.pipeline,
      audience: [provider.issuer, 'api://AzureADTokenExchange'], // Azure Pipelines has no other
    });
  } catch (error) {
    ctx.status = 400;
    ctx.body = { error: 'invalid_grant', error_description: error.message };
    return;
  }
  const token = new provider.ClientCredentials({ client, scope: params.scope });
  const [resource] = wanted(params.scope);
  token.resourceServer = new provider.ResourceServer(resource, resourceServer(resource));
  ctx.body = {
    access_token: await token.save(),
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'Bearer',
    expires_in: token.expiration,
    scope: params.scope,
  };
}

const resourceServer = (resource) => ({
  audience: resource,
  scope: settings.resources[resource] ?? '',
  accessTokenTTL: settings.access_ttl,
  accessTokenFormat: settings.token_format,
});

let keys = [];

function newKey() {
  const { privateKey } = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
  const kid = crypto.randomBytes(8).toString('hex');
  return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' };
}

function wanted(scope) {
  const scopes = new Set((scope ?? '').split(' '));
  return Object.keys(settings.resources).filter((resource) => (
    settings.resources[resource].split(' ').some((name) => scopes.has(name))
  ));
}

function account(sub) {
  const name = sub.replace(/^sub-/, '');
  return {
    accountId: sub,
    claims: async () => ({
      sub,
      name,
      preferred_username: name,
      email: name.includes('@') ? name : `${name}@corp.test`,
      email_verified: true,
    }),
  };
}

async function grantEverything(ctx) {
  const { client, session } = ctx.oidc;
  const { Grant } = ctx.oidc.provider;
  const known = session.grantIdFor(client.clientId);
  const grant = (known && await Grant.find(known))
    || new Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope('openid profile email offline_access');
  for (const [resource, scope] of Object.entries(settings.resources)) {
    grant.addResourceScope(resource, scope);
  }
  await grant.save();
  return grant;
}

function configuration() {
  return {
    adapter: Adapter,
    jwks: { keys },
    clients: [
      {
        client_id: 'hushkey',
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        grant_types: [
          'authorization_code',
          'refresh_token',
          'urn:ietf:params:oauth:grant-type:device_code',
        ],
        response_types: ['code'],
        redirect_uris: [
          'http://127.0.0.1/',
          'http://127.0.0.1/callback',
          'http://[::1]/',
          'http://localhost',
        ],
      },
      {
        client_id: 'robot',
        token_endpoint_auth_method: 'none',
        grant_types: [EXCHANGE],
        response_types: [],
        redirect_uris: [],
      },
      {
        client_id: 'judge', // a resource server: it introspects
        client_secret: 'judge-secret',
        grant_types: [],
        response_types: [],
        redirect_uris: [],
      },
    ],
    claims: {
      openid: ['sub', 'preferred_username', 'email'],
      profile: ['name'],
      email: ['email_verified'],
    },
    conformIdTokenClaims: false,
    cookies: { keys: ['throwaway'] },
    expiresWithSession: async () => false,
    features: {
      devInteractions: { enabled: false },
      deviceFlow: { enabled: true },
      introspection: { enabled: true, allowedPolicy: async () => true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: async () => true,
        defaultResource: async (ctx, client, oneOf) => {
          const asked = wanted(ctx.oidc.params.scope);
          if (!oneOf) return asked;
          return asked.find((resource) => oneOf.includes(resource)) ?? oneOf[0];
        },
        getResourceServerInfo: async (ctx, resource) => resourceServer(resource),
      },
      revocation: { enabled: true },
    },
    findAccount: async (ctx, sub) => account(sub),
    interactions: { url: (ctx, { uid }) => `${options.path}/interaction/${uid}` },
    // Called between "access token made" and "refresh token made": the one place
    // where the refresh token can be given more than the request asked for.
    issueRefreshToken: async (ctx, client, source) => {
      if (!client.grantTypeAllowed('refresh_token')) return false;
      if (!source.scopes.has('offline_access')) return false;
      if (settings.every_audience) {
        const all = Object.keys(settings.resources);
        const first = [source.resource ?? []].flat();
        source.resource = [...new Set([...first, ...all])];
        source.scope = [
          ...new Set(`${source.scope} ${Object.values(settings.resources).join(' ')}`.split(' ')),
        ].join(' ');
      }
      return true;
    },
    loadExistingGrant: grantEverything,
    rotateRefreshToken: () => settings.rotate,
    scopes: ['openid', 'offline_access', 'profile', 'email'],
    ttl: {
      AccessToken: () => settings.access_ttl,
      AuthorizationCode: 60,
      DeviceCode: () => settings.device_ttl,
      Grant: 14 * 24 * 3600,
      IdToken: () => settings.id_ttl,
      Interaction: 3600,
      RefreshToken: () => settings.refresh_ttl,
      Session: 14 * 24 * 3600,
    },
  };
}

// What was given and taken, for tests that look where it must not be.
function logSecrets(ctx, params) {
  const { access_token, refresh_token, id_token, device_code } = ctx.body ?? {};
  const given = { access_token, refresh_token, id_token, device_code };
  const { code, code_verifier, refresh_token: old, device_code: polled } = params;
  const taken = { code, code_verifier, refresh_token: old, device_code: polled };
  const { state } = params;
  const location = ctx.response.get('location');
  const query = location?.includes('?') ? new URL(location, 'http://x').searchParams : null;
  for (const found of [given, taken, { state }, { code: query?.get('code') }]) {
    if (Object.values(found).some((value) => typeof value === 'string')) {
      fs.appendFileSync(secretsFile, `${JSON.stringify(found)}\n`);
    }
  }
}

async function watch(ctx, next) {
  const started = Date.now() / 1000;
  if (ctx.path === '/token' && ctx.method === 'POST' && settings.delay) {
    await sleep(settings.delay * 1000);
  }
  await next();
  const { route, params = {}, client, entities = {} } = ctx.oidc ?? {};
  logSecrets(ctx, params);
  if (route === 'token') {
    if (ctx.body && !ctx.body.error) {
      if (params.grant_type === 'refresh_token' && !settings.id_token_on_refresh) {
        delete ctx.body.id_token;
      }
      for (const [key, value] of Object.entries(settings.answer)) {
        if (value === null) delete ctx.body[key];
        else ctx.body[key] = value;
      }
    }
    log('token', {
      started,
      grant_type: params.grant_type ?? null,
      client: client?.clientId ?? params.client_id ?? null,
      status: ctx.status,
      error: ctx.body?.error ?? null,
      error_description: ctx.body?.error_description ?? null,
      asked: params.scope ?? null,
      granted: ctx.body?.scope ?? null,
      account: entities.Account?.accountId?.replace(/^sub-/, '') ?? null,
    });
  } else if (['authorization', 'device_authorization', 'revocation'].includes(route)) {
    log(route, {
      client: params.client_id ?? client?.clientId ?? null,
      status: ctx.status,
      error: ctx.body?.error ?? null,
      asked: params.scope ?? null,
      prompt: params.prompt ?? null,
      login_hint: params.login_hint ?? null,
      token_type_hint: params.token_type_hint ?? null,
    });
  } else if (['discovery', 'jwks', 'introspection'].includes(route)) {
    log(route, { status: ctx.status });
  }
}

let provider;
let answer;

function build(issuer) {
  provider = new Provider(issuer, configuration());
  provider.use(watch);
  provider.registerGrantType(
    EXCHANGE,
    exchange,
    ['subject_token', 'subject_token_type', 'scope', 'requested_token_type', 'audience'],
  );
  answer = provider.callback();
}

// ---------------------------------------------------------------- the login page

const escape = (text) => String(text ?? '').replace(
  /[&<>"]/g,
  (character) => `&#${character.charCodeAt(0)};`,
);

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function interaction(request, response) {
  const { prompt, params } = await provider.interactionDetails(request, response);
  const finish = (result) => provider.interactionFinished(
    request,
    response,
    result,
    { mergeWithLastSubmission: true },
  );
  const form = request.method === 'POST' ? new URLSearchParams(await body(request)) : null;
  if (settings.decline || form?.has('decline')) {
    log('declined', { client: params.client_id });
    return finish({ error: 'access_denied', error_description: 'The person said no.' });
  }
  if (prompt.name === 'consent') return finish({ consent: {} });
  if (form?.get('login')) {
    log('login', { account: form.get('login'), client: params.client_id });
    return finish({ login: { accountId: `sub-${form.get('login')}` } });
  }
  response.setHeader('content-type', 'text/html; charset=utf-8');
  return response.end(`<!doctype html><html><head><title>Sign in</title></head><body>
<h1>Sign in</h1>
<form method="post" action="${options.path}/interaction/${prompt && request.url.split('/').pop()}">
<label>User <input type="text" name="login" value="${escape(params.login_hint)}" autofocus></label>
<label>Password <input type="password" name="password"></label>
<button type="submit" name="decline" value="yes">Cancel</button>
<button type="submit" name="continue" value="yes">Sign in</button>
</form></body></html>`);
}

// ---------------------------------------------------------------- faults

const ENDPOINTS = {
  '/.well-known/openid-configuration': 'discovery',
  '/auth': 'authorize',
  '/device/auth': 'device',
  '/jwks': 'jwks',
  '/token': 'token',
  '/token/revocation': 'revocation',
};
const CAPTIVE = '<!doctype html><html><head><title>Wi-Fi login</title></head>'
  + '<body><form action="/accept"><button>I accept</button></form></body></html>';

function takeFault(path) {
  const { fault } = settings;
  if (!fault || fault.times === 0) return null;
  const where = fault.where ?? 'token';
  if (where !== 'any' && where !== ENDPOINTS[path]) return null;
  if (typeof fault.times === 'number') fault.times -= 1;
  return fault;
}

async function fail(fault, request, response, path) {
  const form = new URLSearchParams(await body(request));
  const status = { captive: 200, hang: 0, drop: 0, error: fault.status ?? 400 }[fault.kind]
    ?? fault.status ?? 503;
  log(ENDPOINTS[path] ?? 'other', {
    fault: fault.kind,
    grant_type: form.get('grant_type'),
    client: form.get('client_id'),
    asked: form.get('scope'),
    error: fault.error ?? null,
    status,
  });
  if (fault.kind === 'hang') return;
  if (fault.kind === 'drop') {
    request.socket.destroy();
    return;
  }
  const headers = { 'content-type': 'text/html; charset=utf-8' };
  let text = fault.body ?? `<html><body><h1>${status}</h1></body></html>`;
  if (fault.kind === 'captive') text = CAPTIVE;
  if (fault.kind === 'error') {
    headers['content-type'] = 'application/json';
    text = JSON.stringify({
      error: fault.error ?? 'invalid_grant',
      error_description: fault.body ?? 'a test asked for this',
    });
  }
  if (fault.retry_after != null) headers['retry-after'] = String(fault.retry_after);
  response.writeHead(status, headers);
  response.end(text);
}

// ---------------------------------------------------------------- the two doors

async function serve(request, response) {
  const { path } = options;
  if (path && request.url !== path && !request.url.startsWith(`${path}/`)) {
    response.writeHead(404).end('nothing here');
    return;
  }
  request.originalUrl = request.url;
  request.url = request.url.slice(path.length) || '/';
  const name = request.url.split('?')[0];
  const fault = takeFault(name);
  if (fault?.kind === 'lose') {
    // The work is done, the answer never arrives.
    response.end = () => request.socket.destroy();
  } else if (fault) {
    await fail(fault, request, response, name);
    return;
  }
  if (name.startsWith('/interaction/')) {
    await interaction(request, response);
    return;
  }
  if (name === '/auth' && request.method === 'GET' && !settings.strict_offline) {
    const url = new URL(request.url, 'http://x');
    const { searchParams: query } = url;
    const prompts = new Set((query.get('prompt') ?? '').split(' ').filter(Boolean));
    if (query.get('scope')?.includes('offline_access') && !prompts.has('none')) {
      query.set('prompt', [...prompts.add('consent')].join(' '));
      request.url = `${url.pathname}?${query}`;
      request.originalUrl = path + request.url;
    }
  }
  answer(request, response);
}

const COMMANDS = {
  set: (value) => Object.assign(settings, value),
  reset: () => { // as it was started, and nobody has ever signed in
    for (const key of Object.keys(settings)) delete settings[key];
    Object.assign(settings, structuredClone(initial));
    memory = new Map();
    fs.truncateSync(options.log);
    fs.truncateSync(secretsFile);
  },
  defaults: () => Object.assign(settings, structuredClone(defaults)),
  forget: ({ account: name }) => { // every token and session, or those of one account
    for (const [key, payload] of memory) {
      if (!name || payload.accountId === `sub-${name}`) memory.delete(key);
    }
  },
  rotate_keys: ({ keep = true }) => {
    keys = [newKey(), ...(keep ? keys : [])];
    build(provider.issuer);
  },
};

const guard = (handler) => (request, response) => {
  handler(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent) response.writeHead(500);
    response.end(`${error.name}: ${error.message}`);
  });
};

const admin = http.createServer(guard(async (request, response) => {
  const command = COMMANDS[request.url.slice(1)];
  const value = JSON.parse(await body(request) || '{}');
  if (command) command(value);
  else if (request.url !== '/state') response.statusCode = 404;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(settings));
}));

const server = options.certificate
  ? https.createServer({
    cert: fs.readFileSync(options.certificate),
    key: fs.readFileSync(options.key),
  }, guard(serve))
  : http.createServer(guard(serve));

const listen = (what, port, host) => new Promise((resolve, reject) => {
  what.once('error', reject);
  what.listen(port, host, () => resolve(what.address().port));
});

if (fs.existsSync(options.keys)) keys = JSON.parse(fs.readFileSync(options.keys, 'utf8'));
else keys = [newKey()];
fs.writeFileSync(options.keys, JSON.stringify(keys), { mode: 0o600 });
fs.appendFileSync(options.log, '');
fs.appendFileSync(secretsFile, '', { mode: 0o600 });

const port = await listen(server, options.port, '127.0.0.1');
const scheme = options.certificate ? 'https' : 'http';
const issuer = `${scheme}://${options.host}:${port}${options.path}`;
build(issuer);
const adminPort = await listen(admin, 0, '127.0.0.1');
console.log(JSON.stringify({ issuer, port, admin: adminPort }));
