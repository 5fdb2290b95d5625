// npm smpp as a customer of Rookery's SMPP server: binds in every way, sends short and long, takes receipts and inbound.
'use strict';

const assert = require('assert').strict;
const smpp = require('smpp');

const [host, port] = process.env.ROOKERY_SMPP.split(':');
const credentials = { system_id: process.env.ROOKERY_SYSTEM_ID, password: process.env.ROOKERY_PASSWORD };
const LONG = 'Ein langer Satz mit Ümlauten und 5 € {extra}. '.repeat(6);

function connect() {
  return new Promise((resolve, reject) => {
    const session = smpp.connect({ host, port: Number(port) });
    session.got = [];
    session.wanted = [];
    session.on('deliver_sm', (pdu) => {
      session.send(pdu.response());
      const waiting = session.wanted.shift();
      if (waiting) waiting(pdu);
      else session.got.push(pdu);
    });
    session.on('connect', () => resolve(session));
    session.on('error', reject);
  });
}

function ask(session, command, fields) {
  return new Promise((resolve) => session[command](fields || {}, resolve));
}

function next(session) {
  const ready = session.got.shift();
  return ready ? Promise.resolve(ready) : new Promise((resolve) => session.wanted.push(resolve));
}

async function bound(kind) {
  const session = await connect();
  const answer = await ask(session, kind, credentials);
  assert.equal(answer.command_status, 0);
  assert.equal(answer.system_id, 'Rookery');
  return session;
}

function ok(text) {
  console.log(`ok ${text}`);
}

function isReceipt(pdu, id, state = 2, word = 'DELIVRD') {
  assert.equal(pdu.esm_class, 4);
  assert.equal(pdu.receipted_message_id, id);
  assert.equal(pdu.message_state, state);
  const text = pdu.short_message.message;
  assert.match(text, new RegExp(`^id:${id} sub:001 dlvrd:00\\d submit date:\\d{10} done date:\\d{10} stat:${word} err:\\d{3} text:`));
  return text;
}

async function main() {
  const session = await bound('bind_transceiver');
  ok('bind_transceiver');

  const wrong = await connect();
  const refused = await ask(wrong, 'bind_transceiver', { ...credentials, password: 'wrong' });
  assert.equal(refused.command_status, smpp.ESME_RINVPASWD);
  await new Promise((resolve) => wrong.on('close', resolve));
  ok('a wrong password is refused and the connection closed');

  assert.equal((await ask(session, 'enquire_link')).command_status, 0);
  ok('enquire_link');

  const to = { source_addr: 'Bakery', source_addr_ton: 5, destination_addr: '31612345678', dest_addr_ton: 1, dest_addr_npi: 1 };
  const short = await ask(session, 'submit_sm', { ...to, short_message: 'Grüße', registered_delivery: 1 });
  assert.equal(short.command_status, 0);
  assert.match(short.message_id, /^[0-9a-f]{32}$/);
  const receipt = await next(session);
  assert.match(isReceipt(receipt, short.message_id), /text:Grüße$/);
  assert.equal(receipt.source_addr, '31612345678');
  assert.equal(receipt.destination_addr, 'Bakery');
  ok('submit_sm and its receipt');

  const failed = await ask(session, 'submit_sm', { ...to, destination_addr: '99900001000', short_message: 'x', registered_delivery: 1 });
  const failure = await next(session);
  assert.match(isReceipt(failure, failed.message_id, 5, 'UNDELIV'), / err:001 /);
  assert.deepEqual([...failure.network_error_code], [3, 0, 1]);
  ok('a receipt of a failure, with its code');

  const wide = await ask(session, 'submit_sm', { ...to, data_coding: 8, short_message: 'Привет 😀', registered_delivery: 1 });
  isReceipt(await next(session), wide.message_id);
  ok('submit_sm in UCS-2');

  const ids = [];
  for (let number = 2; number >= 1; number -= 1) {
    const udh = Buffer.from([5, 0, 3, 7, 2, number]);
    const answer = await ask(session, 'submit_sm', {
      ...to, esm_class: 0x40, short_message: { udh, message: LONG.slice((number - 1) * 140, number * 140) }, registered_delivery: 1,
    });
    assert.equal(answer.command_status, 0);
    ids.push(answer.message_id);
  }
  assert.notEqual(ids[0], ids[1]);
  const told = [await next(session), await next(session)];
  assert.deepEqual(told.map((pdu) => pdu.receipted_message_id).sort(), [...ids].sort());
  ok('a long message by user data header, the last part first, a receipt a part');

  const payload = await ask(session, 'submit_sm', { ...to, message_payload: { message: LONG }, registered_delivery: 1 });
  isReceipt(await next(session), payload.message_id);
  ok('a long message as message_payload');

  const data = await ask(session, 'data_sm', { ...to, message_payload: { message: 'by data_sm' }, registered_delivery: 1 });
  isReceipt(await next(session), data.message_id);
  ok('data_sm');

  for (const [fields, status] of [
    [{ destination_addr: 'nowhere' }, smpp.ESME_RINVDSTADR],
    [{ source_addr: 'far too long a name' }, smpp.ESME_RINVSRCADR],
    [{ schedule_delivery_time: new Date(Date.now() + 400 * 86400e3) }, smpp.ESME_RINVSCHED],
    [{ schedule_delivery_time: new Date(Date.now() + 86400e3), destination_addr: '99900000000' }, 0],
    [{ validity_period: new Date(Date.now() - 3600e3) }, smpp.ESME_RINVEXPIRY],
    [{ short_message: '' }, smpp.ESME_RINVMSGLEN],
    [{ destination_addr: '99900000000', short_message: 'free' }, 0],
  ]) {
    const answer = await ask(session, 'submit_sm', { ...to, short_message: 'x', ...fields });
    assert.equal(answer.command_status, status, JSON.stringify(fields));
  }
  ok('what cannot be sent is refused with its status');

  const unknown = await ask(session, 'query_sm', { message_id: short.message_id });
  assert.equal(unknown.command_status, smpp.ESME_RINVCMDID);
  ok('query_sm is not offered, and the bind lives');

  const many = await Promise.all(Array.from({ length: 500 }, (_, n) => ask(session, 'submit_sm', {
    ...to, destination_addr: '99900000000', short_message: `${n}`,
  })));
  assert.ok(many.every((answer) => answer.command_status === 0));
  assert.equal(new Set(many.map((answer) => answer.message_id)).size, 500);
  ok('500 at once are all taken');

  const [transmitter, receiver] = [await bound('bind_transmitter'), await bound('bind_receiver')];
  await ask(session, 'unbind');
  session.close();
  const sent = await ask(transmitter, 'submit_sm', { ...to, short_message: 'elsewhere', registered_delivery: 1 });
  isReceipt(await next(receiver), sent.message_id);
  ok('a receipt comes to the receiver');

  await ask(transmitter, 'submit_sm', { source_addr: '31655500099', destination_addr: '99900501000', short_message: 'STOP € {it}' });
  const inbound = await next(receiver);
  assert.equal(inbound.short_message.message, 'Re: STOP € {it}');
  assert.deepEqual([inbound.source_addr, inbound.destination_addr, inbound.esm_class], ['99900501000', '31655500099', 0]);
  ok('a received message');

  for (const each of [transmitter, receiver]) {
    assert.equal((await ask(each, 'unbind')).command_status, 0);
    each.close();
  }
  ok('unbind');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
