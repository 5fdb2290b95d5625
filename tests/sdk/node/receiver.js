// Receives callbacks as a customer's program does, and checks each with the validators that the Node SDK brings along.
'use strict';

const { createHash, createHmac, createSecretKey } = require('crypto');
const http = require('http');
const querystring = require('querystring');
const legacy = require('messagebird/lib/signature');
const jwt = require('messagebird/lib/webhook-signature-jwt');
const { assert, checkTime, pause, required } = require('./driver');

const SIGNING_KEY = required('ROOKERY_SIGNING_KEY');
const secret = (text) => createSecretKey(Buffer.from(text, 'utf8'));

const callbacks = [];
const tokens = new Set();
let origin;

/** Starts it on a free port; gives what URLs to it begin with. */
async function listen() {
  const server = http.createServer((request, response) => {
    const at = Date.now();
    const body = [];
    request.on('data', (piece) => body.push(piece));
    request.on('end', () => {
      const callback = { at, method: request.method, target: request.url, headers: request.headers, body: Buffer.concat(body) };
      callback.query = querystring.parse(request.url.split('?')[1]);
      const before = callbacks.filter((one) => one.target === callback.target).length;
      callbacks.push(callback);
      callback.checked = check(callback);
      callback.checked.catch(() => {}); // `about` tells it
      // What the path asks for at the first attempt; all is well at the second.
      const status = before > 0 ? 200 : { busy: 500, moved: 302 }[request.url.split(/[/?]/)[1]] || 200;
      response.writeHead(status, status === 302 ? { Location: `${origin}/elsewhere` } : {}).end();
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  server.unref();
  origin = `http://127.0.0.1:${server.address().port}`;
  return origin;
}

/** The URL as it was called: of a server with a port of its own, the SDK's Express helper would lose the port. */
const url = (callback) => `http://${callback.headers.host}${callback.target}`;

const token = (callback) => callback.headers[jwt.SIGNATURE_HEADER_NAME];
const claims = (callback) => JSON.parse(Buffer.from(token(callback).split('.')[1], 'base64url'));

/** By the SDK. No token is taken twice. */
async function check(callback) {
  const fresh = (jti) => !tokens.has(jti) && tokens.add(jti);
  await jwt.verify(url(callback), callback.body, token(callback), secret(SIGNING_KEY), new jwt.VerifyOptions(true, true, undefined, fresh));
  assert.equal(checkLegacy(callback, SIGNING_KEY), true);
  // What no validator looks at.
  assert.deepEqual([callback.method, callback.body.length], ['GET', 0]);
  assert.equal(callback.target.split('?')[1], form([...new URLSearchParams(callback.target.split('?')[1])].sort(byKey)));
  const { iss, nbf, exp, jti, url_hash: hash, ...rest } = claims(callback);
  assert.deepEqual({ iss, hash, rest }, { iss: 'MessageBird', hash: createHash('sha256').update(url(callback)).digest('hex'), rest: {} });
  assert.match(jti, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const stamp = Number(callback.headers['messagebird-request-timestamp']);
  assert.deepEqual([nbf, exp], [stamp - 5, stamp + 60]);
  assert.ok(Math.abs(callback.at / 1000 - stamp) < 10, `signed at ${stamp}, come at ${callback.at}`);
  checkTime('statusDatetime', callback.query.statusDatetime);
}

const byKey = ([one], [other]) => (one < other ? -1 : Number(one > other));
const form = (pairs) => new URLSearchParams(pairs).toString();

/** The SDK's older validator, whose encoder is told to write a space as forms do: alone it writes `%20`. */
function checkLegacy(callback, key) {
  const { escape } = querystring;
  querystring.escape = (text) => escape(text).replace(/%20/g, '+');
  try {
    return legacy.validate({ headers: callback.headers, query: { ...callback.query } }, key);
  } finally {
    querystring.escape = escape;
  }
}

/** Whatever is not as it was signed must be refused, by both validators. */
async function checkRefusals(callback) {
  const verify = (changes = {}) =>
    jwt.verify(changes.url || url(callback), changes.body || null, changes.token || token(callback), secret(changes.key || SIGNING_KEY), changes.options);
  assert.equal(await verify(), true);
  const options = (then) => new jwt.VerifyOptions(true, true, { issuer: 'MessageBird', algorithms: ['HS256'], clockTolerance: 5, currentDate: new Date(callback.at + then) });
  const [head, , mac] = token(callback).split('.');
  const forged = Buffer.from(JSON.stringify({ ...claims(callback), exp: 4e9 })).toString('base64url');
  const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
  const refused = {
    'another value': [{ url: url(callback).replace('status=', 'status=x') }, /url_hash/],
    'another host': [{ url: url(callback).replace('127.0.0.1', 'localhost') }, /url_hash/],
    'another order': [{ url: url(callback).replace(/\?([^&]*)&(.*)$/, '?$2&$1') }, /url_hash/],
    'a body': [{ body: Buffer.from('{}') }, /payload/],
    'another key': [{ key: [...SIGNING_KEY].reverse().join('') }, /signature verification failed/],
    'other claims': [{ token: [head, forged, mac].join('.') }, /signature verification failed/],
    'no algorithm': [{ token: [none, forged, ''].join('.') }, /invalid signature/],
    'too late': [{ options: options(120_000) }, /exp/],
    'too early': [{ options: options(-120_000) }, /nbf/],
  };
  for (const [what, [changes, reason]] of Object.entries(refused)) {
    await assert.rejects(verify(changes), reason, what);
  }
  const differs = { message: 'Signatures not match.' };
  assert.throws(() => checkLegacy({ ...callback, query: { ...callback.query, status: 'x' } }, SIGNING_KEY), differs);
  assert.throws(() => checkLegacy(callback, `${SIGNING_KEY}x`), differs);
  // Without help it fails on every report: the vendor's own reasons have a space in them.
  assert.throws(() => legacy.validate({ headers: callback.headers, query: { ...callback.query } }, SIGNING_KEY), differs);
  // By hand, as spec 01 section 3.2 has it.
  const empty = createHash('sha256').digest();
  const hmac = createHmac('sha256', SIGNING_KEY).update(`${callback.headers['messagebird-request-timestamp']}\n`);
  const made = hmac.update(`${callback.target.split('?')[1]}\n`).update(empty).digest('base64');
  assert.equal(callback.headers['messagebird-signature'], made);
  return Object.keys(refused);
}

/** The callbacks about a message, when there are this many. */
async function about(id, count) {
  const found = () => callbacks.filter((one) => one.query.id === id);
  for (let waited = 0; found().length < count && waited < 15_000; waited += 50) {
    await pause(50);
  }
  await Promise.all(callbacks.map((one) => one.checked));
  assert.equal(found().length, count, `callbacks: ${JSON.stringify(found().map((one) => one.query))}`);
  return found();
}

module.exports = { listen, about, checkRefusals, claims, callbacks };
