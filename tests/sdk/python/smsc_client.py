"""PyPI smpplib as a client of `rookery dev smsc`: binds, sends a long message by user data header, takes the receipts."""

import os
import re
import sys

import smpplib.client
import smpplib.consts
import smpplib.exceptions
import smpplib.gsm

HOST, PORT = os.environ["ROOKERY_SMSC"].split(":")
LONG = "Ein langer Satz mit Ümlauten und 5 € {extra}. " * 6


def ok(text):
    print(f"ok {text}", flush=True)


def connect():
    client = smpplib.client.Client(HOST, int(PORT), timeout=20, allow_unknown_opt_params=True)
    client.connect()
    return client


def main():
    wrong = connect()
    try:
        wrong.bind_transceiver(system_id="rookery", password="wrong")
    except smpplib.exceptions.PDUError as error:
        assert error.args[1] == smpplib.consts.SMPP_ESME_RINVPASWD, error.args
    else:
        raise AssertionError("a wrong password was taken")
    wrong.disconnect()
    ok("a wrong password is refused")

    answers, receipts = [], []
    client = connect()
    client.set_message_sent_handler(lambda pdu: answers.append(pdu))
    client.set_message_received_handler(lambda pdu: receipts.append(pdu))
    client.bind_transceiver(system_id="rookery", password="secret")
    ok("bind_transceiver")

    parts, data_coding, esm_class = smpplib.gsm.make_parts(LONG)
    assert len(parts) == 2, parts
    for part in parts:
        client.send_message(
            source_addr_ton=smpplib.consts.SMPP_TON_ALNUM,
            source_addr="Rookery",
            dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
            dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
            destination_addr="31612345678",
            short_message=part,
            data_coding=data_coding,
            esm_class=esm_class,
            registered_delivery=True,
        )
    while len(answers) < 2 or len(receipts) < 2:
        client.read_once()
    ids = [answer.message_id.decode() for answer in answers]
    assert len(set(ids)) == 2, ids
    ok("a long message by user data header")

    # smpplib leaves the receipts' parameters as octets, with their final zero.
    named = [receipt.receipted_message_id.decode().rstrip("\0") for receipt in receipts]
    assert sorted(named) == sorted(ids), (named, ids)
    for receipt, name in zip(receipts, named):
        text = receipt.short_message.decode()
        assert receipt.esm_class == 0x04, receipt.esm_class
        assert re.match(rf"id:{name} sub:001 dlvrd:001 submit date:\d{{10}} done date:\d{{10}} stat:DELIVRD err:000 text:", text), text
        assert receipt.message_state == 2, receipt.message_state
    ok("a receipt a part")

    client.send_pdu(smpplib.smpp.make_pdu("enquire_link", client=client))
    client.read_once()
    ok("enquire_link")
    client.unbind()
    client.disconnect()
    ok("unbind")


try:
    main()
except AssertionError:
    import traceback

    traceback.print_exc()
    sys.exit(1)
