"""Every message call of the official Python SDK, made against a running Rookery server, with each answer compared value
by value and type by type, and every callback checked by the SDK's validators. Started by `tests/sdk/run
python-messages`; see ../README.md."""

import re
import time
from datetime import datetime, timedelta, timezone

import receiver
from driver import (LIVE, NOBODY, ORIGIN, TEST, WRONG, WRONG_KEY, call, complete, fails, is_page, ok, plain, recent,
                    required, run, same, true)
from messagebird.message import Message

BALANCE = float(required("ROOKERY_BALANCE"))

NO_MESSAGE = (20, "message not found", None)
NO_RECIPIENTS = (9, "no (correct) recipients found", "recipients")
TEXT = "Your crate is ready"
ONE, TWO = 31655500011, 31655500012

sent = []  # ids of what was sent, the oldest first
spent = 0  # in thousandths


def is_message(seen, originator, to, body, status="sent", **fields):
    """The SDK's message holds what was asked for. Of a recipient this SDK keeps no more than number, status and time."""
    true(type(seen) is Message, f"expected a Message, got {seen!r}")
    true(isinstance(seen.id, str) and re.fullmatch("[0-9a-f]{32}", seen.id), f"id: {seen.id!r}")
    true(type(seen.gateway) is int, f"gateway: {seen.gateway!r}")
    recent(seen.createdDatetime, "createdDatetime")
    actual = plain(seen)
    # In which order recipients are shown is not said anywhere.
    actual["recipients"]["items"].sort(key=lambda item: item["recipient"])
    for item in actual["recipients"]["items"]:
        value = item.pop("statusDatetime")
        if item["status"] == "scheduled":
            same(value, None, "statusDatetime")
        else:
            recent(value, "statusDatetime")
    statuses = {number: status[number] if isinstance(status, dict) else status for number in to}
    failed = [one for one in statuses.values() if one in ("delivery_failed", "expired")]
    same(actual, {
        "id": seen.id,
        "href": f"{ORIGIN}/messages/{seen.id}",
        "direction": "mt",
        "type": "sms",
        "originator": originator,
        "body": body,
        "reference": None,
        "validity": None,
        "gateway": seen.gateway,
        "typeDetails": {},
        "datacoding": "plain",
        "mclass": 1,
        "scheduledDatetime": None,
        "createdDatetime": seen.createdDatetime,
        "recipients": {
            "totalCount": len(to),
            "totalSentCount": len(to) - list(statuses.values()).count("scheduled"),
            "totalDeliveredCount": list(statuses.values()).count("delivered"),
            "totalDeliveryFailedCount": len(failed),
            "items": [{"recipient": number, "status": statuses[number]} for number in sorted(to)],
        },
        **fields,
    }, "message")


def send(recipients, to, params=None, originator="FarmShop", body=TEXT, parts=1, status="sent", **shown):
    """Sends and compares the answer: what was asked for, but for what is `shown` in another way."""
    global spent
    seen = call("message_create", originator, recipients, body, dict(params or {}))
    asked = {name: value for name, value in (params or {}).items() if name != "reportUrl"}
    is_message(seen, shown.pop("shown_originator", originator), to, body, status, **{**asked, **shown})
    sent.append(seen.id)
    spent += 61 * parts * sum(str(number).startswith("31") for number in to)
    time.sleep(0.003)  # so that no two have the same millisecond
    return seen


def settled(id, statuses):
    """Reads a message when each recipient is where it is meant to end."""
    until = time.monotonic() + 15
    while True:
        seen = call("message", id)
        now = {item.recipient: item.status for item in seen.recipients["items"]}
        if now == statuses or time.monotonic() > until:
            same(now, statuses, "statuses")
            return seen
        time.sleep(0.05)


def creating():
    is_page(call("message_list"), "/messages/", 0, 20, 0, [])
    ok("message_list", "empty: no items, no links")

    first = send("31655500011", [ONE])
    delivered = settled(first.id, {ONE: "delivered"})
    is_message(delivered, "FarmShop", [ONE], TEXT, "delivered")
    same(delivered.createdDatetime, first.createdDatetime)
    ok("message_create", "a number as text; what is unset has its default")
    ok("message", "delivered, still counted as sent")
    send(ONE, [ONE])
    send(["31655500011", "31655500012"], [ONE, TWO])
    send("31655500011,31655500012", [ONE, TWO])
    send(["+31 6 555-000.11", " (316)55500012 ", "31655500011", "nobody"], [ONE, TWO])
    ok("message_create", "number, list, text with commas; punctuation, what is said twice and what is no number dropped")
    many = [31655502000 + i for i in range(50)]
    fifty = send([str(number) for number in many], many)
    settled(fifty.id, {number: "delivered" for number in many})
    ok("message_create", "fifty, each delivered")
    send(ONE, [ONE], originator="+31655500000", shown_originator="31655500000")
    send(ONE, [ONE], originator=31655500000, shown_originator="31655500000")
    send(ONE, [ONE], originator="Bob & Ann")
    ok("message_create", "originators: number without its plus and as text, letters")
    send(ONE, [ONE], {"type": "flash"}, mclass=0)
    send(ONE, [ONE], {"mclass": 0})
    send(ONE, [ONE], {"validity": 3600, "gateway": 12, "reference": "x" * 128})
    send(ONE, [ONE], {"validity": "3600", "reference": ""}, validity=3600, reference=None)
    ok("message_create", "flash, class, validity, gateway, the longest reference")
    for datacoding, body, parts in (("plain", "a" * 1377, 9), ("unicode", "ж" * 71, 2), ("unicode", "🐦" * 35, 1),
                                    ("auto", "Größe €, жук 🐦", 1)):
        send(ONE, [ONE], {"datacoding": datacoding}, body=body, parts=parts)
    ok("message_create", "plain, unicode and auto come back as they were given")


def later(seconds):
    """A whole second in so many seconds."""
    return datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=seconds)


def binary():
    header = {"udh": "050003340201"}
    made = send(ONE, [ONE], {"type": "binary", "typeDetails": header}, body="0011AAff")
    settled(made.id, {ONE: "delivered"})
    send(ONE, [ONE], {"type": "binary", "mclass": 0}, body="a5" * 141, parts=2)
    ok("message_create", "binary: with a header and without")


def scheduling():
    soon, hour = later(2), later(3600)
    due = send(ONE, [ONE], {"scheduledDatetime": soon.isoformat()}, status="scheduled", scheduledDatetime=soon)
    shifted = hour.astimezone(timezone(timedelta(hours=-5))).isoformat()
    far = send(ONE, [ONE], {"scheduledDatetime": shifted}, status="scheduled", scheduledDatetime=hour)
    is_message(call("message", far.id), "FarmShop", [ONE], TEXT, "scheduled", scheduledDatetime=hour)
    ok("message_create", "for later: an hour with any offset, scheduled without a time")
    cancelled = call("message_create", "FarmShop", ONE, TEXT, {"scheduledDatetime": later(3).isoformat()})
    same(call("message_delete", cancelled.id), None)
    fails(NO_MESSAGE, "message", cancelled.id)
    ok("message_delete", "scheduled: cancelled")
    true(settled(due.id, {ONE: "delivered"}).recipients["items"][0].statusDatetime >= soon, "sent too early")
    ok("message", "sent when its hour had come, and not before")


def refusing():
    def refused(expected, recipients=ONE, originator="FarmShop", body=TEXT, by=LIVE, **params):
        fails(expected, "message_create", originator, recipients, body, params, by=by)

    refused([NO_RECIPIENTS, (9, "originator is required", "originator")], None, None, None)
    refused((9, "originator is required", "originator"), originator=None)
    refused((9, "body is required", "body"), body=None)
    for recipients in (None, "", [], "nobody", [NOBODY], 123):
        refused(NO_RECIPIENTS, recipients)
    ok("message_create", "nothing given, no originator, no body, no usable recipient: code 9")
    refused((10, None, "recipients"), [str(31655502000 + i) for i in range(51)])
    refused((10, "originator is invalid", "originator"), originator="ThirteenChars")
    refused((10, "body is invalid", "body"), body="a" * 1378)
    refused((10, "body is invalid", "body"), body="ж" * 604, datacoding="unicode")
    bad = {"type": "letter", "datacoding": "morse", "mclass": 4, "validity": 0, "reference": "x" * 129,
           "reportUrl": "nowhere", "scheduledDatetime": "tomorrow"}
    refused([(10, None, name) for name in bad], **bad)
    ok("message_create", "51 recipients, bad originator, body too long, seven bad attributes: code 10")
    refused((10, "body is invalid", "body"), type="binary")
    refused((10, None, "typeDetails.udh"), body="00", type="binary", typeDetails={"udh": "05"})
    for hour in (later(-7200), later(400 * 86400)):
        refused((10, "scheduledDatetime is invalid", "scheduledDatetime"), scheduledDatetime=hour.isoformat())
    ok("message_create", "no octets, a wrong header, an hour long ago or far ahead: code 10")
    true(BALANCE < 50 * 9 * 0.061, "the balance is too much for this test")
    refused((25, "Not enough balance", None), [str(31655502000 + i) for i in range(50)], body="a" * 1377)
    ok("message_create", "not enough balance: code 25")
    refused(WRONG_KEY, by=WRONG)
    fails(WRONG_KEY, "message_list", by=WRONG)
    for name in ("message", "message_delete"):
        fails(WRONG_KEY, name, sent[0], by=WRONG)
        fails(NO_MESSAGE, name, NOBODY)
        fails(NO_MESSAGE, name, 1)
        ok(name, "wrong key: code 2; unknown id: code 20")
    same(call("message_list").totalCount, len(sent), "totalCount")
    ok("message_create", "what was refused is in no list; wrong key: code 2")


def testing(report_url):
    params = {"reference": "test", "reportUrl": report_url}
    seen = call("message_create", "FarmShop", ["31655500011", "99900001000"], TEXT, params, by=TEST)
    is_message(seen, "FarmShop", [ONE, 99900001000], TEXT, reference="test")
    for by in (LIVE, TEST):
        fails(NO_MESSAGE, "message", seen.id, by=by)
        fails(NO_MESSAGE, "message_delete", seen.id, by=by)
    ok("message_create", "test key: an object, which is nowhere: code 20")
    return seen.id


def reporting(origin):
    failing, silent_carrier = 99900001000, 99900401000
    # Number, where it ends, and what is told: status, reason, error code.
    pending, unknown = ("sent", "pending DLR", None), ("delivery_failed", "unknown subscriber", "1")
    told = {
        ONE: [pending, ("delivered", "successfully delivered", None)],
        failing: [pending, unknown],
        99900202000: [pending, ("expired", "expired", None)],
        99900301000: [("delivery_failed", "carrier rejected", None)],
        silent_carrier: [pending],
        99900403600: [pending, ("buffered", "unavailable subscriber", "27")],
    }
    reference = "order 8841/ä+ü & more"
    url = f"{origin}/dlr?shop=café 7&a[]=2&a[]=1"
    silent = send(ONE, [ONE], {"reportUrl": f"{origin}/silent"})
    tested = testing(f"{origin}/silent")
    statuses = {number: some[-1][0] for number, some in told.items()}
    made = send([str(number) for number in told], list(told), {"reference": reference, "reportUrl": url})
    is_message(settled(made.id, statuses), "FarmShop", list(told), TEXT, statuses, reference=reference)
    ok("message", f"{len(told)} recipients, one of each status")

    expected = []
    for number, some in told.items():
        for status, reason, code in some:
            expected.append({
                "a[]": ["2", "1"],
                "datacoding": ["plain"],
                "id": [made.id],
                "messageLength": [str(len(TEXT))],
                "messagePartCount": ["1"],
                "price[amount]": ["0.061" if number == ONE else "0.000"],
                "price[currency]": ["EUR"],
                "recipient": [str(number)],
                "reference": [reference],
                "shop": ["café 7"],
                "status": [status],
                "statusReason": [reason],
                **({"statusErrorCode": [code]} if code else {}),
            })
    came = receiver.about(made.id, len(expected))
    actual = []
    for one in came:
        params = dict(one.params)
        true(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", params.pop("statusDatetime")[0]), one.url)
        actual.append(params)

    def order(params):
        return params["recipient"], params["status"]

    same(sorted(actual, key=order), sorted(expected, key=order), "callbacks")
    ok("callbacks", f"{len(came)}, each status once and value by value; valid by RequestValidator and SignedRequest")
    for one in came:
        receiver.check_refusals(one)
    ok("callbacks", "another value, host, body, key or signature, or none: refused by the SDK")

    again = send(silent_carrier, [silent_carrier], {"reference": "busy", "reportUrl": f"{origin}/busy"})
    first, second = receiver.about(again.id, 2)
    same(second.url, first.url, "URL")
    waited = second.at - first.at
    # After the second it would be five seconds.
    true(0.95 <= waited < 5, f"the second attempt came after {waited} s")
    ok("callbacks", "answered 500: again after about a second, the same URL with a fresh token")
    settled(silent.id, {ONE: "delivered"})
    receiver.about(silent.id, 0)
    receiver.about(tested, 0)
    same(len(receiver.callbacks), len(expected) + 2, "callbacks altogether")
    ok("callbacks", "none without a reference, none for a test key")


def listing():
    newest = [call("message", id) for id in reversed(sent)]
    total, path = len(newest), "/messages/"
    for by in (LIVE, TEST):
        is_page(call("message_list", by=by), path, 0, 20, total, newest[:20])
    ok("message_list", "newest first, 20 by default; a test key sees the same")
    for offset in range(0, total, 7):
        is_page(call("message_list", 7, offset), path, offset, 7, total, newest[offset:offset + 7])
    same(call("message_list", limit=5, offset=1000).items, [])
    ok("message_list", "page after page, with their links; beyond the end: empty")
    for status in ("sent", "buffered", "delivered", "expired", "delivery_failed", "scheduled"):
        some = [one for one in newest if any(item.status == status for item in one.recipients["items"])]
        is_page(call("message_list", 3, 0, status), path, 0, 3, len(some), some[:3], f"&status={status}")
        true(some, status)
    ok("message_list", "by each status, which the links repeat")
    fails((10, "status is invalid", "status"), "message_list", status="lost")
    fails([(10, None, "limit"), (10, None, "offset")], "message_list", 1001, -1)
    ok("message_list", "bad status, limit and offset: code 10")


def deleting():
    same(call("message_delete", sent[0]), None)
    fails(NO_MESSAGE, "message", sent[0])
    fails(NO_MESSAGE, "message_delete", sent[0])
    same(call("message_list").totalCount, len(sent) - 1, "totalCount")
    ok("message_delete", "done, then code 20; the list has one less")
    for id in sent[1:]:
        same(call("message_delete", id), None)
    is_page(call("message_list"), "/messages/", 0, 20, 0, [])
    ok("message_delete", "all of them")
    # One of them was still waiting for its hour.
    global spent
    spent -= 61
    balance()


def balance():
    # Shown in whole cents, never more than there is.
    cents = (round(BALANCE * 1000) - spent) // 10
    same(call("balance").amount, cents / 100, "amount")
    ok("balance", f"less by the price of {len(sent)} messages, and of nothing else")


def main():
    origin = receiver.listen()
    creating()
    binary()
    scheduling()
    refusing()
    reporting(origin)
    listing()
    balance()
    deleting()
    complete("message")


run(main)
