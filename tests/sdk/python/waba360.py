"""The package waba-360, unmodified: every call it has. Its address is an attribute of its class."""

import asyncio
import json
import os
import time

import aiohttp
from waba_360 import Waba360

ADDR = os.environ["ROOKERY_ADDR"]
HUB = f"http://{ADDR}/api/v2/partners/{os.environ['ROOKERY_PARTNER_ID']}"
KEY = {"X-API-Key": os.environ["ROOKERY_PARTNER_KEY"]}


async def hub(session, method, below, body=None):
    async with session.request(method, HUB + below, json=body, headers=KEY) as answer:
        assert answer.status < 300, (below, answer.status, await answer.text())
        return await answer.json()


async def until(what, look):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = await look()
        if found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"never: {what}")


async def main():
    async with aiohttp.ClientSession() as session:
        body = {"name": "Bakery BV", "email": "it@bakery.example"}
        client = (await hub(session, "POST", "/account_sharing/clients", body))["client_id"]
        share = {"client_id": client, "solution_id": "1", "waba_external_id": "702100000000011"}
        await hub(session, "POST", "/account_sharing/numbers", share)

        async def live():
            # As one client sends it: JSON without encoding; the library encodes what must be.
            found = await hub(session, "GET", f'/channels?filters={{"client_id": "{client}"}}')
            return next((one for one in found["partner_channels"] if one["hub_status"] == "live"), None)

        channel = await until("a live channel", live)
        key = (await hub(session, "POST", f"/channels/{channel['id']}/api_keys", {}))["api_key"]
        print("ok a key", flush=True)
        template = {"name": "hola", "category": "UTILITY", "language": "es", "components": {"type": "BODY", "text": "Hola"}}
        await hub(session, "POST", f"/waba_accounts/{channel['waba_account_id']}/waba_templates", template)

        Waba360.BASE_URL = f"http://{ADDR}/_waba-v2/v1/"
        waba = Waba360(key, channel["waba_account"]["namespace"])
        assert (await waba.set_wh("https://acme.example/wa"))["url"] == "https://acme.example/wa"
        print("ok set_wh", flush=True)
        sent = await waba.send_msg("31611112222", "Hi")
        assert sent["messages"][0]["id"].startswith("wamid."), sent
        print("ok send_msg", flush=True)

        async def approved():
            try:
                return await waba.send_tmpl_msg("31611112222", "hola")
            except Exception as error:  # what the package raises
                assert error.args[1] == 404, error
                return None

        assert (await until("an approved template", approved))["messages"][0]["id"]
        print("ok send_tmpl_msg", flush=True)
        await waba.close()
        wrong = Waba360("wrong", "x")
        try:
            await wrong.send_msg("31611112222", "Hi")
            raise SystemExit("a wrong key was taken")
        except Exception as error:
            assert error.args[1] == 401 and "error" in json.loads(error.args[2]), error
        await wrong.close()
        print("ok a wrong key", flush=True)


asyncio.run(main())
