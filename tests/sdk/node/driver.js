// What the programs for the Node SDK have in common: clients with each kind of key, calls that are remembered, and how
// answers are compared.
'use strict';

const assert = require('assert').strict;
const messagebird = require('messagebird');

const ORIGIN = 'https://rest.messagebird.com';
const KEY = required('ROOKERY_KEY');

const NOBODY = 'f'.repeat(32); // has the form of an id and is nobody's
const NO_LINKS = { first: null, previous: null, next: null, last: null };
const WRONG_KEY = { code: 2, description: 'Request not allowed (incorrect access_key)', parameter: 'access_key' };

const live = messagebird.initClient(KEY);
const clients = {
  live,
  test: messagebird.initClient(required('ROOKERY_TEST_KEY')),
  wrong: messagebird.initClient('WrongWrongWrongWrongWrong'),
  firebase: messagebird.initClient(KEY, 5000, ['ENABLE_FIREBASE_PLUGIN']),
};

const called = new Set();
let step = 'start';

/** Calls `product.method` of the SDK and gives its result; an error from the SDK is thrown. */
function call(name, ...args) {
  return as('live', name, ...args);
}

function as(who, name, ...args) {
  const [product, method] = name.split('.');
  called.add(name);
  step = `${name}(${args.map((arg) => JSON.stringify(arg)).join(', ')}) with the ${who} key`;
  return new Promise((resolve, reject) => {
    clients[who][product][method](...args, (error, value) => (error ? reject(error) : resolve(value)));
  });
}

/**
 * The call must fail with this status and, in any order, these errors. A description that is not given may be any that
 * begins with the parameter's name.
 */
async function fails(promise, status, ...expected) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    if (!error.errors) {
      throw error;
    }
    const byField = (a, b) => String(a.parameter).localeCompare(String(b.parameter)) || a.code - b.code;
    const actual = [...error.errors].sort(byField);
    const wanted = [...expected].sort(byField).map((want, i) => {
      const said = String((actual[i] || {}).description);
      const free = said !== '' && said.startsWith(want.parameter === null ? '' : `${want.parameter} `);
      return { description: free ? said : `${want.parameter} …`, ...want };
    });
    assert.deepEqual({ status: error.statusCode, errors: actual }, { status, errors: wanted });
    return error.errors;
  }
  return assert.fail(`expected status ${status} with ${JSON.stringify(expected)}, but the call answered ${JSON.stringify(value)}`);
}

function ok(name, what) {
  console.log(`ok ${name}: ${what}`);
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function checkTime(name, text) {
  assert.match(String(text), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/, name);
  const away = Math.abs(Date.now() - Date.parse(text));
  assert.ok(away < 10 * 60 * 1000, `${name} ${text} is ${away} ms away from this machine's clock`);
}

/** A page of a list: `path` is what its links begin with, `total` all that match, `filters` what the links end with. */
function page(path, offset, limit, total, items, filters = '') {
  const at = (from) => `${ORIGIN}${path}?offset=${from}&limit=${limit}${filters}`;
  const links =
    total === 0
      ? NO_LINKS
      : {
          first: at(0),
          previous: offset > 0 ? at(Math.max(0, offset - limit)) : null,
          next: offset + limit < total ? at(offset + limit) : null,
          last: at(Math.floor((total - 1) / limit) * limit),
        };
  return { offset, limit, count: items.length, totalCount: total, links, items };
}

/** A call that a newer SDK adds to these products must be tested too. */
function complete(products) {
  const offered = products.flatMap((product) => Object.keys(live[product]).map((method) => `${product}.${method}`));
  const made = [...called].filter((name) => products.includes(name.split('.')[0]));
  assert.deepEqual(made.sort(), offered.sort());
  console.log(`ok all ${offered.length} calls of the SDK about ${products.join(', ')} were made`);
}

function required(name) {
  if (!process.env[name]) {
    console.error(`${name} is not set; start this with tests/sdk/run`);
    process.exit(2);
  }
  return process.env[name];
}

/** Runs a program to its end; of a failure it tells in which call it was. */
function run(program) {
  program().catch((error) => {
    console.error(`failed: ${step}`);
    console.error(error.stack || error);
    if (error.error) {
      console.error('caused by', error.error);
    }
    process.exit(1);
  });
}

module.exports = { ORIGIN, NOBODY, WRONG_KEY, assert, call, as, fails, ok, pause, checkTime, page, complete, required, run };
