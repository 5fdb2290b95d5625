// npm smpp as a carrier, for Rookery's session as its client: prints `listening PORT`, takes every text but the one that
// says "refuse" or "throttle", and sends a receipt that only has text, then an inbound text of two parts. Of a text that
// begins with "forget" it says what became of it only to whoever asks, the second time.
'use strict';

const smpp = require('smpp');

const forgotten = new Map();

const server = smpp.createServer((session) => {
  let last = 0;
  session.on('error', () => {});
  session.on('bind_transceiver', (pdu) => {
    const isKnown = pdu.system_id === 'rookery' && pdu.password === 'secret' && pdu.interface_version === 0x34;
    session.send(pdu.response({ command_status: isKnown ? 0 : smpp.ESME_RINVPASWD, system_id: 'npm' }));
  });
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => session.send(pdu.response()));
  session.on('submit_sm', (pdu) => {
    const content = pdu.message_payload || pdu.short_message;
    const text = content.message.toString();
    if (text === 'refuse') return session.send(pdu.response({ command_status: smpp.ESME_RINVDSTADR }));
    if (text === 'throttle') return session.send(pdu.response({ command_status: smpp.ESME_RTHROTTLED }));
    last += 1;
    // Hexadecimal here and decimal in the receipt, with zeros in front: as carriers do.
    session.send(pdu.response({ message_id: (last + 0x9a0).toString(16).toUpperCase() }));
    if (text.startsWith('forget')) {
      const { source_addr: source, source_addr_ton: ton } = pdu;
      forgotten.set((last + 0x9a0).toString(16).toUpperCase(), { source, ton, isLost: text.endsWith('lost'), asked: 0 });
      return undefined;
    }
    const header = content.udh ? content.udh.map((element) => element.toString('hex')).join(' ') : 'none';
    const back = { source_addr: pdu.destination_addr, destination_addr: pdu.source_addr };
    if (pdu.registered_delivery === 1) {
      session.deliver_sm({
        ...back, esm_class: 4,
        short_message: `id:${String(last + 0x9a0).padStart(10, '0')} sub:001 dlvrd:001 submit date:261122090000 done date:261122090500 stat:DELIVRD err:000 text:${header} ${text.length}`,
      });
    }
    if (text === 'inbound') {
      ['Parts come ', 'in any order'].forEach((message, index, all) => {
        const udh = Buffer.from([5, 0, 3, 9, all.length, index + 1]);
        setTimeout(() => session.deliver_sm({ ...back, esm_class: 0x40, short_message: { udh, message } }), 20 * (2 - index));
      });
    }
    return undefined;
  });
});

server.on('session', (session) => session.on('query_sm', (pdu) => {
  const known = forgotten.get(pdu.message_id);
  if (!known || known.source !== pdu.source_addr || known.ton !== pdu.source_addr_ton) {
    return session.send(pdu.response({ command_status: smpp.ESME_RQUERYFAIL }));
  }
  known.asked += 1;
  const fields = { message_id: pdu.message_id, message_state: 1 };
  if (known.asked > 1) Object.assign(fields, { final_date: new Date(), message_state: known.isLost ? 5 : 2, error_code: known.isLost ? 27 : 0 });
  return session.send(pdu.response(fields));
}));
server.listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`));
process.stdin.on('end', () => process.exit(0)).resume();
