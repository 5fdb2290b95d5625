// npm smpp as a client of `rookery dev smsc`: binds in every way, sends short and long, takes receipts and inbound texts.
'use strict';

const assert = require('assert').strict;
const smpp = require('smpp');

const [host, port] = process.env.ROOKERY_SMSC.split(':');
const LONG = 'Ein langer Satz mit Ümlauten und 5 € {extra}. '.repeat(6);

function connect() {
  return new Promise((resolve, reject) => {
    const session = smpp.connect({ host, port: Number(port) });
    session.deliveries = [];
    session.wanted = [];
    session.on('deliver_sm', (pdu) => {
      session.send(pdu.response());
      const waiting = session.wanted.shift();
      if (waiting) waiting(pdu);
      else session.deliveries.push(pdu);
    });
    session.on('connect', () => resolve(session));
    session.on('error', reject);
  });
}

function ask(session, command, fields) {
  return new Promise((resolve) => session[command](fields || {}, resolve));
}

function delivery(session) {
  const ready = session.deliveries.shift();
  return ready ? Promise.resolve(ready) : new Promise((resolve) => session.wanted.push(resolve));
}

async function bound(kind) {
  const session = await connect();
  const answer = await ask(session, kind, { system_id: 'rookery', password: 'secret' });
  assert.equal(answer.command_status, 0);
  assert.equal(answer.system_id, 'rookery-smsc');
  return session;
}

function ok(text) {
  console.log(`ok ${text}`);
}

function isReceipt(pdu, id) {
  assert.equal(pdu.esm_class, 4);
  assert.equal(pdu.receipted_message_id, id);
  assert.equal(pdu.message_state, 2);
  const text = pdu.short_message.message;
  assert.match(text, new RegExp(`^id:${id} sub:001 dlvrd:001 submit date:\\d{10} done date:\\d{10} stat:DELIVRD err:000 text:`));
  return text;
}

async function main() {
  const session = await bound('bind_transceiver');
  ok('bind_transceiver');

  const wrong = await connect();
  const refused = await ask(wrong, 'bind_transceiver', { system_id: 'rookery', password: 'wrong' });
  assert.equal(refused.command_status, smpp.ESME_RINVPASWD);
  await new Promise((resolve) => wrong.on('close', resolve));
  ok('a wrong password is refused and the connection closed');

  assert.equal((await ask(session, 'enquire_link')).command_status, 0);
  ok('enquire_link');

  // Left to itself, this package calls GSM 03.38 data_coding 1, which is ASCII to everyone else.
  const to = {
    source_addr: 'Rookery', source_addr_ton: 5, destination_addr: '31612345678', dest_addr_ton: 1, dest_addr_npi: 1, data_coding: 0,
  };
  const short = await ask(session, 'submit_sm', { ...to, short_message: 'Grüße', registered_delivery: 1 });
  assert.equal(short.command_status, 0);
  const receipt = await delivery(session);
  assert.match(isReceipt(receipt, short.message_id), /text:Grüße$/);
  assert.equal(receipt.source_addr, '31612345678');
  assert.equal(receipt.destination_addr, 'Rookery');
  ok('submit_sm and its receipt');

  const wide = await ask(session, 'submit_sm', { ...to, data_coding: 8, short_message: 'Привет 😀', registered_delivery: 1 });
  // A receipt is in the phone's alphabet, whatever the message was in.
  assert.match(isReceipt(await delivery(session), wide.message_id), /text:\?+ \?$/);
  ok('submit_sm in UCS-2');

  const ids = [];
  for (let number = 1; number <= 2; number += 1) {
    const udh = Buffer.from([5, 0, 3, 7, 2, number]);
    const answer = await ask(session, 'submit_sm', {
      ...to, esm_class: 0x40, short_message: { udh, message: LONG.slice((number - 1) * 140, number * 140) }, registered_delivery: 1,
    });
    ids.push(answer.message_id);
  }
  assert.notEqual(ids[0], ids[1]);
  for (const id of ids) isReceipt(await delivery(session), id);
  ok('a long message by user data header, a receipt a part');

  const payload = await ask(session, 'submit_sm', { ...to, message_payload: { message: LONG }, registered_delivery: 1 });
  isReceipt(await delivery(session), payload.message_id);
  ok('a long message as message_payload');

  const silent = await ask(session, 'submit_sm', { ...to, short_message: 'no receipt, please' });
  assert.equal(silent.command_status, 0);
  const asked = { message_id: silent.message_id, source_addr_ton: 5, source_addr: 'Rookery' };
  const told = await ask(session, 'query_sm', asked);
  assert.deepEqual([told.command_status, told.message_id, told.message_state, told.error_code], [0, silent.message_id, 2, 0]);
  assert.ok(Math.abs(told.final_date - Date.now()) < 60000, `${told.final_date}`);
  for (const wrong of [{ ...asked, source_addr: 'Somebody' }, { ...asked, message_id: '1' }]) {
    assert.equal((await ask(session, 'query_sm', wrong)).command_status, smpp.ESME_RQUERYFAIL);
  }
  assert.equal((await ask(session, 'query_sm', { ...asked, message_id: 'none' })).command_status, smpp.ESME_RINVMSGID);
  ok('query_sm tells what became of a message, to whom it is of');

  assert.equal((await ask(session, 'cancel_sm', { message_id: silent.message_id })).command_status, smpp.ESME_RINVCMDID);
  ok('cancel_sm is not offered, and the bind lives');

  const many = await Promise.all(Array.from({ length: 500 }, (_, n) => ask(session, 'submit_sm', { ...to, short_message: `${n}` })));
  assert.equal(new Set(many.map((answer) => answer.message_id)).size, 500);
  ok('500 at once have ids of their own');

  // The ids that a receipt names are those of a transmitter of the same name.
  const [transmitter, receiver] = [await bound('bind_transmitter'), await bound('bind_receiver')];
  await ask(session, 'unbind');
  session.close();
  const sent = await ask(transmitter, 'submit_sm', { ...to, short_message: 'elsewhere', registered_delivery: 1 });
  isReceipt(await delivery(receiver), sent.message_id);
  ok('a receipt comes to the receiver of a transmitter');

  console.log('ready'); // whoever started this now says: mo 31600000001 1234 STOP € {it}
  const inbound = await delivery(receiver);
  assert.equal(inbound.short_message.message, 'STOP € {it}');
  assert.deepEqual([inbound.source_addr, inbound.destination_addr, inbound.esm_class], ['31600000001', '1234', 0]);
  ok('an inbound text');

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
