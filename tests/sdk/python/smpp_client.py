"""PyPI smpplib as a customer of Rookery's SMPP server: binds, sends short and long, takes receipts and inbound."""

import os
import re
import sys
import time
import traceback

import smpplib.client
import smpplib.consts
import smpplib.exceptions
import smpplib.gsm
import smpplib.smpp

HOST, PORT = os.environ["ROOKERY_SMPP"].split(":")
SYSTEM_ID, PASSWORD = os.environ["ROOKERY_SYSTEM_ID"], os.environ["ROOKERY_PASSWORD"]
LONG = "Ein langer Satz mit Ümlauten und 5 € {extra}. " * 6


def ok(text):
    print(f"ok {text}", flush=True)


class Customer:
    """A client with what it was answered and what it got."""

    def __init__(self):
        self.answers, self.got = {}, []
        self.client = smpplib.client.Client(HOST, int(PORT), timeout=20, allow_unknown_opt_params=True)
        self.client.set_message_sent_handler(self.answered)
        self.client.set_message_received_handler(self.received)
        self.client.set_error_pdu_handler(self.answered)
        self.client.connect()

    def answered(self, pdu, **_):
        self.answers[pdu.sequence] = pdu

    def received(self, pdu, **_):
        self.got.append(pdu)
        return 0

    def until(self, done):
        begun = time.monotonic()
        while not done():
            assert time.monotonic() - begun < 20, "it never came"
            self.client.read_once()

    def send(self, text, to="31612345678", source="Bakery", part=None, receipt=True, **fields):
        part, coding, esm_class = part or (None, *smpplib.gsm.make_parts(text)[1:])
        pdu = self.client.send_message(
            source_addr_ton=smpplib.consts.SMPP_TON_ALNUM,
            source_addr=source,
            dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
            dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
            destination_addr=to,
            short_message=part if part is not None else smpplib.gsm.make_parts(text)[0][0],
            data_coding=coding,
            esm_class=esm_class,
            registered_delivery=receipt,
            **fields,
        )
        self.until(lambda: pdu.sequence in self.answers)
        return self.answers[pdu.sequence]

    def next(self):
        self.until(lambda: self.got)
        return self.got.pop(0)


def is_receipt(pdu, name, state=2, word="DELIVRD"):
    # smpplib leaves the receipts' parameters as octets, with their final zero.
    assert pdu.receipted_message_id.decode().rstrip("\0") == name, (pdu.receipted_message_id, name)
    assert pdu.esm_class == 4, pdu.esm_class
    assert pdu.message_state == state, pdu.message_state
    text = pdu.short_message.decode("latin-1")
    assert re.match(rf"id:{name} sub:001 dlvrd:00\d submit date:\d{{10}} done date:\d{{10}} stat:{word} err:\d{{3}} text:", text), text


def main():
    wrong = Customer()
    try:
        wrong.client.bind_transceiver(system_id=SYSTEM_ID, password="wrong")
    except smpplib.exceptions.PDUError as error:
        assert error.args[1] == smpplib.consts.SMPP_ESME_RINVPASWD, error.args
    else:
        raise AssertionError("a wrong password was taken")
    wrong.client.disconnect()
    ok("a wrong password is refused")

    customer = Customer()
    answer = customer.client.bind_transceiver(system_id=SYSTEM_ID, password=PASSWORD)
    assert answer.system_id == b"Rookery", answer.system_id
    ok("bind_transceiver")

    answer = customer.send("Hello")
    name = answer.message_id.decode()
    assert re.fullmatch(r"[0-9a-f]{32}", name), name
    is_receipt(customer.next(), name)
    ok("submit_sm and its receipt")

    answer = customer.send("x", to="99900202000")
    is_receipt(customer.next(), answer.message_id.decode(), 3, "EXPIRED")
    ok("a receipt of a failure")

    for text in (LONG, "Привет, как дела? " * 6):
        parts, coding, esm_class = smpplib.gsm.make_parts(text)
        assert len(parts) == 2, parts
        names = [customer.send(text, part=(part, coding, esm_class)).message_id.decode() for part in parts]
        assert len(set(names)) == 2, names
        told = [customer.next(), customer.next()]
        assert sorted(pdu.receipted_message_id.decode().rstrip("\0") for pdu in told) == sorted(names)
    ok("long messages by user data header, a receipt a part")

    assert customer.send("x", to="nowhere").status == smpplib.consts.SMPP_ESME_RINVDSTADR
    assert customer.send("x", source="far too long a name").status == smpplib.consts.SMPP_ESME_RINVSRCADR
    ok("what cannot be sent is refused with its status")

    customer.send("Ready?", to="99900501000", source="31655500099", receipt=False)
    inbound = customer.next()
    assert (inbound.source_addr, inbound.destination_addr) == (b"99900501000", b"31655500099"), inbound.source_addr
    assert inbound.short_message == b"Re: Ready?", inbound.short_message
    ok("a received message")

    customer.client.send_pdu(smpplib.smpp.make_pdu("enquire_link", client=customer.client))
    customer.client.read_once()
    ok("enquire_link")
    customer.client.unbind()
    customer.client.disconnect()
    ok("unbind")


try:
    main()
except AssertionError:
    traceback.print_exc()
    sys.exit(1)
