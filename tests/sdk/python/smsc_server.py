"""PyPI smpp34 as a carrier, for Rookery's session as its client: prints `listening PORT`, takes every text but "refuse"
and "throttle", and sends a receipt for each that asks for one, with parameters and text.
"""

import asyncio
import socket
import sys

import smpp34


async def main():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = smpp34.Server("127.0.0.1", port, system_id="smpp34")
    await server.start()
    print(f"listening {port}", flush=True)
    asyncio.get_running_loop().run_in_executor(None, lambda: (sys.stdin.read(), __import__("os")._exit(0)))
    bound, last = {}, 0
    while True:
        event = await server.next()
        if isinstance(event, smpp34.Esme):
            bound[event.session_id] = event
        elif isinstance(event, smpp34.SubmitSmEvent):
            if event.short_message == b"refuse":
                event.reject(smpp34.ESME_RINVDSTADR)
                continue
            if event.short_message == b"throttle":
                event.reject(smpp34.ESME_RTHROTTLED)
                continue
            last += 1
            event.accept(f"a{last}")
            if event.registered_delivery == 1:
                await bound[event.session_id].deliver_sm(
                    event.source_addr,
                    f"id:A{last} sub:001 dlvrd:000 submit date:2611220900 done date:2611220905 stat:UNDELIV err:00B text:".encode(),
                    source_addr=event.destination_addr,
                    esm_class=4,
                    tlvs=[
                        smpp34.Tlv(smpp34.TLV_RECEIPTED_MESSAGE_ID, f"a{last}\0".encode()),
                        smpp34.Tlv(smpp34.TLV_MESSAGE_STATE, b"\x05"),
                        smpp34.Tlv(smpp34.TLV_NETWORK_ERROR_CODE, b"\x03\x00\x0b"),
                        smpp34.Tlv(0x1400, b"a carrier's own"),
                    ],
                )


asyncio.run(main())
