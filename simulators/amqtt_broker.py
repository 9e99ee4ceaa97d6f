"""amqtt as a broker in a process of its own.

python -m simulators.amqtt_broker PORT [tcp|ws] [CERTIFICATE KEY]
"""

import asyncio
import sys

from amqtt.broker import Broker


async def serve(port: int, transport: str = "tcp", certificate: str = "", key: str = "") -> None:
    """Serve on 127.0.0.1 until the process is ended."""
    listener: dict[str, str | bool] = {"type": transport, "bind": f"127.0.0.1:{port}"}
    if certificate:
        listener |= {"ssl": True, "certfile": certificate, "keyfile": key}
    config = {
        "listeners": {"default": listener},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    broker = Broker(config)
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), *sys.argv[2:]))
