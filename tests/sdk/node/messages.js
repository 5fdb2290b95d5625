// Every message call of the official Node SDK, made against a running Rookery server, with each answer compared value by
// value and type by type, and every callback checked by the SDK's validators. Started by `tests/sdk/run node-messages`;
// see ../README.md.
'use strict';

const driver = require('./driver');
const receiver = require('./receiver');
const { ORIGIN, NOBODY, WRONG_KEY, assert, call, as, fails, ok, pause, page, checkTime, required } = driver;

const BALANCE = Number(required('ROOKERY_BALANCE'));

const NO_MESSAGE = { code: 20, description: 'message not found', parameter: null };
const NO_CONTACT = { code: 20, description: 'contact not found', parameter: null };
const NO_RECIPIENTS = { code: 9, description: 'no (correct) recipients found', parameter: 'recipients' };
const missing = (parameter) => ({ code: 9, description: `${parameter} is required`, parameter });
const invalid = (parameter) => ({ code: 10, parameter });
const TEXT = 'Your crate is ready';

const outcome = (status, statusReason, statusErrorCode = null) => ({ status, statusReason, statusErrorCode });
const SENT = outcome('sent', 'pending DLR');
const SCHEDULED = outcome('scheduled', null);
const DELIVERED = outcome('delivered', 'successfully delivered');
const FINAL = ['delivered', 'expired', 'delivery_failed'];

/** What the simulated carrier makes of its numbers, and which callbacks each has. */
const MAGIC = {
  31655500011: [DELIVERED, SENT, DELIVERED],
  99900001000: [outcome('delivery_failed', 'unknown subscriber', 1), SENT, outcome('delivery_failed', 'unknown subscriber', 1)],
  99900034000: [outcome('delivery_failed', 'received network error', 34), SENT, outcome('delivery_failed', 'received network error', 34)],
  99900103000: [outcome('delivery_failed', 'opted out', 103), SENT, outcome('delivery_failed', 'opted out', 103)],
  99900201000: [outcome('delivery_failed', 'incorrect number'), SENT, outcome('delivery_failed', 'incorrect number')],
  99900202000: [outcome('expired', 'expired'), SENT, outcome('expired', 'expired')],
  99900203000: [outcome('delivery_failed', 'timeout'), SENT, outcome('delivery_failed', 'timeout')],
  99900204000: [outcome('delivery_failed', 'generic delivery failure'), SENT, outcome('delivery_failed', 'generic delivery failure')],
  99900301000: [outcome('delivery_failed', 'carrier rejected'), outcome('delivery_failed', 'carrier rejected')],
  99900401000: [SENT, SENT],
  99900403600: [outcome('buffered', 'unavailable subscriber', 27), SENT, outcome('buffered', 'unavailable subscriber', 27)],
};

const sent = []; // ids of what was sent, the oldest first
let spent = 0; // in thousandths

/** The country of numbers that begin with 31; all others here are of none. */
const place = (number) => (/^31/.test(number) ? ['Netherlands', 31, '204'] : [null, null, null]);

/** Numbers that begin with 31 cost 0.061 a part, all others nothing; in thousandths. */
const price = (number, parts) => (/^31/.test(number) ? 61 * parts : 0);

/** A whole message as it must be shown. What the server chooses is taken from `seen` after its form was checked. */
function message(seen, { to, parts = 1, free = false, outcomes = {}, ...fields }) {
  assert.match(String(seen.id), /^[0-9a-f]{32}$/);
  assert.equal(typeof seen.gateway, 'number');
  checkTime('createdDatetime', seen.createdDatetime);
  const shown = new Map(seen.recipients.items.map((item) => [item.recipient, item]));
  const items = [...to].sort().map((recipient) => {
    const { statusDatetime } = shown.get(recipient) || {};
    const state = outcomes[recipient] || SENT;
    if (state === SCHEDULED) {
      assert.equal(statusDatetime, null);
    } else {
      checkTime('statusDatetime', statusDatetime);
    }
    const [recipientCountry, recipientCountryPrefix, mcc] = place(recipient);
    return {
      recipient,
      originator: null,
      ...state,
      statusDatetime,
      recipientCountry,
      recipientCountryPrefix,
      recipientOperator: null,
      messageLength: [...fields.body].length,
      messagePartCount: parts,
      price: { amount: free ? 0 : price(recipient, parts) / 1000, currency: 'EUR' },
      mccmnc: null,
      mcc,
      mnc: null,
    };
  });
  const count = (...wanted) => items.filter((item) => wanted.includes(item.status)).length;
  return {
    id: seen.id,
    href: `${ORIGIN}/messages/${seen.id}`,
    direction: 'mt',
    type: 'sms',
    reference: null,
    reportUrl: null,
    validity: null,
    gateway: seen.gateway,
    typeDetails: {},
    datacoding: 'plain',
    mclass: 1,
    scheduledDatetime: null,
    createdDatetime: seen.createdDatetime,
    recipients: {
      totalCount: items.length,
      totalSentCount: items.length - count('scheduled'),
      totalDeliveredCount: count('delivered'),
      totalDeliveryFailedCount: count('delivery_failed', 'expired'),
      items,
    },
    ...known(fields),
  };
}

/** Without what is undefined. */
const known = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

/** The same with recipients by number: in which order they are shown is not said anywhere. */
function ordered(seen) {
  const items = [...seen.recipients.items].sort((a, b) => a.recipient - b.recipient);
  return { ...seen, recipients: { ...seen.recipients, items } };
}

/** Sends to `recipients` and compares the answer: what was asked for, but for what is `shown` in another way. */
async function send(recipients, to, params = {}, shown = {}) {
  const asked = { originator: 'FarmShop', body: TEXT, ...params };
  const seen = await call('messages.create', { ...asked, recipients });
  const wanted = { ...asked, to, ...shown };
  assert.deepEqual(ordered(seen), message(seen, wanted));
  sent.push(seen.id);
  spent += to.reduce((sum, number) => sum + price(number, wanted.parts || 1), 0);
  await pause(3); // so that no two have the same millisecond
  return { seen, wanted };
}

/** Reads a message when nothing is on its way any more, or all is as far as it gets. */
async function settled({ seen, wanted }, outcomes = {}) {
  const all = Object.fromEntries(wanted.to.map((number) => [number, outcomes[number] || DELIVERED]));
  let read;
  for (let waited = 0; waited < 15_000; waited += 50) {
    read = await call('messages.read', seen.id);
    if (read.recipients.items.every((item) => item.status === all[item.recipient].status)) {
      break;
    }
    await pause(50);
  }
  assert.deepEqual(read, { ...message(read, { ...wanted, outcomes: all }), id: seen.id, createdDatetime: seen.createdDatetime });
  return read;
}

async function creating() {
  assert.deepEqual(await call('messages.list'), page('/messages/', 0, 20, 0, []));
  ok('messages.list', 'empty: no items, no links');

  const [one, two] = [31655500011, 31655500012];
  const plain = await send('31655500011', [one]);
  ok('messages.create', 'a number as text; what is unset has its default');
  assert.deepEqual((await settled(plain)).recipients.totalDeliveredCount, 1);
  ok('messages.read', 'delivered, still counted as sent');

  await send(31655500011, [one]);
  ok('messages.create', 'a number as a number');
  await send([31655500011, 31655500012], [one, two]);
  await send(['31655500011', '31655500012'], [one, two]);
  await send('31655500011,31655500012', [one, two]);
  ok('messages.create', 'several: numbers, texts, one text with commas');
  await send(['+31 6 555-000.11', ' (316)55500012 ', '31655500011'], [one, two]);
  ok('messages.create', 'plus and punctuation are dropped, and what is said twice');
  await send(['31655500011', 'nobody', '123'], [one]);
  ok('messages.create', 'what is no number is passed over beside one that is');
  const many = Array.from({ length: 50 }, (_, i) => 31655502000 + i);
  await settled(await send(many, many));
  ok('messages.create', 'fifty, each delivered');

  const contact = await call('contacts.create', 31655500013);
  const group = await call('groups.create', 'Regulars');
  await call('groups.addContacts', group.id, [contact.id]);
  await send(undefined, [31655500013], { groupIds: [group.id] }, { groupIds: undefined });
  await send([group.id, one], [31655500013, one]);
  ok('messages.create', 'to a group: by groupIds, and among the recipients');

  for (const [originator, shown] of [['+31655500000', '31655500000'], [31655500000, '31655500000'], ['1008', '1008'], ['node-js', 'node-js'], ['Bob & Ann', 'Bob & Ann']]) {
    await send(one, [one], { originator }, { originator: shown });
  }
  ok('messages.create', 'originators: number without its plus and as text, short code, letters');

  await send(one, [one], { type: 'flash' }, { mclass: 0 });
  await send(one, [one], { mclass: 0 });
  await send(one, [one], { mclass: 3 }, { mclass: 1 });
  ok('messages.create', 'flash is class 0, classes 2 and 3 are shown as 1');
  await send(one, [one], { validity: 3600, gateway: 12, reference: 'x'.repeat(128) });
  await send(one, [one], { validity: '3600' }, { validity: 3600 });
  ok('messages.create', 'validity, gateway, the longest reference');
  const unset = { reference: '', validity: null, gateway: undefined, reportUrl: null, typeDetails: [], datacoding: null, mclass: null, type: null };
  const defaults = { reference: null, typeDetails: {}, datacoding: 'plain', mclass: 1, type: 'sms', unknown: undefined };
  const { seen: bare } = await send(one, [one], { ...unset, unknown: 1 }, { ...defaults, gateway: plain.seen.gateway });
  assert.equal(bare.gateway, plain.seen.gateway);
  ok('messages.create', 'null, "" and [] are taken as absent, unknown attributes are ignored');

  const lengths = [
    ['plain', 'a'.repeat(160), 1],
    ['plain', 'a'.repeat(161), 2],
    ['plain', '€'.repeat(80), 1],
    ['plain', '€'.repeat(81), 2],
    ['plain', 'crème brûlée 🐦', 1],
    ['plain', 'a'.repeat(1377), 9],
    ['unicode', 'ж'.repeat(70), 1],
    ['unicode', 'ж'.repeat(71), 2],
    ['unicode', '🐦'.repeat(35), 1],
    ['unicode', '🐦'.repeat(36), 2],
    ['unicode', 'ж'.repeat(603), 9],
    ['auto', 'a'.repeat(160), 1],
    ['auto', `${'a'.repeat(70)}ж`, 2],
  ];
  for (const [datacoding, body, parts] of lengths) {
    await settled(await send(one, [one], { datacoding, body }, { parts }));
  }
  ok('messages.create', 'plain, unicode and auto: length, parts and price of each, the longest included');
  return { contact, group };
}

/** A whole second in so many milliseconds. */
const later = (ms) => new Date(Math.ceil((Date.now() + ms) / 1000) * 1000).toISOString().replace('.000Z', '+00:00');

async function binary() {
  const one = 31655500011;
  for (const [params, parts] of [
    [{ body: '0011AAff', typeDetails: { udh: '050003340201' } }, 1],
    [{ body: 'a5'.repeat(140), mclass: 0 }, 1],
    [{ body: 'a5'.repeat(141), datacoding: 'unicode', typeDetails: {} }, 2],
  ]) {
    await settled(await send(one, [one], { type: 'binary', ...params }, { parts }));
  }
  ok('messages.create', 'binary: with a header and without, one part and two');
}

async function scheduling() {
  const one = 31655500011;
  const waits = { outcomes: { [one]: SCHEDULED } };
  const due = await send(one, [one], { scheduledDatetime: later(2_000) }, waits);
  const hour = later(3_600_000);
  const shifted = new Date(Date.parse(hour) + 7_200_000).toISOString().replace('.000Z', '+02:00');
  const far = await send(one, [one], { scheduledDatetime: shifted }, { scheduledDatetime: hour, ...waits });
  assert.deepEqual(await call('messages.read', far.seen.id), far.seen);
  ok('messages.create', 'for later: an hour with any offset, scheduled without a time');
  const cancelled = await call('messages.create', { originator: 'FarmShop', recipients: one, body: TEXT, scheduledDatetime: later(3_000) });
  assert.equal(await call('messages.delete', cancelled.id), true);
  await fails(call('messages.read', cancelled.id), 404, NO_MESSAGE);
  ok('messages.delete', 'scheduled: cancelled');
  const read = await settled(due);
  assert.ok(Date.parse(read.recipients.items[0].statusDatetime) >= Date.parse(due.seen.scheduledDatetime));
  ok('messages.read', 'sent when its hour had come, and not before');
}

async function refusing() {
  const create = (params, who = 'live') => as(who, 'messages.create', { originator: 'FarmShop', recipients: 31655500011, body: TEXT, ...params });
  const empty = await fails(call('messages.create', {}), 422, NO_RECIPIENTS, missing('originator'));
  assert.deepEqual(empty, [NO_RECIPIENTS, missing('originator')]);
  ok('messages.create', 'nothing given: recipients, then originator, and no word about the body');
  await fails(create({ originator: undefined }), 422, missing('originator'));
  await fails(create({ body: undefined }), 422, missing('body'));
  await fails(create({ body: '' }), 422, missing('body'));
  ok('messages.create', 'no originator, no body: 422, code 9');
  for (const recipients of [undefined, null, '', [], 'nobody', '123', [NOBODY], '1234567890123456']) {
    await fails(create({ recipients }), 422, NO_RECIPIENTS);
  }
  await fails(create({ recipients: undefined, groupIds: [NOBODY] }), 422, NO_RECIPIENTS);
  ok('messages.create', 'no usable recipient: 422, code 9');
  await fails(create({ recipients: Array.from({ length: 51 }, (_, i) => 31655502000 + i) }), 422, invalid('recipients'));
  ok('messages.create', '51 recipients: 422, code 10');
  for (const originator of ['ThirteenChars', 'AB', '123456789012345678', 'Приветы', 'A\nB']) {
    await fails(create({ originator }), 422, { ...invalid('originator'), description: 'originator is invalid' });
  }
  ok('messages.create', 'bad originators: 422, code 10');
  for (const [datacoding, body] of [['plain', 'a'.repeat(1378)], ['plain', '€'.repeat(689)], ['unicode', 'ж'.repeat(604)], ['auto', `ж${'a'.repeat(603)}`]]) {
    await fails(create({ datacoding, body }), 422, { ...invalid('body'), description: 'body is invalid' });
  }
  ok('messages.create', 'body too long in each coding: 422, code 10');
  const bad = { type: 'letter', datacoding: 'morse', mclass: 4, validity: 0, gateway: 'north', reference: 'x'.repeat(129), reportUrl: 'nowhere', scheduledDatetime: 'tomorrow' };
  await fails(create(bad), 422, ...Object.keys(bad).map(invalid));
  ok('messages.create', 'eight bad attributes reported together: 422, code 10');
  await fails(create({ type: 'premium' }), 422, { ...invalid('type'), description: 'type is not supported yet' });
  ok('messages.create', 'not served, and refused by name: premium');
  for (const body of ['Hello', '0', 'a5'.repeat(1207)]) {
    await fails(create({ type: 'binary', body }), 422, { ...invalid('body'), description: 'body is invalid' });
  }
  for (const udh of ['05', 'xx', '0500033402']) {
    await fails(create({ type: 'binary', body: '00', typeDetails: { udh } }), 422, invalid('typeDetails.udh'));
  }
  for (const scheduledDatetime of [later(-7_200_000), later(400 * 86_400_000), '2035-02-30T00:00:00Z']) {
    await fails(create({ scheduledDatetime }), 422, { ...invalid('scheduledDatetime'), description: 'scheduledDatetime is invalid' });
  }
  ok('messages.create', 'no octets, a wrong header, an hour long ago or far ahead: 422, code 10');
  const dear = { recipients: Array.from({ length: 50 }, (_, i) => 31655502000 + i), body: 'a'.repeat(1377) };
  assert.ok(BALANCE < 50 * 9 * 0.061);
  await fails(create(dear), 422, { code: 25, description: 'Not enough balance', parameter: null });
  ok('messages.create', 'not enough balance: 422, code 25');
  await fails(create({}, 'wrong'), 401, WRONG_KEY);
  await fails(as('wrong', 'messages.create', {}), 401, WRONG_KEY);
  await fails(as('wrong', 'messages.list'), 401, WRONG_KEY);
  for (const name of ['messages.read', 'messages.delete']) {
    await fails(as('wrong', name, sent[0]), 401, WRONG_KEY);
    for (const id of [NOBODY, '1', `${sent[0]}0`]) {
      await fails(call(name, id), 404, NO_MESSAGE);
    }
    ok(name, 'wrong key: 401, code 2; unknown id: 404, code 20');
  }
  assert.equal((await call('messages.list')).totalCount, sent.length);
  ok('messages.create', 'what was refused is in no list; wrong key: 401, code 2');
}

async function testing(reportUrl) {
  const params = { originator: 'FarmShop', body: TEXT, reference: 'test', reportUrl };
  const seen = await as('test', 'messages.create', { ...params, recipients: [31655500011, 99900001000] });
  assert.deepEqual(ordered(seen), message(seen, { ...params, to: [31655500011, 99900001000], free: true }));
  for (const who of ['test', 'live']) {
    await fails(as(who, 'messages.read', seen.id), 404, NO_MESSAGE);
    await fails(as(who, 'messages.delete', seen.id), 404, NO_MESSAGE);
  }
  ok('messages.create', 'test key: 201 with an object, which is nowhere: 404, code 20');
  await fails(as('test', 'messages.create', {}), 422, NO_RECIPIENTS, missing('originator'));
  ok('messages.create', 'test key: checked in the same way');
  return seen.id;
}

async function reporting(origin) {
  const to = Object.keys(MAGIC).map(Number);
  const reference = 'order 8841/ä+ü & more';
  const silent = await send(31655500011, [31655500011], { reportUrl: `${origin}/silent` });
  const tested = await testing(`${origin}/silent`);
  const reported = await send(to, to, { reference, reportUrl: `${origin}/dlr?shop=café 7&a[]=2&a[]=1` });
  await settled(reported, Object.fromEntries(to.map((number) => [number, MAGIC[number][0]])));
  ok('messages.read', `${to.length} recipients, one of each outcome, with reasons and error codes`);
  await settled(silent);

  const expected = to.flatMap((recipient) => MAGIC[recipient].slice(1).map((told) => ({ recipient, ...told })));
  const callbacks = await receiver.about(reported.seen.id, expected.length);
  const asTold = ({ recipient, status, statusReason, statusErrorCode }) => ({
    'a[]': ['2', '1'],
    datacoding: 'plain',
    id: reported.seen.id,
    messageLength: String(TEXT.length),
    messagePartCount: '1',
    'price[amount]': recipient === 31655500011 ? '0.061' : '0.000',
    'price[currency]': 'EUR',
    recipient: String(recipient),
    reference,
    shop: 'café 7',
    status,
    statusReason,
    statusErrorCode: statusErrorCode === null ? undefined : String(statusErrorCode),
  });
  const text = (told) => JSON.stringify(Object.entries(known(told)).sort());
  const told = callbacks.map(({ query: { statusDatetime, ...rest } }) => rest);
  assert.deepEqual(told.map(text).sort(), expected.map(asTold).map(text).sort());
  const read = await call('messages.read', reported.seen.id);
  for (const { target, query } of callbacks) {
    assert.ok(target.startsWith('/dlr?a%5B%5D=2&a%5B%5D=1&datacoding=plain&'), target);
    const item = read.recipients.items.find(({ recipient }) => recipient === Number(query.recipient));
    if (item.status !== query.status) continue;
    // A message is shown as sent from its acceptance on; it is reported as sent when the carrier has it.
    const [then, shown] = [query, item].map(({ statusDatetime }) => Date.parse(statusDatetime));
    assert.ok(item.status === 'sent' ? shown <= then && then <= Date.now() : shown === then, `${item.status}: ${then}, ${shown}`);
  }
  ok('callbacks', `${callbacks.length}, each status once and value by value; valid by JWT and by the older signature`);
  const refused = await receiver.checkRefusals(callbacks[0]);
  ok('callbacks', `the SDK refuses ${refused.join(', ')}`);

  for (const [path, status] of [['busy', 500], ['moved', 302]]) {
    const again = await send(99900401000, [99900401000], { reference: path, reportUrl: `${origin}/${path}` });
    const [first, second] = await receiver.about(again.seen.id, 2);
    assert.equal(second.target, first.target);
    assert.notEqual(receiver.claims(second).jti, receiver.claims(first).jti);
    // After the second it would be five seconds.
    const waited = second.at - first.at;
    assert.ok(waited >= 950 && waited < 5000, `the second attempt came after ${waited} ms`);
    ok('callbacks', `answered ${status}: again after about a second, the same URL with a fresh token`);
  }
  await receiver.about(silent.seen.id, 0);
  await receiver.about(tested, 0);
  assert.equal(receiver.callbacks.length, expected.length + 4);
  ok('callbacks', 'none without a reference, none for a test key, none where a redirect leads');
}

async function receiving() {
  const question = await send(99900501000, [99900501000], { originator: '31655500000' });
  await settled(question);
  let list;
  for (let waited = 0; waited < 15_000 && !(list && list.items[0].direction === 'mo'); waited += 50) {
    await pause(50);
    list = await call('messages.list', { limit: 1 });
  }
  const [reply] = list.items;
  const fields = { direction: 'mo', originator: '99900501000', body: `Re: ${TEXT}`, to: [31655500000], free: true };
  assert.deepEqual(reply, message(reply, { ...fields, outcomes: { 31655500000: DELIVERED } }));
  assert.deepEqual(await call('messages.read', reply.id), reply);
  sent.push(reply.id);
  ok('messages.read', 'a received message, in the list as well');
}

async function listing() {
  const newestFirst = [];
  for (const id of [...sent].reverse()) {
    newestFirst.push(await call('messages.read', id));
  }
  const total = newestFirst.length;
  const list = (filter) => call('messages.list', filter);
  const path = '/messages/';
  assert.deepEqual(await call('messages.list'), page(path, 0, 20, total, newestFirst.slice(0, 20)));
  assert.deepEqual(await list({}), page(path, 0, 20, total, newestFirst.slice(0, 20)));
  assert.deepEqual(await as('test', 'messages.list'), page(path, 0, 20, total, newestFirst.slice(0, 20)));
  ok('messages.list', 'newest first, 20 by default; a test key sees the same');
  for (let offset = 0; offset < total; offset += 7) {
    assert.deepEqual(await list({ limit: 7, offset }), page(path, offset, 7, total, newestFirst.slice(offset, offset + 7)));
  }
  ok('messages.list', 'page after page, with their links');
  assert.deepEqual((await list({ limit: 5, offset: 1000 })).items, []);
  ok('messages.list', 'beyond the end: empty');
  for (const status of ['sent', 'buffered', 'delivered', 'expired', 'delivery_failed', 'scheduled']) {
    const some = newestFirst.filter((one) => one.recipients.items.some((item) => item.status === status));
    const [limit, offset] = [3, some.length > 4 ? 3 : 0];
    const wanted = page(path, offset, limit, some.length, some.slice(offset, offset + limit), `&status=${status}`);
    assert.deepEqual(await list({ status, limit, offset }), wanted);
    assert.ok(some.length > 0, status);
  }
  assert.equal((await list({ status: '' })).totalCount, total);
  ok('messages.list', 'by each status, which the links repeat; an empty one is none');
  await fails(list({ status: 'lost' }), 422, { ...invalid('status'), description: 'status is invalid' });
  await fails(list({ limit: -1, offset: -1 }), 422, invalid('limit'), invalid('offset'));
  await fails(list({ limit: 1001 }), 422, invalid('limit'));
  ok('messages.list', 'bad status, limit and offset: 422, code 10');
}

async function ofContact({ contact, group }) {
  const number = contact.msisdn;
  const filter = `&recipient=${number}`;
  const found = [];
  for (const one of (await call('messages.list', { limit: 1000 })).items) {
    found.push(...(one.recipients.items.some((item) => item.recipient === number) ? [one] : []));
  }
  assert.equal(found.length, 2);
  assert.deepEqual(await call('contacts.listMessages', contact.id), page('/messages/', 0, 20, 2, found, filter));
  assert.deepEqual(await call('contacts.listMessages', contact.id, 1, 1), page('/messages/', 1, 1, 2, [found[1]], filter));
  assert.equal((await call('contacts.read', contact.id)).messages.totalCount, 2);
  ok('contacts.listMessages', 'whole messages to its number, pages with their links; the contact counts them');
  await fails(call('contacts.listMessages', NOBODY), 404, NO_CONTACT);
  await fails(as('wrong', 'contacts.listMessages', contact.id), 401, WRONG_KEY);
  ok('contacts.listMessages', 'unknown contact: 404, code 20; wrong key: 401, code 2');
  await call('groups.delete', group.id);
  await call('contacts.delete', contact.id);
}

async function deleting() {
  const total = sent.length;
  assert.equal(await call('messages.delete', sent[0]), true);
  await fails(call('messages.read', sent[0]), 404, NO_MESSAGE);
  await fails(call('messages.delete', sent[0]), 404, NO_MESSAGE);
  assert.equal((await call('messages.list')).totalCount, total - 1);
  ok('messages.delete', 'true, then 404, code 20; the list has one less');
  for (const id of sent.slice(1)) {
    assert.equal(await call('messages.delete', id), true);
  }
  assert.deepEqual(await call('messages.list'), page('/messages/', 0, 20, 0, []));
  ok('messages.delete', 'all of them');
  // One of them was still waiting for its hour.
  spent -= price(31655500011, 1);
  await balance();
}

async function balance() {
  // Shown in whole cents, never more than there is.
  const amount = Math.floor((BALANCE * 1000 - spent) / 10) / 100;
  assert.deepEqual(await call('balance.read'), { payment: 'prepaid', type: 'euros', amount });
  ok('balance.read', `less by the price of ${sent.length} messages, and of nothing else`);
}

driver.run(async () => {
  const origin = await receiver.listen();
  const people = await creating();
  await binary();
  await scheduling();
  await refusing();
  await reporting(origin);
  await receiving();
  await listing();
  await ofContact(people);
  await balance();
  await deleting();
  driver.complete(['messages']);
});
