// Every balance, contacts and groups call of the official Node SDK, made against a running Rookery server, with each
// answer compared value by value and type by type. Started by `tests/sdk/run node`; see ../README.md.
'use strict';

const { ORIGIN, NOBODY, WRONG_KEY, assert, call, as, fails, ok, pause, page, checkTime, complete, run } = require('./driver');

const BALANCE = Number(process.env.ROOKERY_BALANCE || '0');

const NO_CONTACT = { code: 20, description: 'contact not found', parameter: null };
const NO_GROUP = { code: 20, description: 'group not found', parameter: null };
const DUPLICATE = {
  code: 101,
  description: 'contact with this msisdn already exists in your contact list',
  parameter: 'msisdn',
};

/** A whole contact as it must be shown. What the server chooses is taken from `seen` after its form was checked. */
function contact(seen, fields) {
  checkChosen(seen);
  const { groups = 0, custom = {}, ...rest } = fields;
  const href = `${ORIGIN}/contacts/${seen.id}`;
  return {
    id: seen.id,
    href,
    firstName: '',
    lastName: '',
    customDetails: { custom1: '', custom2: '', custom3: '', custom4: '', ...custom },
    groups: { totalCount: groups, href: `${href}/groups` },
    messages: { totalCount: 0, href: `${href}/messages` },
    createdDatetime: seen.createdDatetime,
    updatedDatetime: seen.createdDatetime,
    ...rest,
  };
}

function group(seen, fields) {
  checkChosen(seen);
  const { contacts = 0, ...rest } = fields;
  const href = `${ORIGIN}/groups/${seen.id}`;
  return {
    id: seen.id,
    href,
    contacts: { totalCount: contacts, href: `${href}/contacts` },
    createdDatetime: seen.createdDatetime,
    updatedDatetime: seen.createdDatetime,
    ...rest,
  };
}

function checkChosen(seen) {
  assert.match(String(seen.id), /^[0-9a-f]{32}$/);
  for (const name of ['createdDatetime', 'updatedDatetime']) {
    checkTime(name, seen[name]);
  }
}

async function balance() {
  const expected = { payment: 'prepaid', type: 'euros', amount: BALANCE };
  assert.deepEqual(await call('balance.read'), expected);
  ok('balance.read', `prepaid, euros, ${BALANCE}`);
  assert.deepEqual(await as('test', 'balance.read'), expected);
  ok('balance.read', 'a test key sees the same balance');
  assert.deepEqual(await as('firebase', 'balance.read'), expected);
  ok('balance.read', 'under the name of the Firebase plug-in');
  await fails(as('wrong', 'balance.read'), 401, WRONG_KEY);
  ok('balance.read', 'wrong key: 401, code 2');
}

async function contacts() {
  assert.deepEqual(await call('contacts.list'), page('/contacts', 0, 20, 0, []));
  ok('contacts.list', 'empty: no items, no links');

  // Create.
  const bare = await call('contacts.create', '31655500101');
  assert.deepEqual(bare, contact(bare, { msisdn: 31655500101 }));
  ok('contacts.create', 'number only; what is unset is ""');
  await pause(5);

  const names = { firstName: 'Zoë', lastName: 'Ødegård 🐦' };
  const details = { custom1: 'gold', custom2: '"quoted" & <marked>', custom3: '0', custom4: 'a+b=c%20d' };
  const full = await call('contacts.create', 31655500102, { ...names, ...details });
  assert.deepEqual(full, contact(full, { msisdn: 31655500102, ...names, custom: details }));
  ok('contacts.create', 'number as a number, names and custom fields beyond ASCII');
  await pause(5);

  const spaced = await call('contacts.create', '+31 (6) 555-00.103', { firstName: 'Ann', lastName: null });
  assert.deepEqual(spaced, contact(spaced, { msisdn: 31655500103, firstName: 'Ann' }));
  ok('contacts.create', 'number written with plus and punctuation, null taken as absent');

  await fails(call('contacts.create', '31655500101'), 422, DUPLICATE);
  await fails(call('contacts.create', '+31 655500101', { firstName: 'Again' }), 422, DUPLICATE);
  ok('contacts.create', 'number that is there already: 422, code 101');
  const missing = { code: 9, description: 'msisdn is required', parameter: 'msisdn' };
  await fails(call('contacts.create', undefined), 422, missing);
  await fails(call('contacts.create', null), 422, missing);
  ok('contacts.create', 'no number: 422, code 9');
  const invalid = { code: 10, description: 'msisdn is invalid', parameter: 'msisdn' };
  for (const number of ['abc', '123456', '1234567890123456', '31655500101x']) {
    await fails(call('contacts.create', number), 422, invalid);
  }
  ok('contacts.create', 'bad numbers: 422, code 10');
  await fails(
    call('contacts.create', 'abc', { firstName: 'x'.repeat(256), custom3: 'y'.repeat(256) }),
    422,
    invalid,
    { code: 10, parameter: 'firstName' },
    { code: 10, parameter: 'custom3' }
  );
  ok('contacts.create', 'three faults reported together');
  await fails(as('wrong', 'contacts.create', '31655500199'), 401, WRONG_KEY);
  ok('contacts.create', 'wrong key: 401, code 2');

  // Read.
  assert.deepEqual(await call('contacts.read', full.id), full);
  assert.deepEqual(await call('contacts.read', '31655500102'), full);
  ok('contacts.read', 'by id and by number');
  assert.deepEqual(await as('test', 'contacts.read', full.id), full);
  ok('contacts.read', 'a test key reads the same address book');
  await fails(call('contacts.read', NOBODY), 404, NO_CONTACT);
  await fails(call('contacts.read', '31655500199'), 404, NO_CONTACT);
  ok('contacts.read', 'unknown id and number: 404, code 20');
  await fails(as('wrong', 'contacts.read', full.id), 401, WRONG_KEY);
  ok('contacts.read', 'wrong key: 401, code 2');

  // List.
  const newestFirst = [spaced, full, bare];
  assert.deepEqual(await call('contacts.list'), page('/contacts', 0, 20, 3, newestFirst));
  ok('contacts.list', 'newest first, 20 by default');
  assert.deepEqual(await call('contacts.list', 2, 0), page('/contacts', 0, 2, 3, [spaced, full]));
  assert.deepEqual(await call('contacts.list', 2, 2), page('/contacts', 2, 2, 3, [bare]));
  assert.deepEqual(await call('contacts.list', 1, 1), page('/contacts', 1, 1, 3, [full]));
  assert.deepEqual(await call('contacts.list', 0, 0), page('/contacts', 0, 20, 3, newestFirst));
  ok('contacts.list', 'pages with their links; limit 0 is the default');
  const beyond = await call('contacts.list', 2, 10);
  assert.deepEqual([beyond.count, beyond.totalCount, beyond.items, beyond.links.next], [0, 3, [], null]);
  assert.match(beyond.links.previous, /^https:\/\/rest\.messagebird\.com\/contacts\?offset=\d+&limit=2$/);
  ok('contacts.list', 'beyond the end: empty, with a way back');
  await fails(call('contacts.list', -1, 0), 422, { code: 10, parameter: 'limit' });
  await fails(call('contacts.list', 1001, 0), 422, { code: 10, parameter: 'limit' });
  await fails(call('contacts.list', 'many', -1), 422, { code: 10, parameter: 'limit' }, { code: 10, parameter: 'offset' });
  ok('contacts.list', 'bad limit and offset: 422, code 10');
  await fails(as('wrong', 'contacts.list'), 401, WRONG_KEY);
  ok('contacts.list', 'wrong key: 401, code 2');

  // Update.
  await pause(1100);
  const changes = { lastName: 'Roe', custom1: '', custom4: 'news' };
  const updated = await call('contacts.update', full.id, { ...changes, firstName: null });
  assert.deepEqual(updated, {
    ...full,
    lastName: 'Roe',
    customDetails: { ...full.customDetails, custom1: '', custom4: 'news' },
    updatedDatetime: updated.updatedDatetime,
  });
  assert.ok(Date.parse(updated.updatedDatetime) > Date.parse(full.createdDatetime), 'updatedDatetime has moved on');
  assert.deepEqual(await call('contacts.read', full.id), updated);
  ok('contacts.update', 'changes what is given, "" clears, null leaves');
  assert.deepEqual(await call('contacts.update', full.id, {}), updated);
  ok('contacts.update', 'nothing given: unchanged');
  const same = await call('contacts.update', full.id, { msisdn: 31655500102 });
  assert.deepEqual(same, { ...updated, updatedDatetime: same.updatedDatetime });
  const moved = await call('contacts.update', full.id, { msisdn: '+31655500104' });
  assert.deepEqual(moved, { ...updated, msisdn: 31655500104, updatedDatetime: moved.updatedDatetime });
  assert.deepEqual(await call('contacts.read', '31655500104'), moved);
  await fails(call('contacts.read', '31655500102'), 404, NO_CONTACT);
  ok('contacts.update', 'its own number is no duplicate; a new number is found, the old one no longer');
  await fails(call('contacts.update', full.id, { msisdn: '31655500101' }), 422, DUPLICATE);
  await fails(call('contacts.update', full.id, { msisdn: 'abc' }), 422, invalid);
  await fails(call('contacts.update', full.id, { lastName: 'x'.repeat(256) }), 422, { code: 10, parameter: 'lastName' });
  await fails(call('contacts.update', NOBODY, { lastName: 'Roe' }), 404, NO_CONTACT);
  assert.deepEqual(await call('contacts.read', full.id), moved);
  ok('contacts.update', 'duplicate 101, bad number and too long 10, unknown 20; nothing changed');
  await fails(as('wrong', 'contacts.update', full.id, { lastName: 'Roe' }), 401, WRONG_KEY);
  ok('contacts.update', 'wrong key: 401, code 2');

  // What belongs to a contact.
  const none = page(`/contacts/${full.id}/groups`, 0, 20, 0, []);
  assert.deepEqual(await call('contacts.listGroups', full.id), none);
  ok('contacts.listGroups', 'empty');
  await fails(call('contacts.listGroups', NOBODY), 404, NO_CONTACT);
  ok('contacts.listGroups', 'unknown contact: 404, code 20');
  await fails(as('wrong', 'contacts.listGroups', full.id), 401, WRONG_KEY);
  ok('contacts.listGroups', 'wrong key: 401, code 2');
  const noMessages = (limit) => page('/messages/', 0, limit, 0, []);
  assert.deepEqual(await call('contacts.listMessages', full.id), noMessages(20));
  assert.deepEqual(await call('contacts.listMessages', full.id, 10, 0), noMessages(10));
  ok('contacts.listMessages', 'empty; messages.js fills it');
  await fails(call('contacts.listMessages', NOBODY), 404, NO_CONTACT);
  await fails(as('wrong', 'contacts.listMessages', full.id), 401, WRONG_KEY);
  ok('contacts.listMessages', 'unknown contact: 404, code 20; wrong key: 401, code 2');

  // Delete.
  await fails(as('wrong', 'contacts.delete', bare.id), 401, WRONG_KEY);
  assert.equal(await call('contacts.delete', bare.id), true);
  await fails(call('contacts.read', bare.id), 404, NO_CONTACT);
  await fails(call('contacts.delete', bare.id), 404, NO_CONTACT);
  await fails(call('contacts.delete', NOBODY), 404, NO_CONTACT);
  ok('contacts.delete', 'true, then 404, code 20');
  const again = await call('contacts.create', '31655500101');
  assert.deepEqual(again, contact(again, { msisdn: 31655500101 }));
  assert.notEqual(again.id, bare.id);
  ok('contacts.create', 'the number of a deleted contact is free again');
  const tested = await as('test', 'contacts.create', '31655500105', { firstName: 'Tess' });
  assert.deepEqual(await call('contacts.read', tested.id), contact(tested, { msisdn: 31655500105, firstName: 'Tess' }));
  ok('contacts.create', 'a test key writes to the same address book');
  assert.equal(await as('test', 'contacts.delete', tested.id), true);
  ok('contacts.delete', 'with a test key');

  return { moved, spaced, again };
}

async function groups({ moved, spaced, again }) {
  assert.deepEqual(await call('groups.list'), page('/groups', 0, 20, 0, []));
  ok('groups.list', 'empty: no items, no links');

  // Create.
  const first = await call('groups.create', 'Regulars');
  assert.deepEqual(first, group(first, { name: 'Regulars' }));
  await pause(5);
  const second = await call('groups.create', 'Größe & «Ümläute» 🐦', {});
  assert.deepEqual(second, group(second, { name: 'Größe & «Ümläute» 🐦' }));
  await pause(5);
  const twin = await call('groups.create', 'Regulars');
  assert.deepEqual(twin, group(twin, { name: 'Regulars' }));
  assert.notEqual(twin.id, first.id);
  ok('groups.create', 'names beyond ASCII, the same name twice');
  const nameless = { code: 9, description: 'name is required', parameter: 'name' };
  const badName = { code: 10, parameter: 'name' };
  await fails(call('groups.create', undefined), 422, nameless);
  await fails(call('groups.create', null), 422, nameless);
  await fails(call('groups.create', 'x'.repeat(256)), 422, badName);
  ok('groups.create', 'no name: 422, code 9; too long: code 10');
  await fails(as('wrong', 'groups.create', 'Regulars'), 401, WRONG_KEY);
  ok('groups.create', 'wrong key: 401, code 2');

  // Read and list.
  assert.deepEqual(await call('groups.read', second.id), second);
  assert.deepEqual(await as('test', 'groups.read', second.id), second);
  ok('groups.read', 'by id, with a live and a test key');
  await fails(call('groups.read', NOBODY), 404, NO_GROUP);
  await fails(call('groups.read', moved.id), 404, NO_GROUP);
  ok('groups.read', 'unknown id, id of a contact: 404, code 20');
  await fails(as('wrong', 'groups.read', second.id), 401, WRONG_KEY);
  ok('groups.read', 'wrong key: 401, code 2');
  assert.deepEqual(await call('groups.list'), page('/groups', 0, 20, 3, [twin, second, first]));
  assert.deepEqual(await call('groups.list', 2, 0), page('/groups', 0, 2, 3, [twin, second]));
  assert.deepEqual(await call('groups.list', 2, 2), page('/groups', 2, 2, 3, [first]));
  ok('groups.list', 'newest first, pages with their links');
  await fails(call('groups.list', -1, 0), 422, { code: 10, parameter: 'limit' });
  await fails(as('wrong', 'groups.list'), 401, WRONG_KEY);
  ok('groups.list', 'bad limit: 422, code 10; wrong key: 401, code 2');

  // Rename.
  await pause(1100);
  const renamed = await call('groups.update', first.id, 'Regular guests');
  assert.deepEqual(renamed, { ...first, name: 'Regular guests', updatedDatetime: renamed.updatedDatetime });
  assert.ok(Date.parse(renamed.updatedDatetime) > Date.parse(first.createdDatetime), 'updatedDatetime has moved on');
  assert.deepEqual(await call('groups.read', first.id), renamed);
  ok('groups.update', 'the whole group with its new name');
  const extra = await call('groups.update', first.id, 'Regular guests', { unknown: 'ignored' });
  assert.deepEqual(extra, { ...renamed, updatedDatetime: extra.updatedDatetime });
  ok('groups.update', 'unknown attributes are ignored');
  await fails(call('groups.update', NOBODY, 'Regulars'), 404, NO_GROUP);
  await fails(call('groups.update', first.id, undefined), 422, nameless);
  await fails(call('groups.update', first.id, 'x'.repeat(256)), 422, badName);
  ok('groups.update', 'unknown: 404, code 20; no name: 422, code 9; too long: code 10');
  await fails(as('wrong', 'groups.update', first.id, 'Regulars'), 401, WRONG_KEY);
  ok('groups.update', 'wrong key: 401, code 2');

  // Members.
  const members = (id, ...rest) => page(`/groups/${id}/contacts`, ...rest);
  assert.deepEqual(await call('groups.listContacts', first.id), members(first.id, 0, 20, 0, []));
  ok('groups.listContacts', 'empty');
  assert.equal(await call('groups.addContacts', first.id, [moved.id, spaced.id]), true);
  assert.equal(await call('groups.addContacts', first.id, [spaced.id, again.id, again.id]), true);
  assert.equal(await call('groups.addContacts', second.id, [moved.id]), true);
  ok('groups.addContacts', 'true; a member again, or twice in one call, is no error');
  const inTwo = { ...moved, groups: { ...moved.groups, totalCount: 2 } };
  const inOne = [again, spaced].map((one) => ({ ...one, groups: { ...one.groups, totalCount: 1 } }));
  assert.deepEqual(await call('contacts.read', moved.id), inTwo);
  const filled = { ...extra, contacts: { ...extra.contacts, totalCount: 3 } };
  assert.deepEqual(await call('groups.read', first.id), filled);
  ok('groups.addContacts', 'counts kept on both sides, updatedDatetime untouched');
  const listed = await call('groups.listContacts', first.id);
  const byId = (a, b) => a.id.localeCompare(b.id);
  assert.deepEqual([...listed.items].sort(byId), [inTwo, ...inOne].sort(byId));
  assert.deepEqual(listed, members(first.id, 0, 20, 3, listed.items));
  assert.deepEqual(await call('groups.listContacts', first.id, 2, 0), members(first.id, 0, 2, 3, listed.items.slice(0, 2)));
  assert.deepEqual(await call('groups.listContacts', first.id, 2, 2), members(first.id, 2, 2, 3, listed.items.slice(2)));
  ok('groups.listContacts', 'whole contacts, pages with their links');
  await fails(call('groups.listContacts', NOBODY), 404, NO_GROUP);
  await fails(as('wrong', 'groups.listContacts', first.id), 401, WRONG_KEY);
  ok('groups.listContacts', 'unknown: 404, code 20; wrong key: 401, code 2');
  const one = { ...second, contacts: { ...second.contacts, totalCount: 1 } };
  const path = `/contacts/${moved.id}/groups`;
  assert.deepEqual(await call('contacts.listGroups', moved.id), page(path, 0, 20, 2, [one, filled]));
  assert.deepEqual(await call('contacts.listGroups', moved.id, 1, 1), page(path, 1, 1, 2, [filled]));
  ok('contacts.listGroups', 'whole groups, pages with their links');

  await fails(call('groups.addContacts', twin.id, [moved.id, NOBODY]), 404, NO_CONTACT);
  await fails(call('groups.addContacts', NOBODY, [moved.id]), 404, NO_GROUP);
  ok('groups.addContacts', 'unknown contact or group: 404, code 20');
  const noIds = { code: 9, description: 'ids is required', parameter: 'ids' };
  await fails(call('groups.addContacts', twin.id, []), 422, noIds);
  await fails(call('groups.addContacts', twin.id, undefined), 422, noIds);
  const many = Array.from({ length: 51 }, (_, i) => i.toString(16).padStart(32, '0'));
  await fails(call('groups.addContacts', twin.id, many), 422, { code: 10, parameter: 'ids' });
  assert.deepEqual(await call('groups.read', twin.id), twin);
  ok('groups.addContacts', 'no ids: 422, code 9; 51 ids: code 10; all or nothing');
  await fails(as('wrong', 'groups.addContacts', twin.id, [moved.id]), 401, WRONG_KEY);
  ok('groups.addContacts', 'wrong key: 401, code 2');

  // Fifty at once, the most that one call may add.
  const crowd = [];
  for (let i = 0; i < 50; i += 1) {
    crowd.push(await call('contacts.create', 31655501000 + i, { firstName: `No ${i}` }));
  }
  assert.equal(await call('groups.addContacts', twin.id, crowd.map((each) => each.id)), true);
  assert.equal((await call('groups.read', twin.id)).contacts.totalCount, 50);
  const seen = [];
  for (let offset = 0; offset < 50; offset += 20) {
    const part = await call('groups.listContacts', twin.id, 20, offset);
    assert.deepEqual(part, members(twin.id, offset, 20, 50, part.items));
    seen.push(...part.items);
  }
  assert.deepEqual(seen.map((each) => each.msisdn).sort(), crowd.map((each) => each.msisdn));
  ok('groups.addContacts', 'fifty in one call, all of them listed over three pages, none twice');

  // Removing, and what deleting does to the other side.
  assert.equal(await call('groups.removeContact', first.id, spaced.id), true);
  assert.deepEqual(await call('contacts.read', spaced.id), spaced);
  assert.equal((await call('groups.read', first.id)).contacts.totalCount, 2);
  ok('groups.removeContact', 'true; the contact itself stays');
  await fails(call('groups.removeContact', first.id, spaced.id), 404, NO_CONTACT);
  await fails(call('groups.removeContact', first.id, NOBODY), 404, NO_CONTACT);
  await fails(call('groups.removeContact', NOBODY, moved.id), 404, NO_GROUP);
  await fails(as('wrong', 'groups.removeContact', first.id, moved.id), 401, WRONG_KEY);
  ok('groups.removeContact', 'no member, unknown contact or group: 404, code 20; wrong key: 401, code 2');
  assert.equal(await call('contacts.delete', again.id), true);
  assert.equal((await call('groups.read', first.id)).contacts.totalCount, 1);
  ok('contacts.delete', 'the contact leaves its groups');
  await fails(as('wrong', 'groups.delete', second.id), 401, WRONG_KEY);
  assert.equal(await call('groups.delete', second.id), true);
  await fails(call('groups.read', second.id), 404, NO_GROUP);
  await fails(call('groups.delete', second.id), 404, NO_GROUP);
  await fails(call('groups.addContacts', second.id, [moved.id]), 404, NO_GROUP);
  assert.equal((await call('contacts.read', moved.id)).groups.totalCount, 1);
  ok('groups.delete', 'true, then 404, code 20; its contacts stay and count one group less');

  // The account is left as it was found.
  for (const each of [moved, spaced, ...crowd]) {
    assert.equal(await call('contacts.delete', each.id), true);
  }
  assert.equal((await call('groups.read', twin.id)).contacts.totalCount, 0);
  for (const each of [first, twin]) {
    assert.equal(await call('groups.delete', each.id), true);
  }
  assert.deepEqual(await call('contacts.list'), page('/contacts', 0, 20, 0, []));
  assert.deepEqual(await call('groups.list'), page('/groups', 0, 20, 0, []));
  ok('contacts.delete', 'all of them');
  ok('groups.delete', 'all of them');
}

run(async () => {
  await balance();
  await groups(await contacts());
  complete(['balance', 'contacts', 'groups']);
});
