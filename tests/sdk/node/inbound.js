// Receives what a phone wrote as a customer's program does, in each form in which it is forwarded, and checks it with the
// validators that the Node SDK brings along. Started by `tests/sdk/run node-inbound`; see ../README.md.
'use strict';

const assert = require('assert').strict;
const { createSecretKey } = require('crypto');
const http = require('http');
const querystring = require('querystring');
const legacy = require('messagebird/lib/signature');
const jwt = require('messagebird/lib/webhook-signature-jwt');

const { ROOKERY_SIGNING_KEY: KEY, ROOKERY_RECEIVES: RECEIVES, ROOKERY_TEXT: TEXT } = process.env;
const secret = (text) => createSecretKey(Buffer.from(text, 'utf8'));

/** What each path is told, and how it is read. */
const FORMS = {
  '/get': ['GET', (request) => querystring.parse(request.url.split('?')[1])],
  '/post': ['POST', (request, body) => querystring.parse(body.toString())],
  '/json': ['POST', (request, body) => JSON.parse(body)],
};

async function check(request, body) {
  const path = request.url.split('?')[0];
  const [method, read] = FORMS[path];
  assert.equal(request.method, method);
  const told = read(request, body);
  assert.deepEqual([told.recipient, told.originator, told.body], ['31655500099', '31655500011', TEXT]);
  assert.match(told.id, /^[0-9a-f]{32}$/);
  const url = `http://${request.headers.host}${request.url}`;
  const token = request.headers[jwt.SIGNATURE_HEADER_NAME];
  await jwt.verify(url, body, token, secret(KEY), new jwt.VerifyOptions(true, true));
  await assert.rejects(jwt.verify(url, Buffer.concat([body, Buffer.from('x')]), token, secret(KEY)), /payload/);
  await assert.rejects(jwt.verify(url, body, token, secret(`${KEY}x`)), /signature verification failed/);
  // The older validator signs the body's bytes; its encoder is told to write a space as forms do.
  const { escape } = querystring;
  querystring.escape = (text) => escape(text).replace(/%20/g, '+').replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  try {
    const query = querystring.parse(request.url.split('?')[1]);
    assert.equal(legacy.validate({ headers: request.headers, query, body: body.length ? body : undefined }, KEY), true);
  } finally {
    querystring.escape = escape;
  }
  return `${path.slice(1)}: ${method}, value by value; valid by JWT and by the older signature`;
}

const waiting = new Set(Object.keys(FORMS));
const server = http.createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    response.end();
    check(request, Buffer.concat(pieces)).then(
      (line) => {
        process.stdout.write(`ok ${line}\n`);
        waiting.delete(request.url.split('?')[0]);
        if (waiting.size === 0) process.exit(0);
      },
      (error) => {
        process.stderr.write(`${error.stack}\n`);
        process.exit(1);
      },
    );
  });
});
const [host, port] = RECEIVES.split(':');
server.listen(Number(port), host);
setTimeout(() => {
  process.stderr.write(`nothing came to ${[...waiting].join(', ')}\n`);
  process.exit(1);
}, 60_000);
