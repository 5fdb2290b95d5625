"""Every balance, contacts and groups call of the official Python SDK, made against a running Rookery server, with each
answer compared value by value and type by type. Started by `tests/sdk/run python`; see ../README.md."""

import os
import re
import time

from driver import (LIVE, NOBODY, ORIGIN, TEST, WRONG, WRONG_KEY, call, complete, fails, is_page, ok, plain, recent, run,
                    same, true)
from messagebird.contact import Contact
from messagebird.group import Group

BALANCE = float(os.environ.get("ROOKERY_BALANCE", "0"))

NO_CONTACT = (20, "contact not found", None)
NO_GROUP = (20, "group not found", None)
DUPLICATE = (101, "contact with this msisdn already exists in your contact list", "msisdn")


def chosen(seen, kind):
    """Checks the form of what the server chooses itself."""
    true(type(seen) is kind, f"expected a {kind.__name__}, got {seen!r}")
    true(isinstance(seen.id, str) and re.fullmatch("[0-9a-f]{32}", seen.id), f"id: {seen.id!r}")
    for name in ("createdDatetime", "updatedDatetime"):
        recent(getattr(seen, name), name)


def is_contact(seen, msisdn, firstName="", lastName="", custom=None, groups=0, updated=None):
    chosen(seen, Contact)
    href = f"{ORIGIN}/contacts/{seen.id}"
    details = {"custom1": "", "custom2": "", "custom3": "", "custom4": ""}
    same(plain(seen), {
        "id": seen.id,
        "href": href,
        "msisdn": msisdn,
        "firstName": firstName,
        "lastName": lastName,
        "customDetails": {**details, **(custom or {})},
        "groups": {"totalCount": groups, "href": href + "/groups"},
        "messages": {"totalCount": 0, "href": href + "/messages"},
        "createdDatetime": seen.createdDatetime,
        "updatedDatetime": updated or seen.createdDatetime,
    }, "contact")


def is_group(seen, name, contacts=0, updated=None):
    chosen(seen, Group)
    href = f"{ORIGIN}/groups/{seen.id}"
    same(plain(seen), {
        "id": seen.id,
        "href": href,
        "name": name,
        "contacts": {"totalCount": contacts, "href": href + "/contacts"},
        "createdDatetime": seen.createdDatetime,
        "updatedDatetime": updated or seen.createdDatetime,
    }, "group")


def balance():
    for by in (LIVE, TEST):
        seen = plain(call("balance", by=by))
        true(type(seen["amount"]) in (int, float), f"amount: {seen['amount']!r} is not a number")
        seen["amount"] = float(seen["amount"])
        same(seen, {"payment": "prepaid", "type": "euros", "amount": BALANCE}, "balance")
    ok("balance", f"prepaid, euros, {BALANCE:g}; a test key sees the same")
    fails(WRONG_KEY, "balance", by=WRONG)
    ok("balance", "wrong key: code 2")


def contacts():
    is_page(call("contact_list"), "/contacts", 0, 10, 0, [])
    ok("contact_list", "empty: no items, no links")

    # Create.
    bare = call("contact_create", "31655500101")
    is_contact(bare, 31655500101)
    ok("contact_create", 'number only; what is unset is ""')
    time.sleep(0.005)
    names = {"firstName": "Zoë", "lastName": "Ødegård 🐦"}
    details = {"custom1": "gold", "custom2": '"quoted" & <marked>', "custom3": "0", "custom4": "a+b=c%20d"}
    full = call("contact_create", 31655500102, {**names, **details})
    is_contact(full, 31655500102, **names, custom=details)
    ok("contact_create", "number as a number, names and custom fields beyond ASCII")
    time.sleep(0.005)
    spaced = call("contact_create", "+31 (6) 555-00.103", {"firstName": "Ann", "lastName": None})
    is_contact(spaced, 31655500103, firstName="Ann")
    ok("contact_create", "number written with plus and punctuation, null taken as absent")

    fails(DUPLICATE, "contact_create", "31655500101")
    fails(DUPLICATE, "contact_create", "+31 655500101", {"firstName": "Again"})
    ok("contact_create", "number that is there already: code 101")
    fails((9, "msisdn is required", "msisdn"), "contact_create", None)
    ok("contact_create", "no number: code 9")
    invalid = (10, "msisdn is invalid", "msisdn")
    for number in ("abc", "123456", "1234567890123456", 123456, "31655500101x"):
        fails(invalid, "contact_create", number)
    ok("contact_create", "bad numbers: code 10")
    fails([invalid, (10, None, "custom3"), (10, None, "firstName")],
          "contact_create", "abc", {"firstName": "x" * 256, "custom3": "y" * 256})
    ok("contact_create", "three faults reported together")
    fails(WRONG_KEY, "contact_create", "31655500199", by=WRONG)
    ok("contact_create", "wrong key: code 2")

    # Read.
    same(plain(call("contact", full.id)), plain(full))
    same(plain(call("contact", 31655500102)), plain(full))
    same(plain(call("contact", full.id, by=TEST)), plain(full))
    ok("contact", "by id and by number; a test key reads the same address book")
    fails(NO_CONTACT, "contact", NOBODY)
    fails(NO_CONTACT, "contact", 31655500199)
    ok("contact", "unknown id and number: code 20")
    fails(WRONG_KEY, "contact", full.id, by=WRONG)
    ok("contact", "wrong key: code 2")

    # List.
    is_page(call("contact_list"), "/contacts", 0, 10, 3, [spaced, full, bare])
    is_page(call("contact_list", 2, 0), "/contacts", 0, 2, 3, [spaced, full])
    is_page(call("contact_list", limit=2, offset=2), "/contacts", 2, 2, 3, [bare])
    is_page(call("contact_list", 1, 1), "/contacts", 1, 1, 3, [full])
    is_page(call("contact_list", 0, 0), "/contacts", 0, 20, 3, [spaced, full, bare])
    ok("contact_list", "newest first, pages with their links; limit 0 is the server's default")
    beyond = call("contact_list", 2, 10)
    same([beyond.count, beyond.totalCount, beyond.items, beyond.links.next], [0, 3, [], None])
    true(re.fullmatch(re.escape(ORIGIN) + r"/contacts\?offset=\d+&limit=2", beyond.links.previous or ""),
         f"links.previous: {beyond.links.previous!r}")
    ok("contact_list", "beyond the end: empty, with a way back")
    fails((10, None, "limit"), "contact_list", -1)
    fails((10, None, "limit"), "contact_list", 1001)
    fails([(10, None, "limit"), (10, None, "offset")], "contact_list", "many", -1)
    ok("contact_list", "bad limit and offset: code 10")
    fails(WRONG_KEY, "contact_list", by=WRONG)
    ok("contact_list", "wrong key: code 2")

    # Update; the SDK gives no answer, so each is read back.
    time.sleep(1.1)
    same(call("contact_update", full.id, {"firstName": None, "lastName": "Roe", "custom1": "", "custom4": "news"}), None)
    updated = call("contact", full.id)
    now = {**details, "custom1": "", "custom4": "news"}
    is_contact(updated, 31655500102, "Zoë", "Roe", now, updated=updated.updatedDatetime)
    same(updated.createdDatetime, full.createdDatetime, "createdDatetime")
    true(updated.updatedDatetime > full.createdDatetime, f"updatedDatetime: {updated.updatedDatetime} has not moved on")
    ok("contact_update", 'changes what is given, "" clears, null leaves')
    same(call("contact_update", full.id), None)
    same(plain(call("contact", full.id)), plain(updated))
    ok("contact_update", "nothing given: unchanged")
    same(call("contact_update", full.id, {"msisdn": 31655500102}), None)
    same(call("contact_update", full.id, {"msisdn": "+31655500104"}), None)
    moved = call("contact", 31655500104)
    same(moved.id, full.id, "id")
    is_contact(moved, 31655500104, "Zoë", "Roe", now, updated=moved.updatedDatetime)
    fails(NO_CONTACT, "contact", 31655500102)
    ok("contact_update", "its own number is no duplicate; a new number is found, the old one no longer")
    fails(DUPLICATE, "contact_update", full.id, {"msisdn": "31655500101"})
    fails(invalid, "contact_update", full.id, {"msisdn": "abc"})
    fails((10, None, "lastName"), "contact_update", full.id, {"lastName": "x" * 256})
    fails(NO_CONTACT, "contact_update", NOBODY, {"lastName": "Roe"})
    fails(WRONG_KEY, "contact_update", full.id, {"lastName": "Roe"}, by=WRONG)
    same(plain(call("contact", full.id)), plain(moved))
    ok("contact_update", "duplicate 101, bad number and too long 10, unknown 20, wrong key 2; nothing changed")

    # Delete.
    fails(WRONG_KEY, "contact_delete", bare.id, by=WRONG)
    same(call("contact_delete", bare.id), None)
    fails(NO_CONTACT, "contact", bare.id)
    fails(NO_CONTACT, "contact_delete", bare.id)
    fails(NO_CONTACT, "contact_delete", NOBODY)
    ok("contact_delete", "done, then code 20; wrong key: code 2")
    again = call("contact_create", "31655500101")
    is_contact(again, 31655500101)
    true(again.id != bare.id, "a new contact has the id of a deleted one")
    ok("contact_create", "the number of a deleted contact is free again")
    tested = call("contact_create", "31655500105", {"firstName": "Tess"}, by=TEST)
    is_contact(call("contact", tested.id), 31655500105, "Tess")
    same(call("contact_delete", tested.id, by=TEST), None)
    fails(NO_CONTACT, "contact", tested.id)
    ok("contact_create", "a test key writes to the same address book")
    ok("contact_delete", "with a test key")
    return moved, spaced, again


def groups(moved, spaced, again):
    is_page(call("group_list"), "/groups", 0, 10, 0, [])
    ok("group_list", "empty: no items, no links")

    # Create.
    first = call("group_create", "Regulars")
    is_group(first, "Regulars")
    time.sleep(0.005)
    second = call("group_create", "Größe & «Ümläute» 🐦", {})
    is_group(second, "Größe & «Ümläute» 🐦")
    time.sleep(0.005)
    twin = call("group_create", "Regulars")
    is_group(twin, "Regulars")
    true(twin.id != first.id, "two groups have one id")
    ok("group_create", "names beyond ASCII, the same name twice")
    nameless = (9, "name is required", "name")
    bad_name = (10, None, "name")
    fails(nameless, "group_create", None)
    fails(bad_name, "group_create", "x" * 256)
    ok("group_create", "no name: code 9; too long: code 10")
    fails(WRONG_KEY, "group_create", "Regulars", by=WRONG)
    ok("group_create", "wrong key: code 2")

    # Read and list.
    same(plain(call("group", second.id)), plain(second))
    same(plain(call("group", second.id, by=TEST)), plain(second))
    ok("group", "by id, with a live and a test key")
    fails(NO_GROUP, "group", NOBODY)
    fails(NO_GROUP, "group", moved.id)
    fails(WRONG_KEY, "group", second.id, by=WRONG)
    ok("group", "unknown id, id of a contact: code 20; wrong key: code 2")
    is_page(call("group_list"), "/groups", 0, 10, 3, [twin, second, first])
    is_page(call("group_list", 2, 0), "/groups", 0, 2, 3, [twin, second])
    is_page(call("group_list", limit=2, offset=2), "/groups", 2, 2, 3, [first])
    ok("group_list", "newest first, pages with their links")
    fails((10, None, "limit"), "group_list", -1)
    fails(WRONG_KEY, "group_list", by=WRONG)
    ok("group_list", "bad limit: code 10; wrong key: code 2")

    # Rename; the SDK gives no answer, so it is read back.
    time.sleep(1.1)
    same(call("group_update", first.id, "Regular guests", {"unknown": "ignored"}), None)
    renamed = call("group", first.id)
    is_group(renamed, "Regular guests", updated=renamed.updatedDatetime)
    same(renamed.createdDatetime, first.createdDatetime, "createdDatetime")
    true(renamed.updatedDatetime > first.createdDatetime, f"updatedDatetime: {renamed.updatedDatetime} has not moved on")
    ok("group_update", "renamed; unknown attributes are ignored")
    fails(NO_GROUP, "group_update", NOBODY, "Regulars")
    fails(nameless, "group_update", first.id, None)
    fails(bad_name, "group_update", first.id, "x" * 256)
    fails(WRONG_KEY, "group_update", first.id, "Regulars", by=WRONG)
    same(plain(call("group", first.id)), plain(renamed))
    ok("group_update", "unknown 20, no name 9, too long 10, wrong key 2; nothing changed")

    # Members. The SDK puts the ids into the query of a PUT on the group itself and cannot list members.
    same(call("group_add_contacts", first.id, [moved.id, spaced.id]), None)
    same(call("group_add_contacts", first.id, [spaced.id, again.id, again.id]), None)
    same(call("group_add_contacts", second.id, [moved.id]), None)
    is_group(call("group", first.id), "Regular guests", contacts=3, updated=renamed.updatedDatetime)
    for one, count in ((moved, 2), (spaced, 1), (again, 1)):
        same(call("contact", one.id).groups.totalCount, count, "groups.totalCount")
    ok("group_add_contacts", "a member again, or twice in one call, is no error; counts kept on both sides")
    fails(NO_CONTACT, "group_add_contacts", twin.id, [moved.id, NOBODY])
    fails(NO_GROUP, "group_add_contacts", NOBODY, [moved.id])
    fails((9, "ids is required", "ids"), "group_add_contacts", twin.id, [])
    fails((10, None, "ids"), "group_add_contacts", twin.id, ["%032x" % i for i in range(51)])
    fails(WRONG_KEY, "group_add_contacts", twin.id, [moved.id], by=WRONG)
    same(plain(call("group", twin.id)), plain(twin))
    ok("group_add_contacts", "unknown 20, no ids 9, 51 ids 10, wrong key 2; all or nothing")

    # Fifty at once, the most that one call may add.
    crowd = [call("contact_create", 31655501000 + i, {"firstName": f"No {i}"}) for i in range(50)]
    same(call("group_add_contacts", twin.id, [one.id for one in crowd]), None)
    is_group(call("group", twin.id), "Regulars", contacts=50)
    ok("group_add_contacts", "fifty in one call")

    # Removing, and what deleting does to the other side.
    same(call("group_remove_contact", first.id, spaced.id), None)
    same(plain(call("contact", spaced.id)), plain(spaced))
    same(call("group", first.id).contacts.totalCount, 2, "contacts.totalCount")
    ok("group_remove_contact", "done; the contact itself stays")
    fails(NO_CONTACT, "group_remove_contact", first.id, spaced.id)
    fails(NO_CONTACT, "group_remove_contact", first.id, NOBODY)
    fails(NO_GROUP, "group_remove_contact", NOBODY, moved.id)
    fails(WRONG_KEY, "group_remove_contact", first.id, moved.id, by=WRONG)
    ok("group_remove_contact", "no member, unknown contact or group: code 20; wrong key: code 2")
    same(call("contact_delete", again.id), None)
    same(call("group", first.id).contacts.totalCount, 1, "contacts.totalCount")
    ok("contact_delete", "the contact leaves its groups")
    fails(WRONG_KEY, "group_delete", second.id, by=WRONG)
    same(call("group_delete", second.id), None)
    fails(NO_GROUP, "group", second.id)
    fails(NO_GROUP, "group_delete", second.id)
    fails(NO_GROUP, "group_add_contacts", second.id, [moved.id])
    same(call("contact", moved.id).groups.totalCount, 1, "groups.totalCount")
    ok("group_delete", "done, then code 20; its contacts stay and count one group less")

    # The account is left as it was found.
    for one in [moved, spaced, *crowd]:
        same(call("contact_delete", one.id), None)
    same(call("group", twin.id).contacts.totalCount, 0, "contacts.totalCount")
    for one in (first, twin):
        same(call("group_delete", one.id), None)
    is_page(call("contact_list"), "/contacts", 0, 10, 0, [])
    is_page(call("group_list"), "/groups", 0, 10, 0, [])
    ok("contact_delete", "all of them")
    ok("group_delete", "all of them")


def main():
    balance()
    groups(*contacts())
    complete("balance", "contact", "group")


run(main)
